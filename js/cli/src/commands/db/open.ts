/** What the `farm db` commands share: a configured database, and a connection that changes nothing. */
import { type Database, type DatabaseOptions, FarmDbError } from "@farm/db-native";
import { type DatabaseTarget, resolveTarget } from "../../config/resolve.js";
import { Output } from "../../output/output.js";
import type { CommonOptions } from "./options.js";

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
