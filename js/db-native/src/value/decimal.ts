import { FarmDbError } from "../error.js";

const PATTERN = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/;

/**
 * A decimal number as exact text. It holds and compares, it does not calculate: hand `toString()` to the arithmetic
 * library of your choice. The scale is kept (`1.10` stays `1.10`).
 */
export class Decimal {
  readonly #text: string;

  /** From text such as `"12.50"`, a bigint, or a whole number that is safe; a fraction must be given as text. */
  constructor(value: string | bigint | number | Decimal) {
    if (typeof value === "number" && !Number.isSafeInteger(value)) {
      throw new FarmDbError("invalid_value", `the number ${value} is not exact as a decimal, give it as text`);
    }
    const text = String(value);
    const parts = PATTERN.exec(text);
    if (parts === null || `${parts[2]}${parts[3] ?? ""}` === "") {
      throw new FarmDbError("invalid_value", `expected a decimal number, got ${JSON.stringify(text.slice(0, 60))}`);
    }
    this.#text = text.replace(/^\+/, "");
  }

  /** The text it was made from. */
  toString(): string {
    return this.#text;
  }

  /** The text, so that `JSON.stringify` loses nothing. */
  toJSON(): string {
    return this.#text;
  }

  /** The nearest number; may lose digits. */
  toNumber(): number {
    return Number(this.#text);
  }

  /** Whether both are the same number, whatever the scale: `1.10` equals `1.1`. */
  equals(other: Decimal | string | bigint | number): boolean {
    const right = other instanceof Decimal ? other : new Decimal(other);
    return normalise(this.#text) === normalise(right.#text);
  }

  get [Symbol.toStringTag](): string {
    return "Decimal";
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `Decimal(${this.#text})`;
  }
}

/** One text for every way of writing a number: digits without zeros at either end, and an exponent. */
function normalise(text: string): string {
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = PATTERN.exec(text) ?? [];
  const digits = (whole + fraction).replace(/^0+/, "");
  const significant = digits.replace(/0+$/, "");
  if (significant === "") return "0";
  const power = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - significant.length);
  return `${sign === "-" ? "-" : ""}${significant}e${power}`;
}
