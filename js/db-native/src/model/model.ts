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
  /** The other model, or the name of its table. */
  readonly target: string | Model;
  /** The attributes that hold the reference: this model's, or the other's for one-to-many. */
  readonly fields: readonly string[];
  /** The table between, for many-to-many. */
  readonly through?: string;
  /** What a delete of the other row does. */
  readonly onDelete?: "cascade" | "set_null" | "restrict";
}

/** A declared table or collection. */
export interface Model<F extends Fields = Fields> {
  readonly table: string;
  readonly fields: F;
  readonly indexes: readonly IndexDefinition[];
  readonly relations: Readonly<Record<string, RelationDefinition>>;
}

/** What `defineModel` takes beside the fields. */
export interface ModelOptions<F extends Fields> {
  indexes?: readonly (Omit<IndexDefinition, "fields" | "where"> & {
    readonly fields: readonly (Path<RowOf<F>> | `-${Path<RowOf<F>>}`)[];
    readonly where?: Filter<RowOf<F>>;
  })[];
  relations?: Readonly<Record<string, RelationDefinition>>;
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
export function defineModel<F extends Fields>(table: string, fields: F, options: ModelOptions<F> = {}): Model<F> {
  if (Object.hasOwn(fields, "__proto__")) {
    throw new FarmDbError("invalid_schema", 'a field cannot be named "__proto__"', { entity: table });
  }
  const indexes = (options.indexes ?? []) as readonly IndexDefinition[];
  return Object.freeze({ table, fields: Object.freeze({ ...fields }), indexes, relations: options.relations ?? {} });
}
