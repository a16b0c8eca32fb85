import type { DatabaseConfig } from "./database.js";

/** `farm.config.ts`. Parts that other FARM packages read may stand beside `database`. */
export interface FarmConfig {
  database?: DatabaseConfig;
  [part: string]: unknown;
}

/**
 * Gives `farm.config.ts` its types.
 *
 * ```ts
 * import { defineConfig } from "@farm/types";
 *
 * export default defineConfig({ database: { url: "sqlite:///app.db" } });
 * ```
 */
export function defineConfig(config: FarmConfig): FarmConfig {
  return config;
}
