// The shared cases of the query language (tests/cases/README.md) through the TypeScript layer and a SQLite database.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Database, Decimal, FarmDbError, type Model, modelsFromContract, ObjectId } from "@farm/db-native";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readAny } from "../../js/db-native/dist/wire/reader.js";
import { memory, ROOT } from "./support.js";

const FOLDER = join(ROOT, "tests", "cases");

/** In a place without a declared type `1.0` is the int 1 here: JavaScript has one type of number. */
const BEYOND_JAVASCRIPT = new Set(["$type double tells floats from ints"]);

interface Case {
  name: string;
  entity: string;
  documents?: Record<string, unknown>[];
  document?: Record<string, unknown>;
  filter?: any;
  sort?: any;
  update?: any;
  expect: any;
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

/** Classes with private fields as text, so that they compare; whether a number was an int or a float is not seen here. */
function plain(value: unknown): unknown {
  if (value instanceof Decimal || value instanceof ObjectId) return { [value[Symbol.toStringTag]]: String(value) };
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

function replay(file: string, run: (db: Database, repository: any, one: Case) => Promise<unknown>): void {
  if (!existsSync(join(FOLDER, file))) {
    test.skip(`${file} is not there`, () => undefined);
    return;
  }
  const { contract, cases } = read(file);
  describe(file, () => {
    const models = modelsFromContract(contract);
    let db: Database;
    beforeAll(async () => {
      db = await memory(Object.values(models));
    });
    afterAll(() => db.close());
    test.each(cases.filter(({ name }) => !BEYOND_JAVASCRIPT.has(name)).map((one) => [one.name, one] as const))(
      "%s",
      async (_name, one) => {
        const repository = db.repository(models[one.entity]!);
        await db.execute(`DELETE FROM ${one.entity}`);
        await repository.createMany(one.documents ?? [one.document!]);
        expect(await outcome(() => run(db, repository, one))).toEqual(plain(one.expect));
      },
    );
  });
}

const ids = (rows: { id: unknown }[]) => rows.map((row) => row.id);

replay("filters.json", async (_db, repository, { filter }) => ids(await repository.find(filter, { sort: "id" })));
replay("sorts.json", async (_db, repository, { sort }) => ids(await repository.find({}, { sort })));
replay("updates.json", async (_db, repository, { document, update, expect: expected }) => {
  const before = await repository.get(document!["id"]);
  const after = await repository.update(before.id, update);
  const text = (value: unknown) =>
    JSON.stringify(plain(value), (_, inner) => (typeof inner === "bigint" ? `${inner}n` : inner));
  const different = Object.keys(after).filter((name) => text(after[name]) !== text(before[name]));
  // Every write counts the version and so on; the cases are about what the update says.
  const said = different.filter((name) => name in expected || !isAutomatic(repository.model, name));
  return Object.fromEntries(said.map((name) => [name, after[name]]));
});

function isAutomatic(model: Model<any>, attribute: string): boolean {
  return model.fields[attribute]?.definition.auto !== undefined;
}
