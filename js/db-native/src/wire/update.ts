/** Updates on their way in: fields to set, or operators; paths become stored paths. */
import { ANY, type Member, type Members, type Shape } from "../model/shape.js";
import { resolve, writeElementMatch, writeFilter } from "./filter.js";
import { writeEntries, writeValue } from "./record.js";
import { Place } from "./writer.js";

type Plain = Record<string, unknown>;

/** An update as JSON text. Fields that are `undefined` stay untouched. */
export function writeUpdate(update: unknown, members: Members): string {
  const place = new Place("invalid_query");
  if (typeof update !== "object" || update === null || Array.isArray(update)) {
    throw place.refuse("expected an update, which is an object of fields or operators", "invalid_query");
  }
  return writeEntries(update as Plain, place, (key, value) => {
    if (!key.startsWith("$")) return writeTarget(key, value, members, place, "$set");
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return [key, writeValue(value, ANY, place)];
    return [key, writeEntries(value as Plain, place, (path, one) => writeTarget(path, one, members, place, key))];
  });
}

/** The array filters of an update as JSON text; what their names stand for is told by the paths of the update. */
export function writeArrayFilters(filters: unknown, update: unknown, members: Members): string | undefined {
  if (filters === undefined) return undefined;
  const place = new Place("invalid_query");
  if (!Array.isArray(filters)) throw place.refuse("arrayFilters must be a list of filters", "invalid_query");
  const named: Members = { owner: "array filter", byAttribute: elementsByName(update, members), extra: true, made: [] };
  const written = filters.map((one, at) => place.at(`arrayFilters.${at}`, () => writeFilter(one, named, place)));
  return `[${written.join(",")}]`;
}

/** The names in `$[name]` and what the elements there are. */
function elementsByName(update: unknown, members: Members): Map<string, Member> {
  const named = new Map<string, Member>();
  for (const [key, value] of Object.entries(update ?? {})) {
    for (const path of key.startsWith("$") ? Object.keys(value ?? {}) : [key]) {
      const legs = path.split(".");
      for (const [at, leg] of legs.entries()) {
        const name = /^\$\[(.+)\]$/.exec(leg)?.[1];
        if (name === undefined) continue;
        const { shape } = resolve(members, legs.slice(0, at + 1).join("."));
        named.set(name, { attribute: name, column: name, shape });
      }
    }
  }
  return named;
}

function writeTarget(path: string, operand: unknown, members: Members, place: Place, operator: string) {
  const target = resolve(members, path);
  return [target.path, writeOperand(operator, operand, target.shape, members, place)] as const;
}

function writeOperand(operator: string, operand: unknown, shape: Shape, members: Members, place: Place): string {
  const items = shape.kind === "list" ? (shape.element ?? ANY) : ANY;
  switch (operator) {
    case "$set":
    case "$min":
    case "$max":
    case "$pullAll":
      return writeValue(operand, shape, place);
    case "$push":
    case "$addToSet":
      return isEach(operand) ? writeEach(operand, shape, items, place) : writeValue(operand, items, place);
    case "$pull":
      return writeElementMatch(operand, items, place);
    case "$rename":
      return writeValue(typeof operand === "string" ? resolve(members, operand).path : operand, ANY, place);
    default:
      return writeValue(operand, ANY, place);
  }
}

function isEach(operand: unknown): operand is Plain {
  return typeof operand === "object" && operand !== null && Object.hasOwn(operand, "$each");
}

function writeEach(operand: Plain, shape: Shape, items: Shape, place: Place): string {
  return writeEntries(operand, place, (modifier, value) => {
    if (modifier === "$each") return [modifier, writeValue(value, shape, place)];
    if (modifier !== "$sort" || typeof value !== "object" || value === null) {
      return [modifier, writeValue(value, ANY, place)];
    }
    const order = (path: string, direction: unknown) => {
      const stored = items.members === undefined ? path : resolve(items.members, path).path;
      return [stored, writeValue(direction, ANY, place)] as const;
    };
    return [modifier, writeEntries(value as Plain, place, order)];
  });
}
