/** Which database is meant, and where that is said: the first of --url, environment, .env, farm.config.ts. */
import type { DatabaseConfig } from "@farm/types";
import { Failure } from "../failure.js";
import { coreOptions } from "./core-options.js";
import { databaseUrl, readEnvFile } from "./environment.js";
import { loadFarmConfig } from "./farm-config.js";

/** The options that every `farm db` command has. */
export interface TargetOptions {
  url?: string;
  config?: string;
  envFile?: string;
}

/** A configured database. */
export interface DatabaseTarget {
  readonly url: string;
  /** Where the URL comes from: `--url`, `environment`, or a file. */
  readonly source: string;
  /** The configuration file, where there is one. */
  readonly configFile: string | undefined;
  /** Options for the core. */
  readonly options: Record<string, unknown>;
  /** The `database` part of the configuration file. */
  readonly config: DatabaseConfig;
}

/** Finds the database that a command is about. */
export async function resolveTarget(options: TargetOptions, folder = process.cwd()): Promise<DatabaseTarget> {
  const real = databaseUrl(process.env);
  const file = readEnvFile(options.envFile, folder);
  // The configuration file may read the environment, so `.env` is part of it from here on; real variables win.
  for (const [name, value] of Object.entries(file?.variables ?? {})) process.env[name] ??= value;
  const loaded = await loadFarmConfig(options.config, folder);
  const config = loaded?.config.database ?? {};
  const found = firstOf([
    [options.url, "--url"],
    [real, "environment"],
    [file && databaseUrl(process.env), file?.path ?? ""],
    [config.url, loaded?.path ?? ""],
  ]);
  if (found === undefined) throw unconfigured(loaded?.path);
  const [url, source] = found;
  return { url, source, configFile: loaded?.path, options: coreOptions(config, url), config };
}

function firstOf(candidates: [url: string | undefined, source: string][]): [string, string] | undefined {
  return candidates.find((one): one is [string, string] => one[0] !== undefined && one[0] !== "");
}

function unconfigured(configFile: string | undefined): Failure {
  const why =
    configFile === undefined
      ? "there is no --url, no DATABASE_URL (in the environment or .env) and no farm.config.ts"
      : `there is no --url and no DATABASE_URL, and ${configFile} has no database.url`;
  const fix = "give --url sqlite:///app.db, or set DATABASE_URL, or write farm.config.ts";
  return Failure.usage("no_database", "no database is configured", { why, fix });
}
