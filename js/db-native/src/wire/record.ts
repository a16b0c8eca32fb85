/** Records and values on their way in: attributes become stored names, at every depth. */
import { ANY, type Members, memberOf, type Shape } from "../model/shape.js";
import { isTag, Place, writeScalar, writeText } from "./writer.js";

/** A value that is to be stored, or that is compared as a whole. */
export function writeValue(value: unknown, shape: Shape, place: Place): string {
  const scalar = writeScalar(value, place);
  if (scalar !== undefined) return scalar;
  if (Array.isArray(value)) {
    const items = shape.kind === "list" ? (shape.element ?? ANY) : ANY;
    const parts = Array.from(value, (item, index) => place.at(index, () => writeValue(item, items, place)));
    return `[${parts.join(",")}]`;
  }
  const object = value as Record<string, unknown>;
  if (shape.members !== undefined && !isTag(object)) return writeMembers(object, shape.members, place, true);
  const values = shape.kind === "map" ? (shape.element ?? ANY) : ANY;
  return writeEntries(object, place, (key, inner) => [key, writeValue(inner, values, place)]);
}

/** The given fields of a model; where `complete`, functions make what is absent. */
export function writeMembers(
  object: Record<string, unknown>,
  members: Members,
  place: Place,
  complete: boolean,
): string {
  const given = complete ? withMade(object, members) : object;
  return writeEntries(given, place, (attribute, value) => {
    const member = memberOf(members, attribute);
    return [member?.column ?? attribute, writeValue(value, member?.shape ?? ANY, place)];
  });
}

/** The object with the results of the default functions of absent fields; the object itself where there are none. */
function withMade(object: Record<string, unknown>, members: Members): Record<string, unknown> {
  let made: Record<string, unknown> | undefined;
  for (const { attribute, default: value } of members.byAttribute.values()) {
    if (value !== undefined && "make" in value && object[attribute] === undefined) {
      made ??= { ...object };
      made[attribute] = value.make();
    }
  }
  return made ?? object;
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

/** A record for `create`, `replace` and `upsert`. */
export function writeRecord(record: object, members: Members): string {
  const place = new Place("invalid_value");
  if (typeof record !== "object" || record === null) throw place.refuse("expected a record, which is an object");
  return writeMembers(record as Record<string, unknown>, members, place, true);
}

/** A value of which nothing is known, such as the parameters of native SQL. */
export function writeFree(value: unknown): string {
  return writeValue(value, ANY, new Place("invalid_value"));
}
