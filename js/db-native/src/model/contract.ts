/** Models as contract JSON and back. The core checks it and writes the canonical form, the same for Python. */
import { FarmDbError } from "../error.js";
import { resolve, writeFilter } from "../wire/filter.js";
import { readAny } from "../wire/reader.js";
import { writeFree, writeValue } from "../wire/record.js";
import { Place, writeText } from "../wire/writer.js";
import type { Constraints, FieldDefinition, Kind } from "./definition.js";
import type { Field } from "./field.js";
import type { IndexDefinition, Model, RelationDefinition } from "./model.js";
import { type Members, membersOf, type Shape } from "./shape.js";

const place = () => new Place("invalid_schema");

/** A JSON object of the parts that are given. */
function object(parts: Record<string, string | undefined>): string {
  const given = Object.entries(parts).filter(([, json]) => json !== undefined);
  return `{${given.map(([name, json]) => `"${name}":${json}`).join(",")}}`;
}

function list(parts: readonly string[]): string | undefined {
  return parts.length === 0 ? undefined : `[${parts.join(",")}]`;
}

const text = (value: string | undefined) => (value === undefined ? undefined : writeText(value, place()));
const flag = (value: boolean | undefined) => (value ? "true" : undefined);

/** The contract of these models, for the core. */
export function contractOf(models: readonly Model[]): string {
  const names = new Set(models.map((model) => model.table));
  if (names.size < models.length) {
    throw new FarmDbError("invalid_schema", "two models have the same table");
  }
  return object({ version: "1", entities: `[${models.map(entityOf).join(",")}]` });
}

function entityOf(model: Model): string {
  const members = membersOf(model);
  const named = Object.entries(model.fields).map(([name, field]) => [name, field.definition] as const);
  const definitions = Object.fromEntries(named);
  return object({
    name: text(model.table),
    fields: fieldsOf(definitions, members, true),
    indexes: list([...model.indexes, ...nestedIndexes(definitions)].map((index) => indexOf(index, members))),
    relations: list(Object.entries(model.relations).map(([name, relation]) => relationOf(name, relation, members))),
  });
}

/** The indexes that fields of nested models ask for. */
function nestedIndexes(definitions: Readonly<Record<string, FieldDefinition>>): IndexDefinition[] {
  return Object.entries(definitions).flatMap(([name, definition]) => indexesInside(name, definition));
}

function indexesInside(path: string, { fields }: FieldDefinition): IndexDefinition[] {
  return Object.entries(fields ?? {}).flatMap(([name, inner]) => {
    const below = indexesInside(`${path}.${name}`, inner);
    if (!inner.index && !inner.unique) return below;
    return [{ fields: [`${path}.${name}`], ...(inner.unique && { unique: true }) }, ...below];
  });
}

function fieldsOf(fields: Readonly<Record<string, FieldDefinition>>, members: Members, areColumns: boolean): string {
  const parts = [...members.byAttribute.values()].map(({ attribute, column, shape }) => {
    const { search, ...definition } = fields[attribute]!;
    const stored = search?.map((path) => resolve(members, path).path);
    return fieldOf(stored ? { ...definition, search: stored } : definition, shape, column, areColumns);
  });
  return `[${parts.join(",")}]`;
}

function fieldOf(definition: FieldDefinition, shape: Shape, column?: string, isColumn = false): string {
  return object({
    name: text(column),
    type: typeOf(definition, shape),
    nullable: flag(definition.nullable),
    default: defaultOf(definition, shape),
    primary_key: flag(definition.primaryKey),
    unique: flag(isColumn && definition.unique),
    index: flag(isColumn && definition.index),
    generated: text(definition.generated),
    auto: text(definition.auto),
    search: definition.search && JSON.stringify(definition.search),
    ...constraintsOf(definition.constraints ?? {}),
  });
}

function typeOf(definition: FieldDefinition, shape: Shape): string {
  const { items, values, fields } = definition;
  return object({
    kind: text(definition.kind),
    items: items && fieldOf(items, shape.element!),
    values: values && fieldOf(values, shape.element!),
    fields: fields && fieldsOf(fields, shape.members!, false),
    extra: flag(definition.extra),
  });
}

function defaultOf(definition: FieldDefinition, shape: Shape): string | undefined {
  const value = definition.default;
  return value !== undefined && "value" in value ? writeValue(value.value, shape, place()) : undefined;
}

function constraintsOf(constraints: Constraints): Record<string, string> {
  return Object.fromEntries(
    Object.entries(constraints)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, writeFree(value)]),
  );
}

function indexOf(index: IndexDefinition, members: Members): string {
  const fields = index.fields.map((key) => {
    const sign = key.startsWith("-") ? "-" : "";
    return sign + resolve(members, key.slice(sign.length)).path;
  });
  return object({
    fields: JSON.stringify(fields),
    unique: flag(index.unique),
    where: index.where && writeFilter(index.where, members, place()),
    name: text(index.name),
  });
}

function relationOf(name: string, relation: RelationDefinition, members: Members): string {
  const target = typeof relation.target === "string" ? undefined : relation.target;
  const through = typeof relation.through === "string" ? undefined : relation.through;
  const isTheirs = relation.kind === "one_to_many" || relation.inverse === true;
  const model = relation.kind === "many_to_many" ? through : target;
  const theirs = model === undefined ? undefined : membersOf(model);
  const holder = isTheirs || relation.kind === "many_to_many" ? theirs : members;
  const fields = relation.fields.map((field) => (holder === undefined ? field : resolve(holder, field).path));
  return object({
    name: text(name),
    kind: text(relation.kind),
    target: text(target?.table ?? (relation.target as string)),
    fields: JSON.stringify(fields),
    inverse: flag(relation.inverse),
    through: text(through?.table ?? (relation.through as string | undefined)),
    on_delete: text(relation.onDelete),
  });
}

interface FieldJson extends Constraints {
  name: string;
  type: { kind: Kind; items?: FieldJson; values?: FieldJson; fields?: FieldJson[]; extra?: boolean };
  nullable?: boolean;
  default?: unknown;
  primary_key?: boolean;
  unique?: boolean;
  index?: boolean;
  generated?: FieldDefinition["generated"];
  auto?: FieldDefinition["auto"];
  search?: string[];
}
interface EntityJson {
  name: string;
  fields: FieldJson[];
  indexes?: IndexDefinition[];
  relations?: (Omit<RelationDefinition, "onDelete" | "target"> & {
    name: string;
    target: string;
    on_delete?: RelationDefinition["onDelete"];
  })[];
}

/** How {@link modelsFromContract} names attributes. */
export interface ContractOptions {
  /** The attribute of a stored name; the stored name itself unless told. */
  attribute?: (column: string) => string;
}

/**
 * The models of a contract JSON, by table, such as Python writes (`db.contract`). Attributes are the stored names unless
 * `attribute` says otherwise.
 *
 * ```ts
 * const { resources } = modelsFromContract(await readFile("contract.json", "utf8"));
 * ```
 */
export function modelsFromContract(json: string, options: ContractOptions = {}): Record<string, Model<any>> {
  const contract = JSON.parse(json) as { version?: number; entities?: EntityJson[] };
  if (contract.version !== 1 || !Array.isArray(contract.entities)) {
    throw new FarmDbError("invalid_schema", "expected a contract of version 1 with entities");
  }
  const attribute = options.attribute ?? ((column: string) => column);
  return Object.fromEntries(contract.entities.map((entity) => [entity.name, modelOf(entity, attribute)]));
}

function modelOf(entity: EntityJson, attribute: (column: string) => string): Model<any> {
  const rename = (path: string) => {
    const sign = path.startsWith("-") ? "-" : "";
    return sign + path.slice(sign.length).split(".").map(attribute).join(".");
  };
  const indexes = (entity.indexes ?? []).map((index) => ({
    ...index,
    fields: index.fields.map(rename),
    ...(index.where && { where: renameKeys(readAny(index.where), rename) as object }),
  }));
  const relations = (entity.relations ?? []).map(({ name, on_delete, ...rest }) => {
    const fields = rest.fields.map(attribute);
    return [name, { ...rest, fields, ...(on_delete && { onDelete: on_delete }) }] as const;
  });
  const fields = Object.fromEntries(
    entity.fields.map((field) => [attribute(field.name), { definition: definitionOf(field, attribute) } as Field]),
  );
  return Object.freeze({ table: entity.name, fields, indexes, relations: Object.fromEntries(relations) });
}

/** A filter with the keys that are paths renamed; operators stay. */
function renameKeys(filter: unknown, rename: (path: string) => string): unknown {
  if (Array.isArray(filter)) return filter.map((part) => renameKeys(part, rename));
  if (typeof filter !== "object" || filter === null || Object.getPrototypeOf(filter) !== Object.prototype)
    return filter;
  const entries = Object.entries(filter).map(([key, value]) =>
    key.startsWith("$") ? [key, renameKeys(value, rename)] : [rename(key), value],
  );
  return Object.fromEntries(entries);
}

function definitionOf(field: FieldJson, attribute: (column: string) => string): FieldDefinition {
  const { name, type, nullable, default: value, primary_key, unique, index, ...rest } = field;
  const { generated, auto, search, ...constraints } = rest;
  const definition: Record<string, unknown> = {
    kind: type.kind,
    column: name !== undefined && attribute(name) !== name ? name : undefined,
    items: type.items && definitionOf(type.items, attribute),
    values: type.values && definitionOf(type.values, attribute),
    fields:
      type.fields && Object.fromEntries(type.fields.map((one) => [attribute(one.name), definitionOf(one, attribute)])),
    extra: type.extra,
    nullable,
    default: value === undefined ? undefined : { value: rawDefault(value) },
    primaryKey: primary_key,
    unique,
    index,
    generated,
    auto,
    search: search?.map((path) => path.split(".").map(attribute).join(".")),
    constraints: Object.keys(constraints).length === 0 ? undefined : readAny(constraints),
  };
  return Object.fromEntries(Object.entries(definition).filter(([, one]) => one !== undefined)) as never;
}

/** Defaults of nested models stand by stored names; as free values they go back into the contract as they came. */
function rawDefault(value: unknown): unknown {
  return readAny(structuredClone(value));
}
