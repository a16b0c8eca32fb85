/** Which database is meant, and where that is said: the first of --url, environment, .env, farm.config.ts. */
import { Database, type DatabaseOptions } from "@farm/db-native";
import type { DatabaseConfig } from "@farm/types";
import { Failure } from "../failure.js";
import { coreOptions, forReading } from "./core-options.js";
import { readEnvFile } from "./env-file.js";
import { loadFarmConfig } from "./farm-config.js";

/** The options that every `farm db` command has. */
export interface TargetOptions {
  url?: string;
  config?: string;
  envFile?: string;
}

/** A configured database. */
export interface DatabaseTarget {
  /** Where the URL comes from: `--url`, `environment`, or a file. */
  readonly source: string;
  /** The configuration file, where there is one. */
  readonly configFile: string | undefined;
  /** Options of the configuration file for the core. */
  readonly options: Record<string, unknown>;
  /** The database, not connected, with further options. */
  prepare(options?: DatabaseOptions): Database;
}

type Prepare = (options: DatabaseOptions) => Database | null;
type Candidate = readonly [source: string, ownsUrl: boolean, prepare: Prepare];

/** Finds the database that a command is about. */
export async function resolveTarget(options: TargetOptions, folder = process.cwd()): Promise<DatabaseTarget> {
  const real = { ...process.env };
  const file = readEnvFile(options.envFile, folder);
  // The configuration file may read the environment, so `.env` is part of it from here on; real variables win.
  for (const [name, value] of Object.entries(file?.variables ?? {})) process.env[name] ??= value;
  const loaded = await loadFarmConfig(options.config, folder);
  const config = loaded?.config.database ?? {};
  const candidates: Candidate[] = [
    ["--url", false, ofUrl(options.url)],
    ["environment", false, (given) => Database.fromEnvironment(real, given)],
    [file?.path ?? "", false, (given) => (file ? Database.fromEnvironment(process.env, given) : null)],
    [loaded?.path ?? "", true, ofUrl(config.url)],
  ];
  return find(candidates, config, loaded?.path);
}

function ofUrl(url: string | undefined): Prepare {
  return (options) => (url === undefined || url === "" ? null : Database.prepare(url, options));
}

function find(candidates: Candidate[], config: DatabaseConfig, configFile: string | undefined): DatabaseTarget {
  for (const [source, ownsUrl, prepare] of candidates) {
    const options = coreOptions(config, ownsUrl);
    const reading = forReading(options);
    if (prepare(reading) === null) continue;
    // The same candidate answers again: whether it names a database does not depend on the options.
    return { source, configFile, options, prepare: (more = {}) => prepare({ ...reading, ...more }) as Database };
  }
  throw unconfigured(configFile);
}

function unconfigured(configFile: string | undefined): Failure {
  const why =
    configFile === undefined
      ? "there is no --url, no DATABASE_URL (in the environment or .env) and no farm.config.ts"
      : `there is no --url and no DATABASE_URL, and ${configFile} has no database.url`;
  const fix = "give --url sqlite:///app.db, or set DATABASE_URL, or write farm.config.ts";
  return Failure.usage("no_database", "no database is configured", { why, fix });
}
