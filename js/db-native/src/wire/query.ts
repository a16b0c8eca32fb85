/** Queries, sorts and projections on their way in. */
import { FarmDbError } from "../error.js";
import { type Members, memberOf } from "../model/shape.js";
import { resolve, writeFilter } from "./filter.js";
import { writeFree } from "./record.js";

/** What a query may say; see the options of repository calls. */
export interface QueryParts {
  readonly filter?: unknown;
  readonly sort?: unknown;
  readonly limit?: number | undefined;
  readonly skip?: number | undefined;
  readonly fields?: readonly PropertyKey[] | undefined;
  readonly include?: readonly string[] | undefined;
  readonly deleted?: boolean | undefined;
  readonly search?: string | undefined;
}

/** Arguments of one call, as the members of a JSON object. */
export class Arguments {
  #json = "";

  /** Adds JSON text under a name; `undefined` is left out. */
  add(name: string, json: string | undefined): this {
    if (json !== undefined) this.#json += `${this.#json === "" ? "" : ","}"${name}":${json}`;
    return this;
  }

  /** Adds plain data that needs no tags. */
  plain(name: string, value: number | bigint | string | boolean | null | undefined): this {
    return this.add(name, value === undefined ? undefined : writeFree(value));
  }

  /** Adds the parts of a query that are given. */
  query(parts: QueryParts, members: Members): this {
    if (parts.filter !== undefined) this.add("filter", writeFilter(parts.filter, members));
    if (parts.sort !== undefined) this.add("sort", writeSort(parts.sort, members));
    this.count("limit", parts.limit).count("skip", parts.skip);
    if (parts.fields !== undefined) this.add("fields", writeFields(parts.fields, members));
    return this.include(parts.include).plain("deleted", parts.deleted).plain("search", parts.search);
  }

  /** Adds the relations to load. */
  include(relations: readonly string[] | undefined): this {
    return this.add("include", relations === undefined ? undefined : writeFree(relations));
  }

  /** Adds a number of rows. */
  count(name: string, value: number | undefined): this {
    if (value !== undefined && (!Number.isSafeInteger(value) || value < 0)) {
      const got = typeof value === "number" ? value : typeof value;
      throw new FarmDbError("invalid_query", `${name} must be a whole number from 0, got ${got}`, { path: name });
    }
    return this.plain(name, value);
  }

  /** The JSON object. */
  toString(): string {
    return `{${this.#json}}`;
  }
}

/** A sort as a JSON list of stored paths. */
export function writeSort(sort: unknown, members: Members): string {
  return writeFree(sortKeys(sort).map(([path, sign]) => sign + resolve(members, path).path));
}

function sortKeys(sort: unknown): [path: string, sign: "" | "-"][] {
  if (typeof sort === "string") return sortKeys([sort]);
  if (Array.isArray(sort)) return sort.map((key) => (Array.isArray(key) ? pair(key[0], key[1]) : signed(key)));
  if (typeof sort === "object" && sort !== null) return Object.entries(sort).map(([path, order]) => pair(path, order));
  throw wrongSort();
}

function signed(key: unknown): [string, "" | "-"] {
  if (typeof key !== "string") throw wrongSort();
  if (key.startsWith("-")) return [key.slice(1), "-"];
  return [key.startsWith("+") ? key.slice(1) : key, ""];
}

function pair(path: unknown, order: unknown): [string, "" | "-"] {
  if (typeof path !== "string" || (order !== 1 && order !== -1)) throw wrongSort();
  return [path, order === -1 ? "-" : ""];
}

function wrongSort(): FarmDbError {
  return new FarmDbError("invalid_query", 'expected a sort such as ["-createdAt", "name"]', { path: "sort" });
}

/** A list of attributes as a JSON list of stored names. */
export function writeFields(fields: readonly PropertyKey[], members: Members): string {
  if (!Array.isArray(fields) || !fields.every((name) => typeof name === "string"))
    throw new FarmDbError("invalid_query", "fields must be a list of names", { path: "fields" });
  return writeFree(fields.map((name) => memberOf(members, name)?.column ?? name));
}
