/**
 * Values on their way out. `JSON.parse` has done the work; what is here touches only the fields whose stored form is not
 * yet what this side promises, and gives stored names their attributes.
 */
import type { Members, Shape } from "../model/shape.js";
import { Decimal } from "../value/decimal.js";
import { ObjectId } from "../value/object-id.js";
import { readMoment } from "../value/precise-date.js";

type Plain = Record<string, unknown>;
/** Turns the parsed JSON of one value into the value; never called with null. */
type Read = (json: any) => unknown;
/** Turns one parsed row into the row of a model. */
export type ReadRow<R> = (row: Plain) => R;

const rows = new WeakMap<Members, ReadRow<any>>();

/** The reader of a model's rows. */
export function rowReader<R>(members: Members): ReadRow<R> {
  let read = rows.get(members);
  if (read === undefined) {
    read = modelReader(members) ?? ((row: Plain) => row);
    if (members.relations !== undefined) read = withRelated(read, members.relations);
    rows.set(members, read);
  }
  return read;
}

/** Reads the related rows that a row was read with. */
function withRelated(read: ReadRow<any>, relations: ReadonlyMap<string, () => Shape>): ReadRow<any> {
  return (row) => {
    const result = read(row);
    for (const [name, shape] of relations) {
      const value = row[name];
      if (value !== undefined) result[name] = readRelated(value, shape());
    }
    return result;
  };
}

function readRelated(value: unknown, shape: Shape): unknown {
  if (value === null || shape.kind === "any") return value;
  if (shape.element !== undefined) {
    const { element } = shape;
    return (value as unknown[]).map((one) => readRelated(one, element));
  }
  return shape.members === undefined ? value : rowReader(shape.members)(value as Plain);
}

/** The reader of one attribute's values, for `distinct`. */
export function valueReader(shape: Shape): Read {
  const read = readerOf(shape) ?? ((json: unknown) => json);
  return (json) => (json === null ? null : read(json));
}

/** `undefined` where rows are right as they are. */
function modelReader(members: Members): Read | undefined {
  const plan = [...members.byAttribute.values()].map(
    ({ attribute, column, shape }) => [attribute, column, readerOf(shape)] as const,
  );
  const renamed = plan.some(([attribute, column]) => attribute !== column);
  if (renamed) return members.extra ? renamingWithExtra(plan) : renaming(plan);
  const converted = plan.flatMap(([name, , read]) => (read === undefined ? [] : [[name, read] as const]));
  const extra = members.extra ? extraReader(plan) : undefined;
  if (converted.length === 0 && extra === undefined) return undefined;
  return (row: Plain) => {
    for (const [name, read] of converted) {
      const value = row[name];
      if (value !== null && value !== undefined) row[name] = read(value);
    }
    extra?.(row);
    return row;
  };
}

type Plan = readonly (readonly [attribute: string, column: string, read: Read | undefined])[];

function renaming(plan: Plan): Read {
  return (row: Plain) => {
    const result: Plain = {};
    for (const [attribute, column, read] of plan) {
      const value = row[column];
      if (value === undefined) continue;
      result[attribute] = read === undefined || value === null ? value : read(value);
    }
    return result;
  };
}

/** Undeclared keys follow the declared ones. */
function renamingWithExtra(plan: Plan): Read {
  const declared = new Set(plan.map(([, column]) => column));
  const read = renaming(plan);
  return (row: Plain) => {
    const result = read(row) as Plain;
    for (const key of Object.keys(row)) if (!declared.has(key)) define(result, key, readAny(row[key]));
    return result;
  };
}

function extraReader(plan: Plan): (row: Plain) => void {
  const declared = new Set(plan.map(([, column]) => column));
  return (row) => {
    for (const key of Object.keys(row)) if (!declared.has(key)) define(row, key, readAny(row[key]));
  };
}

/** Sets a key that may be `__proto__`. */
function define(object: Plain, key: string, value: unknown): void {
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
}

const SCALARS: Partial<Record<Shape["kind"], Read>> = {
  int: (json) => (typeof json === "object" ? BigInt(json.$numberLong) : json),
  float: (json) => (typeof json === "object" ? Number(json.$numberDouble) : json),
  decimal: (json) => new Decimal(json.$numberDecimal),
  uuid: (json) => json.$uuid,
  object_id: (json) => new ObjectId(json.$oid),
  datetime: (json) => (typeof json === "number" ? new Date(json) : readMoment(json.$date)),
  date: (json) => json.$day,
  time: (json) => json.$time.replace(/\.0+$/, ""),
  bytes: (json) => readBytes(json.$binary),
  any: readAny,
};

function readerOf(shape: Shape): Read | undefined {
  if (shape.bigint) return (json) => BigInt(typeof json === "object" ? json.$numberLong : json);
  if (shape.members !== undefined) return modelReader(shape.members);
  if (shape.element === undefined) return SCALARS[shape.kind];
  const read = readerOf(shape.element);
  if (read === undefined) return undefined;
  const orNull = (json: unknown) => (json === null ? null : read(json));
  return shape.kind === "list" ? (json: unknown[]) => json.map(orNull) : (json: Plain) => inPlace(json, orNull);
}

/** Own keys are overwritten, so that even `__proto__` stays an ordinary key. */
function inPlace(object: Plain, read: (json: unknown) => unknown): Plain {
  for (const key of Object.keys(object)) object[key] = read(object[key]);
  return object;
}

function readBytes(binary: { base64: string }): Uint8Array {
  // A copy: small Buffers are windows into memory that they share with others.
  return new Uint8Array(Buffer.from(binary.base64, "base64"));
}

/** A value of which nothing is declared. UUIDs, days and times of day, which this side has no type for, keep their tag. */
export function readAny(json: unknown): unknown {
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) return json.map(readAny);
  const object = json as Plain;
  const keys = Object.keys(object);
  if (keys.length !== 1 || !keys[0]?.startsWith("$")) return inPlace(object, readAny);
  const inner = object[keys[0]] as any;
  switch (keys[0]) {
    case "$numberLong":
      return BigInt(inner);
    case "$numberDouble":
      return Number(inner);
    case "$numberDecimal":
      return new Decimal(inner);
    case "$oid":
      return new ObjectId(inner);
    case "$date":
      return readMoment(inner);
    case "$binary":
      return readBytes(inner);
    default:
      return json;
  }
}
