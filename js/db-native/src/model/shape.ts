/**
 * Shapes: what encoding and decoding must know of a value, worked out once a model. A shape leads from attributes to
 * stored names at every depth.
 */
import { FarmDbError } from "../error.js";
import type { FieldDefinition, Kind } from "./definition.js";
import type { AnyModel, Model, RelationDefinition } from "./model.js";

/** What is known of a value. */
export interface Shape {
  readonly kind: Kind;
  /** Ints are read as bigint, always. */
  readonly bigint: boolean;
  /** The fields of a model. */
  readonly members?: Members;
  /** The elements of a list, or the values of a map. */
  readonly element?: Shape;
}

/** The fields of a model, nested or not. */
export interface Members {
  /** For messages: the table, or the path of a nested model in it. */
  readonly owner: string;
  readonly byAttribute: ReadonlyMap<string, Member>;
  /** Whether undeclared keys are kept. */
  readonly extra: boolean;
  /** Those that a function makes where a record has none. */
  readonly made: readonly Made[];
  /** What stands at the other end of the relations, where the models of a database are known. */
  readonly relations?: ReadonlyMap<string, () => Shape>;
}

/** One field of a model. */
export interface Member {
  readonly attribute: string;
  /** The stored name. */
  readonly column: string;
  readonly shape: Shape;
}

/** A field and the function of its default. */
export interface Made extends Member {
  readonly make: () => unknown;
}

/** Anything: below it nothing is known. */
export const ANY: Shape = { kind: "any", bigint: false };

const known = new WeakMap<AnyModel, Members>();

/** The fields of a model. */
export function membersOf(model: AnyModel): Members {
  let members = known.get(model);
  if (members === undefined) {
    const definitions = Object.entries(model.fields).map(([name, field]) => [name, field.definition] as const);
    members = compile(model.table, definitions, false);
    known.set(model, members);
  }
  return members;
}

const related = new WeakMap<ReadonlySet<Model>, Map<AnyModel, Members>>();

/** The fields of a model, and its relations to the other models of a database. */
export function membersAmong(models: ReadonlySet<Model>, model: AnyModel): Members {
  const all = related.get(models) ?? new Map<AnyModel, Members>();
  related.set(models, all);
  let members = all.get(model);
  if (members === undefined) {
    const relations = new Map(
      Object.entries(model.relations).map(([name, relation]) => [name, () => relatedShape(models, relation)] as const),
    );
    members = relations.size === 0 ? membersOf(model) : { ...membersOf(model), relations };
    all.set(model, members);
  }
  return members;
}

function relatedShape(models: ReadonlySet<Model>, { kind, target }: RelationDefinition): Shape {
  const model = typeof target === "string" ? [...models].find(({ table }) => table === target) : target;
  // Without a model the core says that there is none.
  const one: Shape = model === undefined ? ANY : { kind: "model", bigint: false, members: membersAmong(models, model) };
  return kind === "one_to_many" || kind === "many_to_many" ? { kind: "list", bigint: false, element: one } : one;
}

function compile(owner: string, definitions: (readonly [string, FieldDefinition])[], extra: boolean): Members {
  const byAttribute = new Map<string, Member>();
  const made: Made[] = [];
  for (const [attribute, definition] of definitions) {
    const member = {
      attribute,
      column: definition.column ?? attribute,
      shape: shapeOf(`${owner}.${attribute}`, definition),
    };
    byAttribute.set(attribute, member);
    const value = definition.default;
    if (value !== undefined && "make" in value) made.push({ ...member, make: value.make });
  }
  return { owner, byAttribute, extra, made };
}

function shapeOf(owner: string, definition: FieldDefinition): Shape {
  const inner = definition.items ?? definition.values;
  return {
    kind: definition.kind,
    bigint: definition.bigint === true,
    ...(inner === undefined ? {} : { element: shapeOf(owner, inner) }),
    ...(definition.fields === undefined
      ? {}
      : { members: compile(owner, Object.entries(definition.fields), definition.extra === true) }),
  };
}

/** The field of this attribute; `undefined` where the model keeps undeclared keys. */
export function memberOf(members: Members, attribute: string): Member | undefined {
  const member = members.byAttribute.get(attribute);
  if (member !== undefined || members.extra) return member;
  const stored = [...members.byAttribute.values()].find((one) => one.column === attribute);
  const hint = stored === undefined ? "" : `, did you mean ${JSON.stringify(stored.attribute)}?`;
  throw new FarmDbError("unknown_field", `${members.owner} has no field ${JSON.stringify(attribute)}${hint}`, {
    entity: members.owner,
    field: attribute,
  });
}
