/**
 * `createMany`: records are taken in slices, between which the event loop goes on, and the database inserts the first of
 * many while the next are taken. All or none: what was inserted is gone again before an error reaches the caller.
 */
import { FarmDbError } from "./error.js";
import type { Members } from "./model/shape.js";
import { awaited, type NativeCreation, type NativeRepository, type NativeTransaction, parsed } from "./native.js";
import { rowReader } from "./wire/reader.js";
import { fillIn, type NewRow, rowMaker } from "./wire/row.js";
import { Place } from "./wire/writer.js";

/** Rows that are handed over at once; about so many or fewer are one statement without further ado. */
const SLICE = 128;
/** Rows after which is seen to the next slice and the event loop. */
const LOOK = 16;
/** Milliseconds that the event loop waits for one turn of it. */
const BUDGET = 0.5;

/** What `createMany` takes. */
export type Records<R> = Iterable<R> | AsyncIterable<R>;

/** Stores the row of a record; gives it as it is stored. */
export async function createRow<R>(
  native: NativeRepository,
  tx: NativeTransaction | null,
  members: Members,
  record: unknown,
): Promise<R> {
  const rows = [rowMaker(members)(record, new Place("invalid_value"))];
  const json = JSON.stringify(rows);
  fillIn(rows, await awaited(() => native.create(json, tx)));
  return rowReader<R>(members)(rows[0] as NewRow);
}

/** Stores the rows of records, all or none; gives them as they are stored. */
export function createRows<R>(
  native: NativeRepository,
  tx: NativeTransaction | null,
  members: Members,
  records: Records<unknown>,
): Promise<R[]> {
  return new Creation<R>(native, tx, members).run(records);
}

class Creation<R> {
  readonly #native: NativeRepository;
  readonly #tx: NativeTransaction | null;
  readonly #members: Members;
  readonly #rows: NewRow[] = [];
  /** Where each slice that was handed over ends. */
  readonly #ends: number[] = [];
  /** What takes slices, once there are several. */
  #taker: NativeCreation | undefined;
  #began = performance.now();

  constructor(native: NativeRepository, tx: NativeTransaction | null, members: Members) {
    this.#native = native;
    this.#tx = tx;
    this.#members = members;
  }

  async run(records: Records<unknown>): Promise<R[]> {
    try {
      await this.#take(records);
    } catch (error) {
      await this.#taker?.undo();
      throw error;
    }
    return this.#read(await awaited(() => this.#insert()));
  }

  /** Makes the rows, and hands all but the last slice over; leaves off where the insertion has failed, which says why. */
  async #take(records: Records<unknown>): Promise<void> {
    const make = rowMaker(this.#members);
    const place = new Place("invalid_value");
    const rows = this.#rows;
    if (Symbol.iterator in Object(records)) {
      for (const record of records as Iterable<unknown>) {
        if (rows.push(make(record, place)) % LOOK === 0 && !(await this.#pause())) return;
      }
    } else if (Symbol.asyncIterator in Object(records)) {
      for await (const record of records) {
        if (rows.push(make(record, place)) % LOOK === 0 && !(await this.#pause())) return;
      }
    } else {
      throw new FarmDbError("invalid_value", "createMany takes records that can be iterated over");
    }
  }

  /** Hands a slice over if there is one, and leaves the event loop its turn; whether to go on. */
  async #pause(): Promise<boolean> {
    const isFull = this.#rows.length - this.#handed() > SLICE;
    if (isFull && !this.#hand(this.#handed() + SLICE) && !(await parsed(() => this.#many().room()))) return false;
    await this.#turn();
    return true;
  }

  /** Lets the event loop go on where it has waited long enough. */
  async #turn(): Promise<void> {
    if (performance.now() - this.#began < BUDGET) return;
    await new Promise(setImmediate);
    this.#began = performance.now();
  }

  #handed(): number {
    return this.#ends.at(-1) ?? 0;
  }

  #many(): NativeCreation {
    this.#taker ??= this.#native.creation(this.#tx);
    return this.#taker;
  }

  /** Hands the rows before `end` over; whether there is room for more. */
  #hand(end: number): boolean {
    const json = JSON.stringify(this.#rows.slice(this.#handed(), end));
    this.#ends.push(end);
    return this.#many().take(json);
  }

  /** Ends well; what tells what the core has made in each slice. */
  async #insert(): Promise<(slice: number) => string> {
    const taker = this.#taker;
    if (taker === undefined) {
      this.#ends.push(this.#rows.length);
      const made = await this.#native.create(JSON.stringify(this.#rows), this.#tx);
      return () => made;
    }
    if (this.#rows.length > this.#handed()) this.#hand(this.#rows.length);
    await taker.insert();
    return (slice) => taker.made(slice);
  }

  async #read(made: (slice: number) => string): Promise<R[]> {
    const read = rowReader<R>(this.#members);
    const result: R[] = [];
    for (const [slice, end] of this.#ends.entries()) {
      const rows = this.#rows.slice(this.#ends[slice - 1] ?? 0, end);
      fillIn(rows, made(slice));
      for (const row of rows) result.push(read(row));
      await this.#turn();
    }
    return result;
  }
}
