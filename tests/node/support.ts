import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Database, type DatabaseOptions, FarmDbError, type FarmDbErrorCode, type Model } from "@farm/db-native";
import { afterAll, expect } from "vitest";

export const ROOT = resolve(import.meta.dirname, "..", "..");
export const FARM = join(ROOT, "js", "cli", "bin", "farm.js");

/** A folder that is gone after the test file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "farm-db-node-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A database in memory with the tables of these models; closed after the test file. */
export async function memory(models: readonly Model<any>[], options: DatabaseOptions = {}): Promise<Database> {
  const db = await Database.connect("sqlite::memory:", { models, createMissing: true, ...options });
  afterAll(() => db.close());
  return db;
}

/** A database in a file. */
export async function file(
  path: string,
  models: readonly Model<any>[],
  options: DatabaseOptions = {},
): Promise<Database> {
  return Database.connect(`sqlite:///${path}`, { models, createMissing: true, ...options });
}

/** Every database that the shared cases run on; `make test-fast` leaves the servers to Rust and Python. */
export const BACKENDS = (["sqlite", "postgres", "mysql", "mongodb"] as const).slice(
  0,
  process.env["FARM_TEST_FEW"] ? 1 : undefined,
);

/** A server's URL, which `scripts/servers.py` puts into the environment; a missing one is a failure. */
function server(variable: string): string {
  const url = process.env[variable];
  if (!url)
    throw new Error(`${variable} is not set: run the tests by \`make test\` or \`scripts/servers.py -- COMMAND\``);
  return url;
}

/** An empty database of a backend with the tables of these models, and what removes it. */
export async function fresh(
  backend: (typeof BACKENDS)[number],
  path: string,
  models: readonly Model<any>[],
): Promise<{ db: Database; url: string; end: () => Promise<void> }> {
  const name = `farm_${randomUUID().replaceAll("-", "")}`;
  const urls = {
    sqlite: () => `sqlite:///${path}`,
    postgres: () => `${server("FARM_TEST_POSTGRES_URL")}?schema=${name}`,
    mysql: () => server("FARM_TEST_MYSQL_URL").replace(/farm$/, name),
    mongodb: () => server("FARM_TEST_MONGODB_URL").replace("/?", `/${name}?`),
  };
  if (backend === "mysql") {
    const whole = await Database.connect(server("FARM_TEST_MYSQL_URL"), { models: [], contract: "off" });
    await whole.execute(`CREATE DATABASE ${name}`);
    await whole.close();
  }
  const url = urls[backend]();
  const db = await Database.connect(url, { models, createMissing: true });
  const removals = {
    sqlite: undefined,
    postgres: `DROP SCHEMA ${name} CASCADE`,
    mysql: `DROP DATABASE ${name}`,
    mongodb: { dropDatabase: 1 },
  };
  const removal = removals[backend];
  const end = async () => {
    if (removal !== undefined) await db.execute(removal as any);
    await db.close();
  };
  return { db, url, end };
}

/** The error of a call, which must be one of ours with this code. */
export async function refused(call: () => unknown, code: FarmDbErrorCode): Promise<FarmDbError> {
  try {
    await call();
  } catch (error) {
    expect(error).toBeInstanceOf(FarmDbError);
    expect((error as FarmDbError).code).toBe(code);
    return error as FarmDbError;
  }
  return expect.fail(`expected ${code}, but nothing was refused`);
}

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  milliseconds: number;
}

export interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** Milliseconds after which it is killed. */
  patience?: number;
  /** Called once the process runs. */
  meanwhile?: (child: ReturnType<typeof spawn>) => void;
}

/** The environment without what configures databases or colours. */
export function cleanEnvironment(more: Record<string, string> = {}): Record<string, string> {
  const configured =
    /^(DATABASE_|DB_|MONGO_|POSTGRES_|MYSQL_|SQLITE_|FARM_(?!DB_ADDON)|NO_COLOR|FORCE_COLOR|NODE_OPTIONS|VITEST)/;
  const kept = Object.entries(process.env).filter(([name, value]) => value !== undefined && !configured.test(name));
  return { ...(Object.fromEntries(kept) as Record<string, string>), ...more };
}

/** Runs `node` to its end; killed after its patience, 20 seconds unless told, which fails the test by its signal. */
export function node(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const began = performance.now();
  return new Promise((settle, reject) => {
    const env = cleanEnvironment(options.env);
    const child = spawn(process.execPath, args, { cwd: options.cwd ?? ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), options.patience ?? 20_000);
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk) => (stdout += chunk));
    child.stderr.on("data", (chunk) => (stderr += chunk));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      settle({ code, signal, stdout, stderr, milliseconds: performance.now() - began });
    });
    options.meanwhile?.(child);
  });
}
