import { FarmDbError } from "../error.js";

const MOMENT = /^(.{19}\.\d{3})(\d{3})Z$/;

/** A `Date` that also holds the microseconds behind its milliseconds. Reads return it where they are not zero. */
export class PreciseDate extends Date {
  /** The microseconds behind the milliseconds, 0 to 999. */
  readonly microseconds: number;

  /** From a moment, as `Date` takes it, and the microseconds behind its milliseconds. */
  constructor(moment: number | string | Date, microseconds = 0) {
    super(moment);
    if (!Number.isInteger(microseconds) || microseconds < 0 || microseconds > 999) {
      throw new FarmDbError("invalid_value", `expected 0 to 999 microseconds, got ${microseconds}`);
    }
    this.microseconds = microseconds;
  }

  /** RFC 3339 with six digits behind the seconds. */
  override toISOString(): string {
    return `${super.toISOString().slice(0, -1)}${String(this.microseconds).padStart(3, "0")}Z`;
  }
}

/** A stored moment (`2024-01-31T12:00:00.000001Z`) as a `Date`, precise where it has to be. */
export function readMoment(text: string): Date {
  const parts = MOMENT.exec(text);
  if (parts === null) return new Date(text);
  const microseconds = Number(parts[2]);
  return microseconds === 0 ? new Date(`${parts[1]}Z`) : new PreciseDate(`${parts[1]}Z`, microseconds);
}
