/** What the `farm db` commands share: options, and a connection that changes nothing. */
import { type Database, type DatabaseOptions, FarmDbError } from "@farm/db-native";
import type { Command } from "commander";
import { type DatabaseTarget, resolveTarget, type TargetOptions } from "../../config/resolve.js";
import { Output, type OutputOptions } from "../../output/output.js";

/** The options that every command has. */
export type CommonOptions = TargetOptions & OutputOptions;

/** Adds the options that every command has. */
export function withCommonOptions(command: Command): Command {
  return command
    .option("--url <url>", "the database, such as sqlite:///app.db (default: DATABASE_URL, .env, farm.config.ts)")
    .option("--config <file>", "the configuration file (default: farm.config.ts)")
    .option("--env-file <file>", "the file of variables (default: .env); real variables win")
    .option("--json", "print one JSON object")
    .option("-q, --quiet", "print errors only")
    .option("--no-color", "print without colours");
}

/** What a command works with. */
export interface Context {
  readonly output: Output;
  readonly target: DatabaseTarget;
}

/** Reads the configuration. */
export async function prepare(options: CommonOptions): Promise<Context> {
  const output = new Output(options);
  output.progress("reading the configuration");
  return { output, target: await resolveTarget(options) };
}

/** Connects, works, closes. The contract is looked at by the commands themselves. */
export async function withDatabase<R>(
  { output, target }: Context,
  work: (database: Database) => Promise<R>,
  options: DatabaseOptions = {},
): Promise<R> {
  const database = target.prepare({ contract: "off", ...options });
  output.progress(`connecting to ${database.url}`);
  await database.connect();
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

/** Tries again until the database answers or the time is over. */
export async function waitFor(context: Context, timeout: number, work: () => Promise<void>): Promise<number> {
  const deadline = Date.now() + timeout;
  for (let attempt = 1; ; attempt += 1) {
    try {
      await work();
      return attempt;
    } catch (error) {
      const left = deadline - Date.now();
      if (!FarmDbError.is(error) || !error.retryable || left <= 0) throw error;
      context.output.progress(`waiting for the database, ${Math.ceil(left / 1000)} s left`);
      await new Promise((resolve) => setTimeout(resolve, Math.min(left, 500)));
    }
  }
}
