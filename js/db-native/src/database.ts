import { FarmDbError } from "./error.js";
import { contractOf } from "./model/contract.js";
import type { Model } from "./model/model.js";
import { awaited, type Environment, type NativeEngine, openEngine, parse, parsed } from "./native.js";
import type { CallOptions } from "./query/options.js";
import { Repository } from "./repository.js";
import { run, Transaction, type TransactionOptions } from "./transaction.js";
import { readAny } from "./wire/reader.js";
import { writeFree } from "./wire/record.js";

/**
 * What {@link Database.connect} takes. Further options go to the core: `statementTimeout` (seconds), `busyTimeoutMs`,
 * `pool: { maxSize, acquireTimeoutMs }` and so on. An unknown one is refused.
 */
export interface DatabaseOptions {
  /** The models whose repositories will be used; together they are the contract. */
  models?: readonly Model<any>[];
  /** What to do where the database was made for another contract: refuse (the default), warn, or nothing. */
  contract?: "check" | "warn" | "off";
  /** Creates missing tables, columns and indexes. Nothing is ever dropped. */
  createMissing?: boolean;
  /**
   * URLs of read replicas (PostgreSQL, MySQL), which then answer the reads outside transactions; a lost one is replaced by
   * another or the primary without an error.
   */
  replicas?: readonly string[];
  /** Seconds that a replica may be behind to be read from. */
  maxStaleness?: number;
  /** Reads see everything that this database object has written before. */
  readYourWrites?: boolean;
  /** Seconds to try again while the server cannot be reached, for one that is starting. */
  wait?: number;
  /** An option of the core, in camelCase or snake_case. */
  [option: string]: unknown;
}

/** What health checks answer. */
export interface Health {
  readonly status: string;
  readonly [fact: string]: unknown;
}

/** Facts as the core gives them. */
export type Facts = Record<string, unknown>;

/** What {@link Database.introspect} found. */
export interface Introspection {
  /** The contract as canonical JSON, for `modelsFromContract`. */
  contract: string;
  /** What was left out or is read as something else, a line each that names the table and the column. */
  notes: string[];
}

/** One database: its connections, contract and repositories. */
export class Database {
  readonly #engine: NativeEngine;
  readonly #options: DatabaseOptions;
  /** The models that were given to `connect`. */
  readonly models: ReadonlySet<Model>;
  readonly #repositories = new WeakMap<Model, Repository<any>>();

  private constructor(place: string | Environment, options: DatabaseOptions) {
    const { models = [], contract: _contract, createMissing: _create, wait: _wait, ...rest } = options;
    const given = Object.entries(rest).filter(([, value]) => value !== undefined);
    this.#engine = openEngine(place, writeFree(Object.fromEntries(given)), contractOf(models));
    this.#options = options;
    this.models = new Set(models);
  }

  /**
   * Opens a database: `url`, else what the environment names (`DATABASE_URL` or its parts), else `sqlite:///farm.db`.
   *
   * ```ts
   * await using db = await Database.connect("sqlite:///app.db", { models: [Resource], createMissing: true });
   * ```
   */
  static async connect(url?: string | null, options: DatabaseOptions = {}): Promise<Database> {
    const database = Database.prepare(url, options);
    await database.connect();
    return database;
  }

  /** The same database not connected yet: for what can be said without it. */
  static prepare(url?: string | null, options: DatabaseOptions = {}): Database {
    if (url !== undefined && url !== null) return new Database(url, options);
    return Database.fromEnvironment(process.env, options) ?? new Database("sqlite:///farm.db", options);
  }

  /** The database that variables name, not connected yet: `DATABASE_URL`, or `DATABASE_TYPE`, `POSTGRES_HOST` and so on. */
  static fromEnvironment(variables: Environment, options: DatabaseOptions = {}): Database | null {
    try {
      return new Database(variables, options);
    } catch (error) {
      if (FarmDbError.is(error, "invalid_configuration") && error.context["reason"] === "no_variable") return null;
      throw error;
    }
  }

  /** Connects, creates what is missing if the options ask for it, and compares the contracts. */
  async connect(): Promise<void> {
    const { contract = "check", createMissing = false, wait = 0 } = this.#options;
    const report = await parsed(() => this.#engine.connect(contract, createMissing, wait));
    if (contract === "warn" && report.differences.length > 0) {
      process.emitWarning(`the database was made for another contract:\n${report.differences.join("\n")}`, {
        type: "FarmDbWarning",
        code: "contract_mismatch",
      });
    }
  }

  /** The kind of database, such as `sqlite`. */
  get backend(): string {
    return this.#engine.backend;
  }

  /** The URL without its password. */
  get url(): string {
    return this.#engine.url;
  }

  /** Whether calls can be made. */
  get isConnected(): boolean {
    return this.#engine.isConnected;
  }

  /** The canonical JSON of the models. */
  get contract(): string {
    return this.#engine.contract();
  }

  /** The sha-256 of {@link contract}; equal to Python's for the same models. */
  get contractHash(): string {
    return this.#engine.contractHash();
  }

  /** What this kind of database can do. */
  get capabilities(): Facts {
    return readAny(JSON.parse(this.#engine.capabilities())) as Facts;
  }

  /** The rows of one of the models that were given to `connect`. */
  repository<M extends Model>(model: M): Repository<M> {
    let repository = this.#repositories.get(model);
    if (repository === undefined) {
      if (!this.models.has(model)) {
        const message = `the model ${JSON.stringify(model.table)} was not given to Database.connect`;
        throw new FarmDbError("invalid_schema", message, { entity: model.table });
      }
      repository = new Repository(this, this.#engine, model);
      this.#repositories.set(model, repository);
    }
    return repository;
  }

  /**
   * Runs `work` in a transaction: commits when it returns, rolls back when it throws. `tx.transaction` nests as a savepoint.
   *
   * ```ts
   * await db.transaction(async (tx) => {
   *   await tx.repository(Account).update(from, { $inc: { balance: -10 } });
   *   await tx.repository(Account).update(to, { $inc: { balance: 10 } });
   * });
   * ```
   */
  transaction<R>(work: (tx: Transaction) => Promise<R>, options: TransactionOptions = {}): Promise<R> {
    return run(this, () => this.#engine.begin(options.isolation ?? null, options.readOnly === true), work);
  }

  /** Creates missing tables, columns and indexes and stores the contract; what was created, one line each. */
  ensureSchema(): Promise<string[]> {
    return parsed(() => this.#engine.ensureSchema());
  }

  /** The canonical JSON of the contract that the database was made for, or null; see `modelsFromContract`. */
  async storedContract(): Promise<string | null> {
    return parsed(() => this.#engine.storedContract());
  }

  /** Asks the database whether it answers, and how it does. */
  async healthCheck(): Promise<Health> {
    return readAny(await parsed(() => this.#engine.health())) as Health;
  }

  /** Whether this side works, without asking the database. */
  liveness(): Facts {
    return readAny(JSON.parse(this.#engine.liveness())) as Facts;
  }

  /** Sizes and counts. */
  async getStats(): Promise<Facts> {
    return readAny(await parsed(() => this.#engine.stats())) as Facts;
  }

  /**
   * Reads what is in the database into a contract, whoever made it: with it `modelsFromContract` makes models of a
   * database that farm-db did not make. What a contract cannot say is left out and noted.
   *
   * ```ts
   * const { contract, notes } = await db.introspect();
   * ```
   */
  async introspect(): Promise<Introspection> {
    return parsed(() => this.#engine.introspect());
  }

  /** The state of the connection pool. */
  poolStats(): Facts {
    return readAny(JSON.parse(this.#engine.poolStats())) as Facts;
  }

  /** Runs native SQL, or a native command. Rows come as objects by stored names. */
  async execute(statement: unknown, parameters: unknown = [], options: CallOptions = {}): Promise<any> {
    const tx = Transaction.native(options.tx, this);
    const reply = await awaited(() => this.#engine.execute(writeFree(statement), writeFree(parameters), tx));
    return readAny(parse(reply));
  }

  /** Ends what runs, then all connections. Calling it again does nothing. */
  async close(): Promise<void> {
    await awaited(() => this.#engine.close());
  }

  /** `await using db = ...` closes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
