/** The environment and `.env`, and the database that they name. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseEnv } from "node:util";
import { Failure } from "../failure.js";

/** Variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The variables of the `.env` file; none where the file is absent and was not asked for. */
export function readEnvFile(path: string | undefined, folder: string): { path: string; variables: Environment } | undefined {
  const file = resolve(folder, path ?? ".env");
  if (!existsSync(file)) {
    if (path === undefined) return undefined;
    const fix = "check the path that follows --env-file";
    throw Failure.usage("env_file_not_found", `there is no file ${file}`, { fix });
  }
  return { path: file, variables: parseEnv(readFileSync(file, "utf8")) };
}

/** The URL that the variables spell, in one or in parts. */
export function databaseUrl(env: Environment): string | undefined {
  if (env["DATABASE_URL"]) return env["DATABASE_URL"];
  switch (env["DATABASE_TYPE"]?.toLowerCase() ?? impliedType(env)) {
    case "mongodb":
      return env["MONGO_URI"] || env["MONGODB_URI"] || undefined;
    case "postgresql":
    case "postgres":
      return serverUrl("postgresql", "POSTGRES", env);
    case "mysql":
    case "mariadb":
      return serverUrl("mysql", "MYSQL", env);
    case "sqlite":
      return env["SQLITE_PATH"] ? `sqlite:///${env["SQLITE_PATH"]}` : undefined;
    default:
      return undefined;
  }
}

function impliedType(env: Environment): string | undefined {
  if (env["MONGO_URI"] || env["MONGODB_URI"]) return "mongodb";
  if (env["POSTGRES_HOST"]) return "postgresql";
  if (env["MYSQL_HOST"]) return "mysql";
  return env["SQLITE_PATH"] ? "sqlite" : undefined;
}

function serverUrl(scheme: string, prefix: string, env: Environment): string | undefined {
  const part = (...names: string[]) => names.map((name) => env[`${prefix}_${name}`]).find(Boolean);
  const host = part("HOST");
  if (host === undefined) return undefined;
  const user = part("USERNAME", "USER");
  const password = part("PASSWORD");
  const secret = password === undefined ? "" : `:${encodeURIComponent(password)}`;
  const login = user === undefined ? "" : `${encodeURIComponent(user)}${secret}@`;
  const port = part("PORT");
  const database = encodeURIComponent(part("DATABASE", "DB") ?? "");
  const tls = part("SSL") === "true" ? "?sslmode=require" : "";
  return `${scheme}://${login}${host}${port === undefined ? "" : `:${port}`}/${database}${tls}`;
}
