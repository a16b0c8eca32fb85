/** Repositories: one method a verb of the core. */
import { createRow, createRows, type Records } from "./creation.js";
import type { Database } from "./database.js";
import { FarmDbError } from "./error.js";
import type { Conditions, Include, Included, Infer, InferInput, InferKey, Simplify } from "./model/infer.js";
import type { Model } from "./model/model.js";
import { ANY, type Members, membersAmong, type Shape } from "./model/shape.js";
import {
  awaited,
  type NativeEngine,
  type NativeRepository,
  type NativeStream,
  type NativeTransaction,
  parse,
  parsed,
  type Reply,
  rebuilt,
} from "./native.js";
import type { Filter } from "./query/filter.js";
import type {
  AggregateOptions,
  CallOptions,
  ElementOptions,
  FindOptions,
  GetOptions,
  Page,
  PageOptions,
  SelectOptions,
  WriteOptions,
} from "./query/options.js";
import type { At, Path } from "./query/path.js";
import type { Update } from "./query/update.js";
import { Transaction } from "./transaction.js";
import { resolve, writeFilter } from "./wire/filter.js";
import { Arguments, type QueryParts, writeFields, writeSort } from "./wire/query.js";
import { readAny, rowReader, valueReader } from "./wire/reader.js";
import { writeFree, writeKey, writeRecord, writeValue } from "./wire/record.js";
import { writeArrayFilters, writeUpdate } from "./wire/update.js";
import { Place } from "./wire/writer.js";

/** In place of a filter: `updateMany` and `deleteMany` may touch every row. */
export const ALL: unique symbol = Symbol("farm-db.ALL");

type Row<M extends Model> = Infer<M>;
type Where<M extends Model> = Filter<Conditions<M>>;
/** A row's fields, and the related rows that it was read with. */
type Picked<M extends Model, K extends keyof Row<M>, I extends string = never> = [I] extends [never]
  ? Pick<Row<M>, K> & {}
  : Simplify<Pick<Row<M>, K> & Included<M, I>>;
type Upsert<M extends Model> = CallOptions & {
  /** The fields that tell whether the row exists; the key unless told. */
  on?: readonly (keyof Row<M> & string)[];
};

/** The rows of one model. Made by `db.repository(Model)`; cheap, and safe to share. */
export class Repository<M extends Model> {
  /** The model. */
  readonly model: M;
  readonly #database: Database;
  readonly #engine: NativeEngine;
  readonly #members: Members;
  readonly #tx: Transaction | undefined;
  #native: NativeRepository | undefined;

  /** @internal */
  constructor(database: Database, engine: NativeEngine, model: M, tx?: Transaction) {
    this.#database = database;
    this.#engine = engine;
    this.model = model;
    this.#members = membersAmong(database.models, model);
    this.#tx = tx;
  }

  /** This repository with every call in `tx`. */
  in(tx: Transaction): Repository<M> {
    return new Repository(this.#database, this.#engine, this.model, tx);
  }

  /** Stores a new row and returns it as it is stored. */
  async create(record: InferInput<M>, options: CallOptions = {}): Promise<Row<M>> {
    return createRow(this.#own(), this.#transaction(options), this.#members, record);
  }

  /**
   * Stores new rows, all or none, and returns them as they are stored.
   *
   * The records are taken in slices, between which the event loop goes on: do not change them before the promise is
   * settled. Of many, the first are inserted while the next are taken, so that a generator of any length needs no memory
   * beside the rows that are returned.
   *
   * ```ts
   * await resources.createMany(lines.map(parse));
   * ```
   */
  async createMany(records: Records<InferInput<M>>, options: CallOptions = {}): Promise<Row<M>[]> {
    return createRows(this.#own(), this.#transaction(options), this.#members, records);
  }

  /** The row of this key; refused with `not_found` where there is none. */
  async get<I extends Include<M> = never>(
    id: InferKey<M>,
    options: GetOptions<I> = {},
  ): Promise<Picked<M, keyof Row<M>, I>> {
    if (options.include !== undefined || options.tx !== undefined || this.#tx !== undefined) {
      return this.#row("get", this.#keyed(id).include(options.include), options);
    }
    // Most calls are like this: their way is short, and they wait only where they have to.
    const isText = typeof id === "string" && id.isWellFormed();
    const key = isText ? id : this.#key(id);
    let json: string | Promise<string>;
    try {
      json = this.#own().get(key, !isText);
      if (typeof json !== "string") json = await json;
    } catch (error) {
      throw rebuilt(error);
    }
    return rowReader<Picked<M, keyof Row<M>, I>>(this.#members)(JSON.parse(json)[0]);
  }

  /** The row of this key, or null. */
  async getOrNone<I extends Include<M> = never>(
    id: InferKey<M>,
    options: GetOptions<I> = {},
  ): Promise<Picked<M, keyof Row<M>, I> | null> {
    return this.#rowOrNull("get_or_none", this.#keyed(id).include(options.include), options);
  }

  /** The rows of these keys in their order; missing ones are left out. */
  async getMany<I extends Include<M> = never>(
    ids: readonly InferKey<M>[],
    options: GetOptions<I> = {},
  ): Promise<Picked<M, keyof Row<M>, I>[]> {
    const json = `[${Array.from(ids, (id) => this.#key(id)).join(",")}]`;
    return this.#rows("get_many", new Arguments().add("ids", json).include(options.include), options);
  }

  /** The rows that the filter matches. */
  async find<K extends keyof Row<M> = keyof Row<M>, I extends Include<M> = never>(
    filter: Where<M> = {} as Where<M>,
    options: SelectOptions<Row<M>, K, I> = {},
  ): Promise<Picked<M, K, I>[]> {
    return this.#rows("find", this.#query(filter, options), options);
  }

  /**
   * The rows that have every word of the text, the best first unless there is a sort. A word is a run of letters, digits
   * and accents, whole and in any case; the model says by `searchOf` which fields are looked at.
   */
  async search<K extends keyof Row<M> = keyof Row<M>>(
    text: string,
    filter: Filter<Row<M>> = {} as Filter<Row<M>>,
    options: Omit<SelectOptions<Row<M>, K>, "search"> = {},
  ): Promise<Picked<M, K>[]> {
    if (typeof text !== "string") {
      throw new FarmDbError("invalid_query", `a search is a text, got ${typeof text}`, { argument: "search" });
    }
    return this.#rows("find", this.#query(filter, { ...options, search: text }), options);
  }

  /** The rows as tagged JSON with stored names, exactly as they left the core: for passing on without parsing. */
  async findJson<K extends keyof Row<M> = keyof Row<M>>(
    filter: Where<M> = {} as Where<M>,
    options: SelectOptions<Row<M>, K, Include<M>> = {},
  ): Promise<Buffer> {
    return awaited(() => this.#call("find", this.#query(filter, options), options, true)) as Promise<Buffer>;
  }

  /** The first row that the filter matches, or null. */
  async findOne<K extends keyof Row<M> = keyof Row<M>, I extends Include<M> = never>(
    filter: Where<M> = {} as Where<M>,
    options: Omit<SelectOptions<Row<M>, K, I>, "limit"> = {},
  ): Promise<Picked<M, K, I> | null> {
    return this.#rowOrNull("find_one", this.#query(filter, options), options);
  }

  /**
   * The rows that the filter matches, one by one, read in batches. Leaving the loop ends the read.
   *
   * ```ts
   * for await (const row of resources.stream({ tags: "a" })) console.log(row.name);
   * ```
   */
  async *stream<K extends keyof Row<M> = keyof Row<M>>(
    filter: Where<M> = {} as Where<M>,
    options: Omit<SelectOptions<Row<M>, K>, "include"> & { /** Rows read at once. */ batch?: number } = {},
  ): AsyncGenerator<Picked<M, K>, void, undefined> {
    const query = this.#query(filter, options).toString();
    const batch = options.batch ?? 256;
    const stream: NativeStream = await awaited(() =>
      this.#engine.stream(this.model.table, query, batch, this.#transaction(options)),
    );
    const read = rowReader<Picked<M, K>>(this.#members);
    try {
      for (;;) {
        const rows: Record<string, unknown>[] = await parsed(() => stream.next());
        if (rows.length === 0) return;
        for (const row of rows) yield read(row);
      }
    } finally {
      stream.close();
    }
  }

  /** How many rows the filter matches. */
  async count(filter: Where<M> = {} as Where<M>, options: Omit<FindOptions<Row<M>>, "sort"> = {}): Promise<number> {
    return parsed(() => this.#call("count", this.#query(filter, options), options));
  }

  /** Whether the filter matches a row. */
  async exists(filter: Where<M> = {} as Where<M>, options: Omit<FindOptions<Row<M>>, "sort"> = {}): Promise<boolean> {
    return parsed(() => this.#call("exists", this.#query(filter, options), options));
  }

  /** The different values of a field or path, sorted. Of a list, its elements. */
  async distinct<P extends Path<Row<M>>>(
    field: P,
    filter: Where<M> = {} as Where<M>,
    options: Omit<FindOptions<Row<M>>, "sort"> = {},
  ): Promise<(At<Row<M>, P> extends readonly (infer E)[] ? E : At<Row<M>, P>)[]> {
    const target = resolve(this.#members, field);
    const args = this.#query(filter, options).plain("field", target.path);
    const values: unknown[] = await parsed(() => this.#call("distinct", args, options));
    return values.map(valueReader(innermost(target.shape))) as never;
  }

  /**
   * Groups of rows and what is computed of each; sums of ints, decimals and floats are exact. Ints of the result are
   * numbers where they are safe, else bigints; decimals are {@link Decimal}.
   *
   * @throws FarmDbError `invalid_query` if a path is no single value, or no number where one is needed; `invalid_value`
   * if a sum exceeds what its type holds.
   */
  async aggregate(
    filter: Where<M> = {} as Where<M>,
    options: AggregateOptions<Row<M>> = {},
  ): Promise<Record<string, unknown>[]> {
    const { group = {}, measures = {}, having, sort, limit, skip, order, deleted, search } = options;
    const args = new Arguments()
      .add("filter", writeFilter(filter, this.#members))
      .add("group", writeFree(this.#stored(group)))
      .add("measures", writeFree(this.#stored(measures)))
      .add("having", having && writeFree(having))
      .add("sort", sort && writeFree(sort))
      .count("limit", limit)
      .count("skip", skip)
      .add("order", order === undefined ? undefined : writeSort(order, this.#members))
      .plain("deleted", deleted)
      .plain("search", search);
    const rows: unknown[] = await parsed(() => this.#call("aggregate", args, options));
    return rows.map((row) => readAny(row) as Record<string, unknown>);
  }

  /** Groups or measures with the stored names of the paths. */
  #stored(named: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const path = (value: unknown) => (typeof value === "string" ? resolve(this.#members, value).path : value);
    const each = (object: object, of: (value: unknown) => unknown) =>
      Object.fromEntries(Object.entries(object).map(([name, value]) => [name, of(value)]));
    const isPlain = (value: unknown) => typeof value === "object" && value?.constructor === Object;
    return each(named, (value) => (isPlain(value) ? each(value as object, path) : path(value)));
  }

  /** A page of rows and the cursor of the next. */
  async page<K extends keyof Row<M> = keyof Row<M>, I extends Include<M> = never>(
    filter: Where<M> = {} as Where<M>,
    options: PageOptions<Row<M>, K, I> = {},
  ): Promise<Page<Picked<M, K, I>>> {
    const args = this.#query(filter, options).plain("after", options.after);
    const { rows, next } = await parsed(() => this.#call("page", args, options));
    return { rows: rows.map(rowReader<Picked<M, K, I>>(this.#members)), next };
  }

  /** Changes the row of this key: fields to set, or operators. */
  async update(
    id: InferKey<M>,
    changes: Update<Row<M>, InferInput<M>>,
    options: WriteOptions & ElementOptions = {},
  ): Promise<Row<M>> {
    const args = this.#changed(this.#keyed(id), "changes", changes, options);
    return this.#row("update", this.#versioned(args, options), options);
  }

  /** Changes the first row that the filter matches; how many were matched. */
  async updateOne(
    filter: Where<M>,
    update: Update<Row<M>, InferInput<M>>,
    options: Pick<FindOptions<Row<M>>, "sort" | "tx"> & ElementOptions = {},
  ): Promise<number> {
    return parsed(() => this.#call("update_one", this.#filtered(filter, update, options), options));
  }

  /** Changes every row that the filter matches; how many were matched. Every row at all only with {@link ALL}. */
  async updateMany(
    filter: Where<M> | typeof ALL,
    update: Update<Row<M>, InferInput<M>>,
    options: CallOptions & ElementOptions = {},
  ): Promise<number> {
    const args = this.#changed(this.#many(filter), "update", update, options);
    return parsed(() => this.#call("update_many", args, options));
  }

  /** Puts a whole record in place of the row of this key. */
  async replace(id: InferKey<M>, record: InferInput<M>, options: WriteOptions = {}): Promise<Row<M>> {
    const args = this.#keyed(id).add("record", writeRecord(record, this.#members));
    return this.#row("replace", this.#versioned(args, options), options);
  }

  /** Creates the row, or changes the one that is equal in `on`. */
  async upsert(record: InferInput<M>, options: Upsert<M> = {}): Promise<Row<M>> {
    const args = new Arguments().add("record", writeRecord(record, this.#members));
    if (options.on !== undefined) args.add("on", writeFields(options.on, this.#members));
    return this.#row("upsert", args, options);
  }

  /** Deletes the row of this key, or marks it where the model has soft delete; `hard` deletes in any case. */
  async delete(id: InferKey<M>, options: CallOptions & { hard?: boolean } = {}): Promise<void> {
    await awaited(() => this.#call("delete", this.#keyed(id).plain("hard", options.hard), options));
  }

  /** Deletes every row that the filter matches; how many there were. Every row at all only with {@link ALL}. */
  async deleteMany(filter: Where<M> | typeof ALL, options: CallOptions & { hard?: boolean } = {}): Promise<number> {
    return parsed(() => this.#call("delete_many", this.#many(filter).plain("hard", options.hard), options));
  }

  /** Brings a soft-deleted row back. */
  async restore(id: InferKey<M>, options: CallOptions = {}): Promise<Row<M>> {
    return this.#row("restore", this.#keyed(id), options);
  }

  /** Changes the first row that the filter matches and returns it, as it is then or (`returnNew: false`) was before. */
  async findOneAndUpdate(
    filter: Where<M>,
    update: Update<Row<M>, InferInput<M>>,
    options: Pick<FindOptions<Row<M>>, "sort" | "tx"> & ElementOptions & { returnNew?: boolean } = {},
  ): Promise<Row<M> | null> {
    const args = this.#filtered(filter, update, options).plain("return_new", options.returnNew);
    return this.#rowOrNull("find_one_and_update", args, options);
  }

  /** How the database would run the query: the statement, what is pushed down, what remains, which index is used. */
  async explain(
    filter: Where<M> = {} as Where<M>,
    options: FindOptions<Row<M>> = {},
  ): Promise<Record<string, unknown>> {
    return valueReader(ANY)(await parsed(() => this.#call("explain", this.#query(filter, options), options))) as never;
  }

  #transaction(options: CallOptions): NativeTransaction | null {
    return Transaction.native(options.tx ?? this.#tx, this.#database);
  }

  #own(): NativeRepository {
    try {
      this.#native ??= this.#engine.repository(this.model.table);
      return this.#native;
    } catch (error) {
      throw rebuilt(error);
    }
  }

  #call(verb: string, args: Arguments, options: CallOptions, raw = false): Promise<Reply> {
    return this.#engine.call(this.model.table, verb, args.toString(), this.#transaction(options), raw);
  }

  async #rows<R>(verb: string, args: Arguments, options: CallOptions): Promise<R[]> {
    const rows: Record<string, unknown>[] = await parsed(() => this.#call(verb, args, options));
    return rows.map(rowReader<R>(this.#members));
  }

  async #rowOrNull<R>(verb: string, args: Arguments, options: CallOptions): Promise<R | null> {
    const rows = parse(await awaited(() => this.#call(verb, args, options)));
    return rows === null ? null : rowReader<R>(this.#members)(rows[0]);
  }

  async #row<R>(verb: string, args: Arguments, options: CallOptions): Promise<R> {
    const row = await this.#rowOrNull<R>(verb, args, options);
    if (row === null) throw new FarmDbError("internal_error", `${verb} returned no row`, { entity: this.model.table });
    return row;
  }

  #query(filter: unknown, options: Omit<QueryParts, "filter">): Arguments {
    return new Arguments().query({ ...options, filter }, this.#members);
  }

  /** The arguments of a verb that changes what a filter matches: without a filter it is refused here. */
  #filtered(filter: unknown, update: unknown, options: ElementOptions & { sort?: unknown }): Arguments {
    const args = new Arguments().add("filter", writeFilter(filter, this.#members));
    if (options.sort !== undefined) args.add("sort", writeSort(options.sort, this.#members));
    return this.#changed(args, "update", update, options);
  }

  /** Adds an update and its array filters. */
  #changed(args: Arguments, name: string, update: unknown, options: ElementOptions): Arguments {
    args.add(name, writeUpdate(update, this.#members));
    return args.add("array_filters", writeArrayFilters(options.arrayFilters, update, this.#members));
  }

  #many(filter: unknown): Arguments {
    if (filter === ALL) return new Arguments().add("filter", "{}").plain("all", true);
    return new Arguments().add("filter", writeFilter(filter, this.#members));
  }

  #keyed(id: unknown): Arguments {
    return new Arguments().add("id", this.#key(id));
  }

  /** A key; a composite one is an object of attributes. */
  #key(id: unknown): string {
    const place = new Place("invalid_query");
    const isComposite = typeof id === "object" && id !== null && Object.getPrototypeOf(id) === Object.prototype;
    if (isComposite) return writeKey(id as Record<string, unknown>, this.#members, place);
    return place.at("id", () => writeValue(id, ANY, place));
  }

  #versioned(args: Arguments, options: WriteOptions): Arguments {
    const version = options.expectedVersion;
    return args.plain("expected_version", version);
  }
}

/** What stands in a list, however deep. */
function innermost(shape: Shape): Shape {
  return shape.kind === "list" ? innermost(shape.element ?? ANY) : shape;
}
