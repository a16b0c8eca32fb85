/** `farm db connect`: whether the database can be reached. */
import type { Health } from "@farm/db-native";
import { Failure } from "../../failure.js";
import { milliseconds, readDuration } from "../../output/units.js";
import { prepare, waitFor, withDatabase } from "./open.js";
import type { CommonOptions } from "./options.js";

/** The options of the command. */
export interface ConnectOptions extends CommonOptions {
  wait?: boolean;
  waitTimeout: string;
}

/** Runs the command. */
export async function connect(options: ConnectOptions): Promise<void> {
  const timeout = readDuration(options.waitTimeout);
  if (timeout === undefined) {
    const message = `--wait-timeout takes a span such as 60s, got ${JSON.stringify(options.waitTimeout)}`;
    throw Failure.usage("invalid_argument", message, { fix: "write 500ms, 60s, 2m or 1h" });
  }
  const context = await prepare(options);
  let url = "";
  let health: Health = { status: "unknown" };
  const attempts = await waitFor(context, options.wait ? timeout : 0, () =>
    withDatabase(context, async (database) => {
      url = database.url;
      health = await database.healthCheck();
    }),
  );
  const { backend, version, latency_ms } = health;
  const data = { backend, url, source: context.target.source, version: version ?? null, latency_ms, attempts };
  context.output.result(data, () => {
    const { green, bold, dim } = context.output.style;
    const facts = [[backend, version].filter(Boolean).join(" "), milliseconds(Number(latency_ms))];
    return `${green("✔")} connected to ${bold(url)} ${dim(`(${facts.join(", ")})`)}`;
  });
}
