/**
 * `farm.config.ts`. It is loaded with jiti: no dependencies of its own, TypeScript and both module systems on every
 * supported Node, and it is loaded itself only where there is such a file.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { FarmConfig } from "@farm/types";
import { Failure } from "../failure.js";

const NAMES = ["ts", "mts", "cts", "js", "mjs", "cjs"].map((extension) => `farm.config.${extension}`);

/** A loaded configuration. */
export interface LoadedConfig {
  readonly path: string;
  readonly config: FarmConfig;
}

/** The configuration file: the one asked for, else the one in the folder, else none. */
export async function loadFarmConfig(path: string | undefined, folder: string): Promise<LoadedConfig | undefined> {
  const file = path === undefined ? find(folder) : resolve(folder, path);
  if (file === undefined) return undefined;
  if (!existsSync(file)) {
    const fix = "check the path that follows --config";
    throw Failure.usage("config_not_found", `there is no file ${file}`, { fix });
  }
  return { path: file, config: check(await load(file), file) };
}

function find(folder: string): string | undefined {
  return NAMES.map((name) => resolve(folder, name)).find((file) => existsSync(file));
}

async function load(file: string): Promise<unknown> {
  const { createJiti } = await import("jiti");
  const types = fileURLToPath(import.meta.resolve("@farm/types"));
  // The founding documents import defineConfig from @farm/core; an app need not have either package installed.
  const alias = { "@farm/types": types, "@farm/core": types };
  try {
    return await createJiti(import.meta.url, { alias, fsCache: false, interopDefault: true }).import(file, {
      default: true,
    });
  } catch (error) {
    const message = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    throw Failure.usage("config_invalid", `${file} cannot be loaded: ${message}`, { fix: "correct the file" });
  }
}

function check(config: unknown, file: string): FarmConfig {
  const value = typeof config === "function" ? config() : config;
  const database: unknown = value?.database;
  const isObject = typeof value === "object" && value !== null;
  if (isObject && (database === undefined || (typeof database === "object" && database !== null))) return value;
  const fix = "export default defineConfig({ database: { ... } })";
  throw Failure.usage("config_invalid", `${file} does not export a configuration`, { fix });
}
