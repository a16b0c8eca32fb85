/** `.env`. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseEnv } from "node:util";
import type { Environment } from "@farm/db-native";
import { Failure } from "../failure.js";

/** A read `.env` file. */
export interface EnvFile {
  readonly path: string;
  readonly variables: Environment;
}

/** The variables of the file asked for, else of `.env` in the folder, else none. */
export function readEnvFile(path: string | undefined, folder: string): EnvFile | undefined {
  const file = resolve(folder, path ?? ".env");
  if (!existsSync(file)) {
    if (path === undefined) return undefined;
    const fix = "check the path that follows --env-file";
    throw Failure.usage("env_file_not_found", `there is no file ${file}`, { fix });
  }
  return { path: file, variables: parseEnv(readFileSync(file, "utf8")) };
}
