/** `farm db stats`: sizes and counts. */
import { type Database, type Facts, modelsFromContract } from "@farm/db-native";
import type { Section } from "../../output/output.js";
import { bytes, count, counted } from "../../output/units.js";
import { type Context, prepare, withDatabase } from "./open.js";
import type { CommonOptions } from "./options.js";

/** Runs the command. */
export async function stats(options: CommonOptions): Promise<void> {
  const context = await prepare(options);
  const { facts } = await measure(context, async (database) => {
    return { backend: database.backend, url: database.url, ...(await database.getStats()) };
  });
  context.output.result(facts, () => context.output.sections(statsSections(facts)));
}

/** Asks with the stored contract as the contract, so that the rows of its entities are counted. */
export async function measure<R>(
  context: Context,
  ask: (database: Database) => Promise<R>,
): Promise<{ stored: string | null; facts: R }> {
  const stored = await withDatabase(context, (database) => database.storedContract());
  const models = stored === null ? [] : Object.values(modelsFromContract(stored));
  return { stored, facts: await withDatabase(context, ask, { models }) };
}

/** Entities with their rows, the largest first. */
export function entityRows(facts: Facts): [name: string, rows: number][] {
  const entities = Object.entries((facts["entities"] ?? {}) as Record<string, number>);
  return entities.sort(([a, one], [b, other]) => other - one || (a < b ? -1 : 1));
}

function statsSections(facts: Facts): Section[] {
  const database = (facts["database"] ?? {}) as Facts;
  const pool = (facts["pool"] ?? {}) as Facts;
  const sizes = Object.entries(database).map(([name, value]): [string, string] => [
    name.replaceAll("_", " "),
    name.endsWith("size") ? bytes(value) : count(value),
  ]);
  return [
    { title: "Database", rows: sizes, numeric: true },
    { title: "Entities", rows: entityRows(facts).map(([name, rows]) => [name, counted(rows, "row")]), numeric: true },
    { title: "Page cache", rows: pageCache(facts["page_cache"] as Facts | undefined), numeric: true },
    { title: "Pool", rows: poolRows(pool), numeric: true },
  ];
}

function pageCache(cache: Facts | undefined): [string, string][] {
  if (cache === undefined) return [];
  return [
    ["page size", bytes(cache["page_size"])],
    ["pages", count(cache["pages"])],
    ["limit", bytes(cache["limit"])],
  ];
}

/** The figures of a pool that say something at rest. */
export function poolRows(pool: Facts): [string, string][] {
  const names = ["size", "in_use", "idle", "waiting", "max_size"];
  return names.filter((name) => name in pool).map((name) => [name.replaceAll("_", " "), count(pool[name])]);
}
