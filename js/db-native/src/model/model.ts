/** Models: a table or collection with its fields, indexes and relations. */
import { FarmDbError } from "../error.js";
import type { Filter } from "../query/filter.js";
import type { Path } from "../query/path.js";
import type { Fields } from "./field.js";
import type { RowOf } from "./infer.js";

/** An index; fields are attributes or dotted paths, a leading `-` is descending. */
export interface IndexDefinition {
  readonly fields: readonly string[];
  /** No two rows are equal in these fields. */
  readonly unique?: boolean;
  /** Only rows that this filter matches are covered. */
  readonly where?: object;
  /** Its name in the database, where it matters. */
  readonly name?: string;
}

/** How two entities belong together. */
export interface RelationDefinition {
  readonly kind: "many_to_one" | "one_to_one" | "one_to_many" | "many_to_many";
  /** The other model; or the name of its table, for a model that is defined below (its rows are then untyped). */
  readonly target: string | AnyModel;
  /**
   * The attributes that hold the reference: this model's; the other's for one-to-many and an inverse one-to-one; for
   * many-to-many those of the model between, the ones that refer to this model first.
   */
  readonly fields: readonly string[];
  /** Of a one-to-one: the other model holds this one's key. */
  readonly inverse?: boolean;
  /** The model between, or its table, for many-to-many. */
  readonly through?: string | AnyModel;
  /** What a delete of the other row does to this one; nothing is enforced where it is not given. */
  readonly onDelete?: "cascade" | "set_null" | "restrict";
}

/** Relations by name. */
export type Relations = Readonly<Record<string, RelationDefinition>>;

/** What a model without relations has. */
export type NoRelations = Readonly<Record<never, never>>;

/** A model whatever its fields and relations are. */
export interface AnyModel {
  readonly table: string;
  readonly fields: Fields;
  readonly indexes: readonly IndexDefinition[];
  readonly relations: Relations;
}

/** A declared table or collection. */
export interface Model<F extends Fields = Fields, R extends Relations = Relations> extends AnyModel {
  readonly fields: F;
  readonly relations: R;
}

/** What `defineModel` takes beside the fields. */
export interface ModelOptions<F extends Fields, R extends Relations = Relations> {
  indexes?: readonly (Omit<IndexDefinition, "fields" | "where"> & {
    readonly fields: readonly (Path<RowOf<F>> | `-${Path<RowOf<F>>}`)[];
    readonly where?: Filter<RowOf<F>>;
  })[];
  relations?: R;
}

/**
 * Declares a table or collection.
 *
 * ```ts
 * export const Resource = defineModel("resources", {
 *   id: f.uuid().primaryKey().generated(),
 *   name: f.string({ maxLength: 100 }).index(),
 *   createdAt: f.datetime().column("created_at").createdAt(),
 * }, { indexes: [{ fields: ["name", "-createdAt"] }] });
 * export type Resource = Infer<typeof Resource>;
 * ```
 */
export function defineModel<F extends Fields, const R extends Relations = NoRelations>(
  table: string,
  fields: F,
  options: ModelOptions<F, R> = {},
): Model<F, R> {
  if (Object.hasOwn(fields, "__proto__")) {
    throw new FarmDbError("invalid_schema", 'a field cannot be named "__proto__"', { entity: table });
  }
  const indexes = (options.indexes ?? []) as readonly IndexDefinition[];
  return Object.freeze({
    table,
    fields: Object.freeze({ ...fields }),
    indexes,
    relations: options.relations ?? ({} as R),
  });
}
