/** The configuration file's `database` part as options of the core. */
import type { DatabaseConfig } from "@farm/types";

/** Options by the core's names; only what is set. */
export function coreOptions(config: DatabaseConfig, _url: string): Record<string, unknown> {
  const { pool = {}, options = {} } = config;
  const wanted = {
    min_size: pool.minSize,
    max_size: pool.maxSize ?? options.poolSize,
    acquire_timeout: seconds(pool.acquireTimeoutMs ?? options.timeout),
    idle_timeout: seconds(pool.idleTimeoutMs),
  };
  return Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined));
}

function seconds(milliseconds: number | undefined): number | undefined {
  return milliseconds === undefined ? undefined : milliseconds / 1000;
}
