/** The configuration file's `database` part as options of the core, which reads its sections by itself. */
import type { DatabaseConfig } from "@farm/types";
import { redact } from "../output/redact.js";

/** Options for the core. `type` is left out where the URL comes from elsewhere: it speaks of the file's own URL. */
export function coreOptions(config: DatabaseConfig, ownsUrl: boolean): Record<string, unknown> {
  const { type, url: _url, options, migrations: _migrations, monitoring: _monitoring, ...rest } = config;
  const { development: _development, backup: _backup, ...sections } = rest;
  // What an app does on start is not the connection's business.
  const { synchronize: _synchronize, logging: _logging, ...connection } = options ?? {};
  return { ...sections, ...(options && { options: connection }), ...(ownsUrl && type && { type }) };
}

/** A SQLite file is only read: looking at it neither creates it nor switches its journal. Nothing to other databases. */
export function forReading(options: Record<string, unknown>): Record<string, unknown> {
  return { ...options, sqlite: { ...(options["sqlite"] as object | undefined), mode: "ro" } };
}

/** Options as lines `pool.maxSize`, for people; what may be a secret is hidden. */
export function flatten(options: Record<string, unknown>, prefix = ""): [name: string, value: string][] {
  return Object.entries(options).flatMap(([name, value]): [string, string][] => {
    const path = `${prefix}${name}`;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return flatten(value as Record<string, unknown>, `${path}.`);
    }
    const hidden = /pass|pwd|secret|token|key|credential|replicas|auth_?mechanism_?properties/i.test(name);
    return value === undefined ? [] : [[path, hidden ? "***" : redact(String(value))]];
  });
}
