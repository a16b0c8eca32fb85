/** The addon: how it is found, what it offers, and how its errors become ours. */
import { existsSync } from "node:fs";
import { ERROR_TABLE, FarmDbError, type FarmDbErrorCode } from "./error.js";
import { readAny } from "./wire/reader.js";
import { writeFree } from "./wire/record.js";

/** JSON, as whatever the addon makes faster of it. @internal */
export type Reply = string | Buffer;

/** One database as the addon sees it. Arguments and replies are tagged JSON. @internal */
export interface NativeEngine {
  readonly backend: string;
  readonly url: string;
  readonly isConnected: boolean;
  contract(): string;
  contractHash(): string;
  capabilities(): string;
  poolStats(): string;
  liveness(): string;
  connect(mode: string, createMissing: boolean, wait: number): Promise<Reply>;
  close(): Promise<Reply>;
  ensureSchema(): Promise<Reply>;
  storedContract(): Promise<Reply>;
  health(): Promise<Reply>;
  stats(): Promise<Reply>;
  introspect(): Promise<Reply>;
  execute(statement: string, parameters: string, tx: NativeTransaction | null): Promise<Reply>;
  repository(entity: string): NativeRepository;
  /** Where `raw`, a `Buffer` of the rows as the core writes them. */
  call(entity: string, verb: string, args: string, tx: NativeTransaction | null, raw: boolean): Promise<Reply>;
  begin(isolation: string | null, readOnly: boolean): Promise<NativeTransaction>;
  stream(entity: string, query: string, batch: number, tx: NativeTransaction | null): Promise<NativeStream>;
}

/** What goes another way than `call`. @internal */
export interface NativeRepository {
  /** Outside transactions: the JSON of a list of one row, itself where it could be read at once. */
  get(id: string, isJson: boolean): string | Promise<string>;
  /** Inserts the rows of a JSON list; what the core has made of them, see {@link NativeCreation.made}. */
  create(rows: string, tx: NativeTransaction | null): Promise<string>;
  creation(tx: NativeTransaction | null): NativeCreation;
}

/** Rows that are inserted while others are still to come. @internal */
export interface NativeCreation {
  /** Hands the rows of a JSON list over; whether there is room for more. */
  take(rows: string): boolean;
  /** Waits for room; whether to go on, which is not so where the insertion has failed. */
  room(): Promise<Reply>;
  /** Ends well, once all were taken: the rows are there. */
  insert(): Promise<Reply>;
  /** Of a slice: a JSON object of the fields that are not as they were handed over, a list of the values of each; or nothing. */
  made(slice: number): string;
  /** Ends badly: no row is there. */
  undo(): Promise<Reply>;
}

/** @internal */
export interface NativeTransaction {
  readonly isActive: boolean;
  commit(): Promise<Reply>;
  rollback(): Promise<Reply>;
  begin(): Promise<NativeTransaction>;
}

/** Batches of rows; an empty list is the end. @internal */
export interface NativeStream {
  next(): Promise<Reply>;
  close(): void;
}

interface Addon {
  Engine: {
    new (url: string, options: string, contract: string): NativeEngine;
    fromEnvironment(variables: string, options: string, contract: string): NativeEngine;
  };
}

let loaded: Addon | undefined;

/** The addon of this machine, loaded once. */
function addon(): Addon {
  loaded ??= load();
  return loaded;
}

function load(): Addon {
  const name = `@farm/db-native-${platformName()}`;
  try {
    // A build of one's own, such as a release build beside the development one, can be put in its place.
    return require(process.env["FARM_DB_ADDON"] ?? name) as Addon;
  } catch (cause) {
    const message = `the addon cannot be loaded: install ${name}`;
    throw new FarmDbError("invalid_configuration", message, { package: name }, { cause });
  }
}

/** As the packages are named: `linux-x64-gnu`, `darwin-arm64` ... */
function platformName(): string {
  const { platform, arch } = process;
  if (platform === "linux") return `linux-${arch}-${isMusl() ? "musl" : "gnu"}`;
  return platform === "win32" ? `win32-${arch}-msvc` : `${platform}-${arch}`;
}

/** musl calls its loader so; a machine may have both, but only Alpine and its kin have it without glibc. */
function isMusl(): boolean {
  return existsSync("/etc/alpine-release");
}

/** A database that is not connected yet: of a URL, or of environment variables. @internal */
export function openEngine(place: string | Environment, options: string, contract: string): NativeEngine {
  const { Engine } = addon();
  try {
    if (typeof place === "string") return new Engine(place, options, contract);
    return Engine.fromEnvironment(writeFree(relevant(place)), options, contract);
  } catch (error) {
    throw rebuilt(error);
  }
}

/** Variables by name, such as `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The variables that may name a database; no others leave the host. */
function relevant(variables: Environment): Environment {
  const names = Object.keys(variables).filter((name) => /^(DATABASE_|DB_|MONGO_|POSTGRES_|MYSQL_|SQLITE_)/.test(name));
  return Object.fromEntries(names.map((name) => [name, variables[name]]));
}

/** What a call of the addon resolves to; its errors become {@link FarmDbError}s with the caller's stack. @internal */
export async function awaited<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw rebuilt(error);
  }
}

/** The JSON of a reply. @internal */
export async function parsed(call: () => Promise<Reply>): Promise<any> {
  return parse(await awaited(call));
}

/** @internal */
export function parse(reply: Reply): any {
  return JSON.parse(typeof reply === "string" ? reply : reply.toString("utf8"));
}

/** The addon's errors carry code, message and context as JSON in their message. @internal */
export function rebuilt(error: unknown): unknown {
  const text = error instanceof Error ? error.message : "";
  if (!text.startsWith('{"code":')) return error;
  const { code, message, context } = JSON.parse(text) as {
    code: string;
    message: string;
    context: Record<string, unknown>;
  };
  const known = Object.hasOwn(ERROR_TABLE, code) ? (code as FarmDbErrorCode) : "internal_error";
  return new FarmDbError(known, message, readAny(context) as Record<string, unknown>);
}
