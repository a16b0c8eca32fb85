/**
 * The one error of this package and its codes, which are those of the core (`core/src/error/mod.rs`) and of Python.
 * A test holds the table and the core together.
 */

/** Every code with whether the same call may succeed when it is made again. */
export const ERROR_TABLE = {
  not_found: { retryable: false },
  unique_violation: { retryable: false },
  foreign_key_violation: { retryable: false },
  constraint_violation: { retryable: false },
  version_conflict: { retryable: false },
  invalid_value: { retryable: false },
  unknown_field: { retryable: false },
  unknown_operator: { retryable: false },
  invalid_query: { retryable: false },
  empty_filter: { retryable: false },
  invalid_cursor: { retryable: false },
  unsupported: { retryable: false },
  residual_limit: { retryable: false },
  invalid_schema: { retryable: false },
  contract_mismatch: { retryable: false },
  invalid_configuration: { retryable: false },
  connection_failed: { retryable: true },
  database_closed: { retryable: false },
  pool_timeout: { retryable: true },
  pool_queue_full: { retryable: true },
  database_busy: { retryable: true },
  statement_timeout: { retryable: true },
  cancelled: { retryable: false },
  transaction_state: { retryable: false },
  transaction_conflict: { retryable: true },
  outcome_unknown: { retryable: false },
  backend_error: { retryable: false },
  internal_error: { retryable: false },
} as const satisfies Record<string, { retryable: boolean }>;

/** What went wrong, in the few classes that a caller may want to tell apart. */
export type FarmDbErrorCode = keyof typeof ERROR_TABLE;

/** The facts behind an error: `entity`, `field`, `path`, `value` and others, as the code has them. */
export type FarmDbErrorContext = Record<string, unknown>;

/** Characters of a message: it repeats what came from outside, which may be of any length. The core cuts earlier. */
const LONGEST = 8_000;

/** Every failure of this package. Tell them apart by {@link FarmDbError.code}. */
export class FarmDbError extends Error {
  override readonly name = "FarmDbError";
  /** The stable code, the same in every language. */
  readonly code: FarmDbErrorCode;
  /** The facts behind the failure. */
  readonly context: FarmDbErrorContext;
  /** Whether the same call may succeed when it is made again. */
  readonly retryable: boolean;

  constructor(code: FarmDbErrorCode, message: string, context: FarmDbErrorContext = {}, options?: ErrorOptions) {
    super(message.length > LONGEST ? `${message.slice(0, LONGEST)}...` : message, options);
    this.code = code;
    this.context = context;
    this.retryable = ERROR_TABLE[code].retryable;
  }

  /** Whether `error` is a failure of this package, with one of `codes` where some are given. */
  static is(error: unknown, ...codes: FarmDbErrorCode[]): error is FarmDbError {
    return error instanceof FarmDbError && (codes.length === 0 || codes.includes(error.code));
  }

  /** What `JSON.stringify` shows. */
  toJSON(): { code: FarmDbErrorCode; message: string; context: FarmDbErrorContext; retryable: boolean } {
    return { code: this.code, message: this.message, context: this.context, retryable: this.retryable };
  }
}
