import { FarmDbError } from "../error.js";

/** A MongoDB object id: 12 bytes, shown as 24 hexadecimal digits. */
export class ObjectId {
  readonly #hex: string;

  /** From 24 hexadecimal digits. */
  constructor(value: string | ObjectId) {
    const text = String(value);
    if (!/^[0-9a-fA-F]{24}$/.test(text)) {
      const shown = JSON.stringify(text.slice(0, 60));
      throw new FarmDbError("invalid_value", `expected an object id of 24 hexadecimal digits, got ${shown}`);
    }
    this.#hex = text.toLowerCase();
  }

  /** The 24 digits, in lower case. */
  toHexString(): string {
    return this.#hex;
  }

  /** The 24 digits, in lower case. */
  toString(): string {
    return this.#hex;
  }

  /** The 24 digits, in lower case. */
  toJSON(): string {
    return this.#hex;
  }

  /** The second in which it was made, as it says. */
  getTimestamp(): Date {
    return new Date(Number.parseInt(this.#hex.slice(0, 8), 16) * 1000);
  }

  /** Whether both are the same id. */
  equals(other: ObjectId | string): boolean {
    return this.#hex === String(other).toLowerCase();
  }

  get [Symbol.toStringTag](): string {
    return "ObjectId";
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `ObjectId(${this.#hex})`;
  }
}
