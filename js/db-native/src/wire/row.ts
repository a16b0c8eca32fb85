/**
 * New rows on their way into the core. Of each there is one object: `JSON.stringify` writes it for the core, and once what
 * the core has made otherwise stands in it ({@link fillIn}), reading it gives the row as it is stored. Invariant: nothing of
 * it belongs to the caller's record.
 */
import { type Member, type Members, memberOf, type Shape } from "../model/shape.js";
import { checkRecord, plainValue } from "./record.js";
import type { Place, Plain } from "./writer.js";

/** A row by stored names, in the order of the model's fields; what a record does not give is `undefined`. */
export type NewRow = Record<string, Plain | undefined>;
/** Makes the row of a record. */
type Make = (record: unknown, place: Place) => NewRow;

const makers = new WeakMap<Members, Make>();

/** What makes rows of a model's records. */
export function rowMaker(members: Members): Make {
  let make = makers.get(members);
  if (make === undefined) {
    make = makerOf(members);
    makers.set(members, make);
  }
  return make;
}

function makerOf(members: Members): Make {
  const known = [...members.byAttribute.values()];
  // Own keys, so that even `__proto__` is an ordinary one.
  const blank: NewRow = Object.fromEntries(known.map(({ column }) => [column, undefined]));
  return (given, place) => {
    const record = checkRecord(given, place);
    const row = { ...blank };
    let next = 0;
    for (const attribute of Object.keys(record)) {
      const expected = known[next++];
      const member = expected?.attribute === attribute ? expected : undefined;
      setCell(row, member ?? attribute, record[attribute], members, place);
    }
    for (const { attribute, make } of members.made) {
      if (record[attribute] === undefined) setCell(row, attribute, make(), members, place);
    }
    return row;
  };
}

function setCell(row: NewRow, of: Member | string, value: unknown, members: Members, place: Place): void {
  if (value === undefined) return;
  place.enter(typeof of === "string" ? of : of.attribute);
  const member = typeof of === "string" ? memberOf(members, of) : of;
  if (member !== undefined) row[member.column] = plainCell(value, member.shape, place);
  place.leave();
}

/** Milliseconds of the first and the last moment that databases have. */
const FIRST = Date.parse("0001-01-01T00:00:00Z");
const LAST = Date.parse("9999-12-31T23:59:59.999Z");

/** The value of a field; of a moment of whole milliseconds, which nearly all are, their number since 1970. */
function plainCell(value: unknown, shape: Shape, place: Place): Plain {
  if (shape.kind !== "datetime") return plainValue(value, shape, place);
  if (value instanceof Date && Object.getPrototypeOf(value) === Date.prototype) {
    const milliseconds = value.getTime();
    if (milliseconds >= FIRST && milliseconds <= LAST) return milliseconds;
  }
  const plain = plainValue(value, shape, place);
  // A number is no moment, and the core says so.
  return typeof plain === "number" ? { $numberDouble: String(plain) } : plain;
}

/** Puts what the core has made otherwise into rows: JSON of the values of fields, a list each. */
export function fillIn(rows: readonly NewRow[], made: string): void {
  if (made === "") return;
  for (const [column, values] of Object.entries<Plain[]>(JSON.parse(made))) {
    for (let index = 0; index < rows.length; index++) (rows[index] as NewRow)[column] = values[index];
  }
}
