/** Filters on their way in: paths become stored paths, `undefined` is refused everywhere. */
import { FarmDbError } from "../error.js";
import { patternText, regexFlags } from "../model/builder.js";
import { ANY, type Members, memberOf, type Shape } from "../model/shape.js";
import { writeValue } from "./record.js";
import { isTag, Place, plainScalar, writeText } from "./writer.js";

type Plain = Record<string, unknown>;

/** A stored path and what stands at its end. */
export interface Target {
  readonly path: string;
  readonly shape: Shape;
}

/** A leg that stands for elements of a list: a position, `$`, `$[]`, or the name of an array filter. */
const ELEMENT = /^(\d+|\$|\$\[.*\])$/;

/** Follows a dotted path of attributes. Where nothing is declared the rest is taken as it stands. */
export function resolve(members: Members, path: string): Target {
  if (typeof path !== "string") {
    throw new FarmDbError("invalid_query", `expected the name of a field, got ${path === null ? "null" : typeof path}`);
  }
  const legs = path.split(".");
  let shape: Shape = { kind: "model", bigint: false, members };
  const stored = legs.map((leg) => {
    if (shape.kind === "list" && ELEMENT.test(leg)) {
      shape = shape.element ?? ANY;
      return leg;
    }
    while (shape.kind === "list" && shape.element !== undefined) shape = shape.element;
    const other = shape.members?.relations?.get(leg);
    if (other !== undefined) {
      shape = other();
      return leg;
    }
    // An operator that is no positional leg: the core says that there is none here.
    if (leg.startsWith("$")) shape = ANY;
    const member: { column: string; shape: Shape } | undefined =
      shape.members === undefined ? undefined : memberOf(shape.members, leg);
    shape = member?.shape ?? (shape.kind === "map" ? (shape.element ?? ANY) : ANY);
    return member?.column ?? leg;
  });
  return { path: stored.join("."), shape };
}

/** A filter as JSON text; an absent filter is an empty one. */
export function writeFilter(filter: unknown, members: Members, place = new Place("invalid_query")): string {
  if (!isDocument(filter, place)) throw place.refuse("expected a filter, which is an object", "invalid_query");
  return entries(filter, place, (key, value) => {
    if (key === "$and" || key === "$or" || key === "$nor") {
      return [key, list(value, place, (part) => writeFilter(part, members, place))];
    }
    if (key.startsWith("$")) return [key, writeValue(value, ANY, place)];
    const target = resolve(members, key);
    return [target.path, writeCondition(value, target.shape, place)];
  });
}

/** What a path is tested for: operators, a regular expression, or a value to be equal to. */
export function writeCondition(value: unknown, shape: Shape, place: Place): string {
  if (value instanceof RegExp) return writeRegex(value, place);
  if (!isOperators(value)) return writeOperand(value, shape, place);
  if (value["$regex"] instanceof RegExp) return writeRegexOperators(value, shape, place);
  return entries(value, place, (operator, operand) => [operator, writeOperator(operator, operand, shape, place)]);
}

function writeOperator(operator: string, operand: unknown, shape: Shape, place: Place): string {
  const items = shape.kind === "list" ? (shape.element ?? ANY) : shape;
  switch (operator) {
    case "$not":
      return writeCondition(operand, shape, place);
    case "$elemMatch":
      return writeElementMatch(operand, items, place);
    case "$all":
      return list(operand, place, (part) => writeCondition(part, items, place));
    case "$in":
    case "$nin":
      return list(operand, place, (part) => writeCondition(part, shape, place));
    default:
      return writeOperand(operand, shape, place);
  }
}

/** `$elemMatch` and `$pull`: a filter of element documents, else what the element itself is tested for. */
export function writeElementMatch(operand: unknown, items: Shape, place: Place): string {
  if (!isDocument(operand, place) || isOperators(operand)) return writeCondition(operand, items, place);
  const members = items.members ?? { owner: "element", byAttribute: new Map(), extra: true, made: [] };
  return writeFilter(operand, members, place);
}

/** Whether a value is an object of fields, and no list, date or other single value. */
function isDocument(value: unknown, place: Place): value is Plain {
  if (Array.isArray(value) || value instanceof RegExp) return false;
  return plainScalar(value, place) === undefined && !isTag(value as object);
}

/** A value to compare with. A list field compares as a whole or by one element, so both shapes are tried. */
function writeOperand(value: unknown, shape: Shape, place: Place): string {
  let fitting = shape;
  while (fitting.kind === "list" && !Array.isArray(value)) fitting = fitting.element ?? ANY;
  refuseUndefined(value, place);
  return writeValue(value, fitting, place);
}

/** In a filter a key whose value is `undefined` must not vanish. */
function refuseUndefined(value: unknown, place: Place): void {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
  for (const key of Object.keys(value)) {
    const inner = (value as Plain)[key];
    if (inner === undefined) throw place.at(key, () => undefinedIn(place));
    place.at(key, () => refuseUndefined(inner, place));
  }
}

function undefinedIn(place: Place): FarmDbError {
  return place.refuse("undefined in a filter is neither null nor everything, write what is meant", "invalid_query");
}

function isOperators(value: unknown): value is Plain {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.keys(value).some((key) => key.startsWith("$")) && !isTag(value);
}

function writeRegex(expression: RegExp, place: Place): string {
  const flags = regexFlags(expression);
  const options = flags === "" ? "" : `,"$options":"${flags}"`;
  return `{"$regex":${writeText(expression.source, place)}${options}}`;
}

function writeRegexOperators(value: Plain, shape: Shape, place: Place): string {
  return writeCondition({ ...value, $regex: patternText(value["$regex"] as RegExp) }, shape, place);
}

/** A JSON object of all entries; none may be `undefined`. */
function entries(
  object: Plain,
  place: Place,
  entry: (key: string, value: unknown) => readonly [key: string, json: string],
): string {
  const parts = Object.keys(object).map((key) =>
    place.at(key, () => {
      if (object[key] === undefined) throw undefinedIn(place);
      const [name, json] = entry(key, object[key]);
      return `${writeText(name, place)}:${json}`;
    }),
  );
  return `{${parts.join(",")}}`;
}

/** A JSON list; what is no list goes on as it is, and the core says what it wants. */
function list(value: unknown, place: Place, item: (value: unknown) => string): string {
  if (!Array.isArray(value)) return JSON.stringify(plainScalar(value, place) ?? {});
  const parts = Array.from(value, (one, index) =>
    place.at(index, () => {
      if (one === undefined) throw undefinedIn(place);
      return item(one);
    }),
  );
  return `[${parts.join(",")}]`;
}
