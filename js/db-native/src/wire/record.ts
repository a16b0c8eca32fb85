/** Records and values on their way in: attributes become stored names, at every depth. */
import { ANY, type Members, memberOf, type Shape } from "../model/shape.js";
import { isTag, Place, type Plain, plainScalar, plainText, writeText } from "./writer.js";

type PlainObject = { [key: string]: Plain | undefined };

/** A value that is to be stored, or that is compared as a whole. */
export function plainValue(value: unknown, shape: Shape, place: Place): Plain {
  const scalar = plainScalar(value, place);
  if (scalar !== undefined) return scalar;
  if (Array.isArray(value)) return plainList(value, shape.kind === "list" ? (shape.element ?? ANY) : ANY, place);
  const object = value as Record<string, unknown>;
  if (shape.members !== undefined && !isTag(object)) return plainMembers(object, shape.members, place, true);
  return plainEntries(object, shape.kind === "map" ? (shape.element ?? ANY) : ANY, place);
}

function plainList(list: unknown[], items: Shape, place: Place): Plain {
  const plain: Plain[] = [];
  for (let index = 0; index < list.length; index++) {
    place.enter(index);
    plain.push(plainValue(list[index], items, place));
    place.leave();
  }
  return plain;
}

function plainEntries(object: Record<string, unknown>, values: Shape, place: Place): Plain {
  const plain: PlainObject = {};
  for (const key of Object.keys(object)) {
    const value = object[key];
    if (value === undefined) continue;
    place.enter(key);
    setOwn(plain, plainText(key, place), plainValue(value, values, place));
    place.leave();
  }
  return plain;
}

/** The given fields of a model; where `complete`, functions make what is absent. */
function plainMembers(object: Record<string, unknown>, members: Members, place: Place, complete: boolean): PlainObject {
  const plain: PlainObject = {};
  for (const attribute of Object.keys(object)) {
    const value = object[attribute];
    if (value === undefined) continue;
    place.enter(attribute);
    const member = memberOf(members, attribute);
    setOwn(plain, member?.column ?? plainText(attribute, place), plainValue(value, member?.shape ?? ANY, place));
    place.leave();
  }
  if (complete) {
    for (const { attribute, column, shape, make } of members.made) {
      const value = object[attribute] === undefined ? make() : undefined;
      if (value === undefined) continue;
      place.enter(attribute);
      setOwn(plain, column, plainValue(value, shape, place));
      place.leave();
    }
  }
  return plain;
}

/** Sets a key that may be `__proto__`. */
function setOwn(object: PlainObject, key: string, value: Plain): void {
  if (key !== "__proto__") object[key] = value;
  else Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
}

/** The text of a value. */
export function writeValue(value: unknown, shape: Shape, place: Place): string {
  return JSON.stringify(plainValue(value, shape, place));
}

/** A JSON object of the entries that are not `undefined`. */
export function writeEntries(
  object: Record<string, unknown>,
  place: Place,
  entry: (key: string, value: unknown) => readonly [key: string, json: string],
): string {
  let json = "";
  for (const key of Object.keys(object)) {
    const value = object[key];
    if (value === undefined) continue;
    const [name, text] = place.at(key, () => entry(key, value));
    json += `${json === "" ? "" : ","}${writeText(name, place)}:${text}`;
  }
  return `{${json}}`;
}

/** A composite key: the given fields of a model. */
export function writeKey(key: Record<string, unknown>, members: Members, place: Place): string {
  return JSON.stringify(plainMembers(key, members, place, false));
}

/** A record for `replace` and `upsert`. */
export function writeRecord(record: object, members: Members): string {
  const place = new Place("invalid_value");
  return JSON.stringify(plainMembers(checkRecord(record, place), members, place, true));
}

/** A value of which nothing is known, such as the parameters of native SQL. */
export function writeFree(value: unknown): string {
  return writeValue(value, ANY, new Place("invalid_value"));
}

/** Any record is an object. */
export function checkRecord(record: unknown, place: Place): Record<string, unknown> {
  if (typeof record === "object" && record !== null) return record as Record<string, unknown>;
  throw place.refuse("expected a record, which is an object");
}
