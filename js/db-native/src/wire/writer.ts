/**
 * Values as what `JSON.stringify` writes as tagged JSON (ARCHITECTURE.md, "Values and tagged JSON"). Invariant: what is
 * written is read back by the core as the same value, or refused here with its path.
 */
import { FarmDbError, type FarmDbErrorCode } from "../error.js";
import { Decimal } from "../value/decimal.js";
import { ObjectId } from "../value/object-id.js";

const INT64_LIMIT = 1n << 63n;
/** Levels of lists and objects inside each other, as in the core; also ends what holds itself. */
const MAX_DEPTH = 100;
/** Characters of a path in a message, because it may come from a request. */
const LONGEST = 4_000;

/** What `JSON.stringify` writes as tagged JSON: it holds nothing of anybody else's. */
export type Plain = null | boolean | number | string | Plain[] | { [key: string]: Plain | undefined };

/** Where a value stands, for messages. */
export class Place {
  constructor(
    /** What is said of `undefined` here: a filter is malformed, a record holds a wrong value. */
    readonly code: FarmDbErrorCode,
    private readonly legs: (string | number)[] = [],
  ) {}

  /** Runs `write` one leg further down. */
  at<R>(leg: string | number, write: () => R): R {
    this.enter(leg);
    const result = write();
    this.leave();
    return result;
  }

  /** Goes one leg further down. */
  enter(leg: string | number): void {
    if (this.legs.length >= MAX_DEPTH) throw this.refuse(`nested deeper than ${MAX_DEPTH} levels`, this.code);
    this.legs.push(leg);
  }

  /** Goes back up. */
  leave(): void {
    this.legs.pop();
  }

  /** An error that names the path. */
  refuse(message: string, code: FarmDbErrorCode = "invalid_value"): FarmDbError {
    const path = this.legs.join(".").slice(0, LONGEST);
    return new FarmDbError(code, path === "" ? message : `${message} (at ${path})`, path === "" ? {} : { path });
  }
}

/** Text as it is; what is no Unicode is refused. */
export function plainText(text: string, place: Place): string {
  if (!text.isWellFormed()) throw place.refuse("text contains half of a surrogate pair");
  return text;
}

/** A JSON string. */
export function writeText(text: string, place: Place): string {
  return JSON.stringify(plainText(text, place));
}

/** A number: as it is only where JSON's is the same, and without a point only where it is exact as an integer. */
function plainNumber(number: number): Plain {
  const isSame = Number.isInteger(number)
    ? Number.isSafeInteger(number) && !Object.is(number, -0)
    : Number.isFinite(number);
  return isSame ? number : { $numberDouble: Object.is(number, -0) ? "-0" : String(number) };
}

function plainBigint(number: bigint, place: Place): Plain {
  if (number >= INT64_LIMIT || number < -INT64_LIMIT) {
    throw place.refuse("an integer does not fit 64 bits with a sign");
  }
  const near = Number(number);
  return Number.isSafeInteger(near) ? near : { $numberLong: String(number) };
}

function plainMoment(moment: Date, place: Place): Plain {
  if (Number.isNaN(moment.getTime())) throw place.refuse("an invalid Date is no moment");
  return { $date: moment.toISOString() };
}

function plainBytes(bytes: Uint8Array): Plain {
  const base64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
  return { $binary: { base64, subType: "00" } };
}

/** Anything that is neither a list nor a plain object; `undefined` for those two. */
export function plainScalar(value: unknown, place: Place): Plain | undefined {
  switch (typeof value) {
    case "string":
      return plainText(value, place);
    case "number":
      return plainNumber(value);
    case "boolean":
      return value;
    case "bigint":
      return plainBigint(value, place);
    case "object":
      return value === null ? null : plainInstance(value, place);
    case "undefined":
      throw place.refuse("undefined is not a value, write null or leave it out", place.code);
    default:
      throw place.refuse(`a ${typeof value} is not a value`, place.code);
  }
}

function plainInstance(value: object, place: Place): Plain | undefined {
  if (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype) return undefined;
  if (value instanceof Date) return plainMoment(value, place);
  if (value instanceof Decimal) return { $numberDecimal: String(value) };
  if (value instanceof ObjectId) return { $oid: String(value) };
  if (value instanceof Uint8Array) return plainBytes(value);
  if (isForeign(value)) throw place.refuse(`a ${value.constructor?.name ?? "value"} cannot be stored`, place.code);
  return undefined;
}

/** Built-in objects whose own keys say nothing of what they hold. */
function isForeign(value: object): boolean {
  return (
    value instanceof Map ||
    value instanceof Set ||
    value instanceof RegExp ||
    value instanceof Promise ||
    value instanceof WeakMap ||
    value instanceof WeakSet ||
    value instanceof Error ||
    value instanceof ArrayBuffer ||
    value instanceof Number ||
    value instanceof String ||
    value instanceof Boolean ||
    ArrayBuffer.isView(value)
  );
}

const TAGS = new Set([
  "$numberLong",
  "$numberDouble",
  "$numberDecimal",
  "$uuid",
  "$oid",
  "$date",
  "$day",
  "$time",
  "$binary",
]);

/** Whether an object stands for one value, such as `{ $uuid: "..." }`. */
export function isTag(value: object): boolean {
  const keys = Object.keys(value);
  return keys.length === 1 && TAGS.has(keys[0] as string);
}
