/** `farm db health`: what a health check answers; exit code 1 where the database is not healthy. */
import type { Facts, Health } from "@farm/db-native";
import { EXIT, Failure } from "../../failure.js";
import type { Output, Section } from "../../output/output.js";
import { count, duration, milliseconds } from "../../output/units.js";
import { prepare, withDatabase } from "./open.js";
import type { CommonOptions } from "./options.js";

/** Runs the command. */
export async function health(options: CommonOptions): Promise<void> {
  const context = await prepare(options);
  const facts = await withDatabase(context, (database) => database.healthCheck());
  refuseUnhealthy(facts);
  context.output.result({ ...facts }, () => context.output.sections(healthSections(facts, context.output)));
}

/** An unhealthy database is a failure of the command. */
export function refuseUnhealthy(facts: Health): void {
  if (facts.status === "healthy") return;
  const error = (facts["error"] ?? {}) as { code?: string; message?: string };
  const message = error.message ?? `the database is ${facts.status}`;
  throw new Failure({ code: error.code ?? "unhealthy", message, fix: "look at the database's own log" }, EXIT.failure);
}

/** The check for people. */
export function healthSections(facts: Health, { style }: Output): Section[] {
  const connections = (facts["connections"] ?? {}) as Facts;
  const rows: [string, string][] = [
    ["status", facts.status === "healthy" ? style.green("✔ healthy") : style.red(`✘ ${facts.status}`)],
    ["database", String(facts["url"])],
    ["version", [facts["backend"], facts["version"]].filter(Boolean).join(" ")],
    ["latency", milliseconds(Number(facts["latency_ms"]))],
  ];
  if (typeof facts["journal_mode"] === "string") rows.push(["journal", facts["journal_mode"]]);
  if (Number(facts["uptime"]) >= 1) rows.push(["uptime", duration(Number(facts["uptime"]))]);
  rows.push(["connections", `${count(connections["current"])} open, ${count(connections["available"])} available`]);
  return [{ title: "Health", rows }];
}
