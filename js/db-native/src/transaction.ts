import type { Database } from "./database.js";
import { FarmDbError } from "./error.js";
import type { Model } from "./model/model.js";
import { awaited, type NativeTransaction } from "./native.js";
import type { Repository } from "./repository.js";

/** How a transaction runs. */
export interface TransactionOptions {
  /** The isolation level by the database's name for it, such as `serializable`. */
  isolation?: string;
  /** Refuses writes. */
  readOnly?: boolean;
}

/** A transaction, or a savepoint in one. Made by {@link Database.transaction}; over when its function returns. */
export class Transaction {
  readonly #database: Database;
  readonly #native: NativeTransaction;

  /** @internal */
  constructor(database: Database, native: NativeTransaction) {
    this.#database = database;
    this.#native = native;
  }

  /** Whether calls can still be made in it. */
  get isActive(): boolean {
    return this.#native.isActive;
  }

  /** A repository whose every call runs in this transaction. */
  repository<M extends Model>(model: M): Repository<M> {
    return this.#database.repository(model).in(this);
  }

  /** Runs `work` in a savepoint: if it throws, only what it did is undone. */
  transaction<R>(work: (tx: Transaction) => Promise<R>): Promise<R> {
    return run(this.#database, () => this.#native.begin(), work);
  }

  /** Native SQL or a native command in this transaction; see {@link Database.execute}. */
  execute(statement: unknown, parameters: unknown = []): Promise<unknown> {
    return this.#database.execute(statement, parameters, { tx: this });
  }

  /** @internal */
  static native(tx: Transaction | undefined, database: Database): NativeTransaction | null {
    if (tx === undefined) return null;
    if (tx.#database === database) return tx.#native;
    throw new FarmDbError("transaction_state", "the transaction belongs to another database");
  }
}

/** Begins, works, commits; rolls back where the work throws. @internal */
export async function run<R>(
  database: Database,
  begin: () => Promise<NativeTransaction>,
  work: (tx: Transaction) => Promise<R>,
): Promise<R> {
  const native = await awaited(begin);
  let result: R;
  try {
    result = await work(new Transaction(database, native));
  } catch (error) {
    // The work's error is the one to report; a rollback that fails closes the connection by itself.
    await native.rollback().catch(() => undefined);
    throw error;
  }
  await awaited(() => native.commit());
  return result;
}
