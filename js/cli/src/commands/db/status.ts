/** `farm db status`: health, pool, the stored contract, and what is in the database. */
import { createHash } from "node:crypto";
import type { Facts } from "@farm/db-native";
import type { Section } from "../../output/output.js";
import { counted } from "../../output/units.js";
import { healthSections, refuseUnhealthy } from "./health.js";
import { prepare } from "./open.js";
import type { CommonOptions } from "./options.js";
import { entityRows, measure, poolRows } from "./stats.js";

/** Runs the command. */
export async function status(options: CommonOptions): Promise<void> {
  const context = await prepare(options);
  const { output } = context;
  const { stored, facts } = await measure(context, async (database) => {
    return { health: await database.healthCheck(), stats: await database.getStats() };
  });
  const { health, stats } = facts;
  refuseUnhealthy(health);
  const entities = entityRows(stats);
  const pool = (stats["pool"] ?? {}) as Facts;
  const contract = stored === null ? null : describe(stored);
  const data = {
    source: context.target.source,
    health,
    pool,
    contract,
    entities: entities.map(([name, rows]) => ({ name, rows })),
  };
  output.result(data, () => {
    const kept = contract === null ? "none stored: no farm-db app has set this database up" : contract.hash;
    const sections: Section[] = [
      ...healthSections(health, output),
      { title: "Contract", rows: [["sha-256", kept]] },
      { title: "Entities", rows: entities.map(([name, rows]) => [name, counted(rows, "row")]), numeric: true },
      { title: "Pool", rows: poolRows(pool), numeric: true },
    ];
    return output.sections(sections);
  });
}

/** The stored JSON is canonical, so its sha-256 is the contract's hash. */
function describe(stored: string): { hash: string; entities: number } {
  const { entities } = JSON.parse(stored) as { entities: unknown[] };
  return { hash: createHash("sha256").update(stored).digest("hex"), entities: entities.length };
}
