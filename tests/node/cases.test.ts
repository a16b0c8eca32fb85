// The shared cases (tests/cases/README.md) through the TypeScript layer and every database.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Database,
  Decimal,
  FarmDbError,
  type Model,
  modelsFromContract,
  ObjectId,
  type Page,
} from "@farm/db-native";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readAny } from "../../js/db-native/dist/wire/reader.js";
import { BACKENDS, fresh, ROOT, temporaryFolder } from "./support.js";

const FOLDER = join(ROOT, "tests", "cases");

/** In a place without a declared type `1.0` is the int 1 here: JavaScript has one type of number. */
const BEYOND_JAVASCRIPT = new Set(["$type double tells floats from ints", "a free whole float stays a float"]);

const databases = temporaryFolder();

interface Case {
  name: string;
  entity: string;
  documents?: Record<string, unknown>[];
  document?: Record<string, unknown>;
  filter?: any;
  sort?: any;
  update?: any;
  array_filters?: any;
  limit?: number;
  after?: string;
  skip?: number;
  search?: string;
  /** Verbs of the core with their arguments, before the search. */
  writes?: [verb: string, args: any][];
  expect: any;
  /** Facts that the backend must declare for the case to say something. */
  needs?: Record<string, unknown>;
}

/** Integers that JavaScript's parser would round are tagged first. */
function read(file: string): { contract: string; cases: Case[] } {
  const text = readFileSync(join(FOLDER, file), "utf8");
  const exact = text.replace(/"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g, (found) =>
    found.startsWith('"') ? found : `{"$numberLong":"${found}"}`,
  );
  const { contract, cases } = JSON.parse(exact);
  return { contract: JSON.stringify(contract), cases: cases.map(readAny) };
}

/** Values so that they compare: classes with private fields become text; int, float and safe bigint are the same here. */
function plain(value: unknown): unknown {
  if (value instanceof Decimal || value instanceof ObjectId) return { [value[Symbol.toStringTag]]: String(value) };
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (value instanceof Date) return { Date: value.toISOString() };
  if (value instanceof Uint8Array) return { Bytes: Buffer.from(value).toString("hex") };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return typeof value === "number" && Object.is(value, -0) ? 0 : value;
  const entries = Object.entries(value).map(([key, inner]) => [key, plain(inner)] as const);
  // Declared uuids, days and times are text here; in free places they keep their tag.
  const [only] = entries;
  if (entries.length === 1 && only && ["$uuid", "$day"].includes(only[0])) return only[1];
  if (entries.length === 1 && only?.[0] === "$time") return String(only[1]).replace(/\.0+$/, "");
  return Object.fromEntries(entries);
}

async function outcome(work: () => Promise<unknown>): Promise<unknown> {
  try {
    return plain(await work());
  } catch (error) {
    if (!(error instanceof FarmDbError)) throw error;
    return { error: error.code };
  }
}

type Run = (db: Database, repository: any, one: Case) => Promise<unknown>;

/** Where the case `creates` its document itself, the table is empty before. */
function replay(file: string, run: Run, creates = false): void {
  const { contract, cases } = read(file);
  describe.each(BACKENDS)(`${file} on %s`, (backend) => {
    const models = modelsFromContract(contract);
    let db: Database;
    let end: () => Promise<void>;
    beforeAll(async () => {
      ({ db, end } = await fresh(backend, join(databases, `${file}.db`), Object.values(models)));
    });
    afterAll(() => end());
    test.for(cases.filter(({ name }) => !BEYOND_JAVASCRIPT.has(name)))("$name", async (one, context) => {
      const declared = Object.entries(one.needs ?? {}).find(([fact, wanted]) => db.capabilities[fact] !== wanted);
      if (declared) return context.skip(`${backend} declares ${declared[0]} ${db.capabilities[declared[0]]}`);
      const repository = db.repository(models[one.entity]!);
      const all = { delete: one.entity, deletes: [{ q: {}, limit: 0 }] };
      await db.execute((backend === "mongodb" ? all : `DELETE FROM ${one.entity}`) as any);
      if (!creates) await repository.createMany(one.documents ?? [one.document!]);
      expect(await outcome(() => run(db, repository, one))).toEqual(plain(one.expect));
    });
  });
}

/** The verbs of the core by the methods of a repository. */
const WRITES: Record<string, (repository: any, args: any) => Promise<unknown>> = {
  create: (repository, { record }) => repository.create(record),
  update: (repository, { id, changes }) => repository.update(id, changes),
  update_many: (repository, { filter, update }) => repository.updateMany(filter, update),
  replace: (repository, { id, record }) => repository.replace(id, record),
  upsert: (repository, { record, on }) => repository.upsert(record, { on }),
  find_one_and_update: (repository, { filter, update }) => repository.findOneAndUpdate(filter, update),
  delete: (repository, { id }) => repository.delete(id),
  delete_many: (repository, { filter }) => repository.deleteMany(filter),
};

const ids = (rows: { id: unknown }[]) => rows.map((row) => row.id);

replay("filters.json", async (_db, repository, { filter }) => ids(await repository.find(filter, { sort: "id" })));
replay("sorts.json", async (_db, repository, { sort }) => ids(await repository.find({}, { sort })));
replay("updates.json", async (_db, repository, { document, update, array_filters, expect: expected }) => {
  const before = await repository.get(document!["id"]);
  const after = await repository.update(before.id, update, { arrayFilters: array_filters });
  const text = (value: unknown) =>
    JSON.stringify(plain(value), (_, inner) => (typeof inner === "bigint" ? `${inner}n` : inner));
  const different = Object.keys(after).filter((name) => text(after[name]) !== text(before[name]));
  // Every write counts the version and so on; the cases are about what the update says.
  const said = different.filter((name) => name in expected || !isAutomatic(repository.model, name));
  return Object.fromEntries(said.map((name) => [name, after[name]]));
});
replay("pages.json", async (_db, repository, { filter, sort, limit, after }) => {
  const { fields } = repository.model as Model<any>;
  const key = Object.keys(fields).filter((name) => fields[name]?.definition.primaryKey);
  const pages: unknown[] = [];
  let next: string | null | undefined = after;
  do {
    const page: Page<any> = await repository.page(filter, { sort, limit, after: next });
    pages.push(page.rows.map((row: any) => (key.length === 1 ? row[key[0]!] : key.map((name) => row[name]))));
    next = page.next;
  } while (next !== null);
  return pages;
});
replay(
  "values.json",
  async (_db, repository, { document, expect: expected }) => {
    const created = await repository.create(document);
    const stored = plain({ ...document, ...expected });
    expect(plain(created)).toEqual(stored);
    expect(plain(await repository.get(document!["id"]))).toEqual(stored);
    return expected;
  },
  true,
);

replay("search.json", async (_db, repository, { writes, search, filter, sort, limit, skip }) => {
  for (const [verb, args] of writes ?? []) await WRITES[verb]!(repository, args);
  const found = ids(await repository.search(search, filter, { sort, limit, skip })) as number[];
  const count = await repository.count(filter, { search });
  if (limit === undefined) expect(count).toBe(found.length);
  return sort === undefined ? found.sort((one, other) => one - other) : found;
});

function isAutomatic(model: Model<any>, attribute: string): boolean {
  return model.fields[attribute]?.definition.auto !== undefined;
}
