/**
 * Values as tagged JSON text (ARCHITECTURE.md, "Values and tagged JSON"). Invariant: what is written is read back by the
 * core as the same value, or refused here with its path.
 */
import { FarmDbError, type FarmDbErrorCode } from "../error.js";
import { Decimal } from "../value/decimal.js";
import { ObjectId } from "../value/object-id.js";

const INT64_LIMIT = 1n << 63n;
/** Levels of lists and objects inside each other, as in the core; also ends what holds itself. */
const MAX_DEPTH = 100;
/** Characters of a path in a message, because it may come from a request. */
const LONGEST = 4_000;

/** Where a value stands, for messages. */
export class Place {
  constructor(
    /** What is said of `undefined` here: a filter is malformed, a record holds a wrong value. */
    readonly code: FarmDbErrorCode,
    private readonly legs: (string | number)[] = [],
  ) {}

  /** Runs `write` one leg further down. */
  at<R>(leg: string | number, write: () => R): R {
    if (this.legs.length >= MAX_DEPTH) throw this.refuse(`nested deeper than ${MAX_DEPTH} levels`, this.code);
    this.legs.push(leg);
    const result = write();
    this.legs.pop();
    return result;
  }

  /** An error that names the path. */
  refuse(message: string, code: FarmDbErrorCode = "invalid_value"): FarmDbError {
    const path = this.legs.join(".").slice(0, LONGEST);
    return new FarmDbError(code, path === "" ? message : `${message} (at ${path})`, path === "" ? {} : { path });
  }
}

/** A JSON string; text that is no Unicode is refused. */
export function writeText(text: string, place: Place): string {
  if (!text.isWellFormed()) throw place.refuse("text contains half of a surrogate pair");
  return JSON.stringify(text);
}

/** A number: without a point only where it is exact as an integer. */
export function writeNumber(number: number): string {
  if (Number.isSafeInteger(number)) return Object.is(number, -0) ? "-0.0" : String(number);
  if (!Number.isFinite(number)) return `{"$numberDouble":"${number}"}`;
  const text = String(number);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

function writeBigint(number: bigint, place: Place): string {
  if (number >= INT64_LIMIT || number < -INT64_LIMIT) {
    throw place.refuse("an integer does not fit 64 bits with a sign");
  }
  return String(number);
}

function writeMoment(moment: Date, place: Place): string {
  if (Number.isNaN(moment.getTime())) throw place.refuse("an invalid Date is no moment");
  return `{"$date":"${moment.toISOString()}"}`;
}

function writeBytes(bytes: Uint8Array): string {
  const base64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
  return `{"$binary":{"base64":"${base64}","subType":"00"}}`;
}

/** The text of anything that is neither a list nor a plain object; `undefined` for those two. */
export function writeScalar(value: unknown, place: Place): string | undefined {
  switch (typeof value) {
    case "string":
      return writeText(value, place);
    case "number":
      return writeNumber(value);
    case "boolean":
      return value ? "true" : "false";
    case "bigint":
      return writeBigint(value, place);
    case "object":
      return value === null ? "null" : writeInstance(value, place);
    case "undefined":
      throw place.refuse("undefined is not a value, write null or leave it out", place.code);
    default:
      throw place.refuse(`a ${typeof value} is not a value`, place.code);
  }
}

function writeInstance(value: object, place: Place): string | undefined {
  if (Array.isArray(value)) return undefined;
  if (value instanceof Date) return writeMoment(value, place);
  if (value instanceof Decimal) return `{"$numberDecimal":"${value}"}`;
  if (value instanceof ObjectId) return `{"$oid":"${value}"}`;
  if (value instanceof Uint8Array) return writeBytes(value);
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
