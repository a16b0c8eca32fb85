/** What went wrong, for people and for programs: a stable code, one line, why it is so and how to fix it. */
import type { FarmDbError } from "@farm/db-native";

/** Exit codes, the same for every command. */
export const EXIT = { ok: 0, failure: 1, usage: 2, declined: 3, interrupted: 130 } as const;
/** One of {@link EXIT}. */
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The `error` object of `--json`. */
export interface FailureReport {
  code: string;
  message: string;
  why?: string;
  fix?: string;
}

/** A failure that is shown, not thrown at anyone. */
export class Failure extends Error {
  readonly report: FailureReport;
  readonly exit: ExitCode;

  constructor(report: FailureReport, exit: ExitCode) {
    super(report.message);
    this.report = report;
    this.exit = exit;
  }

  /** The command line or what it relies on is wrong. */
  static usage(code: string, message: string, more: { why?: string; fix?: string } = {}): Failure {
    return new Failure({ code, message: discreet(message), ...more }, EXIT.usage);
  }

  /** Any error as a failure. */
  static from(error: unknown): Failure {
    if (error instanceof Failure) return error;
    if (isDatabaseError(error)) return fromDatabase(error);
    const message = error instanceof Error ? error.message : String(error);
    const fix = "this is a defect in farm, please report it";
    return new Failure({ code: "internal_error", message, fix }, EXIT.failure);
  }
}

/** A message without what follows the scheme of a database's URL: one in a wrong place may hold a password. */
function discreet(message: string): string {
  return message.replace(/\b(?!file:|https?:)([a-z][\w+.-]*:\/\/).*/is, "$1***");
}

/** By its name, so that help need not load the package of the database. */
function isDatabaseError(error: unknown): error is FarmDbError {
  return error instanceof Error && error.name === "FarmDbError";
}

type Advice = { why?: string; fix: string };

function fromDatabase(error: FarmDbError): Failure {
  const isConfiguration = error.code === "invalid_configuration" || error.code === "unsupported";
  const report = { code: error.code, message: error.message, ...adviceFor(error) };
  return new Failure(report, isConfiguration ? EXIT.usage : EXIT.failure);
}

function adviceFor(error: FarmDbError): Advice | undefined {
  const missing = error.code === "connection_failed" && error.context["reason"] === "missing_file";
  if (missing || /no database file/.test(error.message)) {
    return {
      why: "looking at a database never creates one",
      fix: "check the path in the URL, or start the app once: connecting from it creates the file",
    };
  }
  return ADVICE[error.code];
}

const ADVICE: Partial<Record<FarmDbError["code"], Advice>> = {
  connection_failed: { fix: "check that the database runs and that the URL is right; --wait waits for it" },
  database_busy: { fix: "end the other process that holds the lock, or try again" },
  pool_timeout: { fix: "try again, or raise pool.maxSize in farm.config.ts" },
  invalid_configuration: { fix: "correct the URL or the option; `farm db info` shows where each comes from" },
  unsupported: { fix: "choose another kind of database" },
  contract_mismatch: { fix: "migrate the database, or connect with the app that it was made for" },
};
