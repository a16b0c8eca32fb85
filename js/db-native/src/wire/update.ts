/** Updates on their way in: fields to set, or operators; paths become stored paths. */
import { ANY, type Members, type Shape } from "../model/shape.js";
import { resolve, writeElementMatch } from "./filter.js";
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
