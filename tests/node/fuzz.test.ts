// Hostile JSON of any shape through the TypeScript API and the command: a right answer or a typed error, in a bounded time
// and memory, and no other table is touched. `errors.test.ts` has the mistakes one by one.
import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Database, defineModel, ERROR_TABLE, FarmDbError, f } from "@farm/db-native";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BACKENDS, FARM, fresh, node, temporaryFolder } from "./support.js";

const Target = defineModel("targets", {
  id: f.int().primaryKey(),
  text: f.string().nullable(),
  count: f.int().nullable(),
  real: f.float().nullable(),
  at: f.datetime().nullable(),
  items: f.list(f.string()).default([]),
  place: f.object({ city: f.string().nullable(), zipCode: f.string().column("zip").nullable() }).nullable(),
  limits: f.map(f.int()).default({}),
  free: f.json().nullable(),
});
const Witness = defineModel("witnesses", { id: f.int().primaryKey(), text: f.string() });

/** Codes that tell of a defect, or of a database that did not understand what we said. */
const DEFECTS = ["internal_error", "backend_error", "connection_failed", "connection_lost", "outcome_unknown"];
/** Milliseconds that one call may take, whatever it was given; a debug build on a busy machine needs some of them. */
const PATIENCE = 10_000;
/** Bytes by which the process may grow over all calls of a test. */
const GROWTH = 400 * 2 ** 20;
const DEEP = 10_000;
/** The same input in every run, unless told. */
const SEED = Number(process.env["FARM_TEST_SEED"] ?? 1);
const FEW = process.env["FARM_TEST_FEW"] ? 10 : 60;

const LEGS = [
  "a",
  "0",
  "$where",
  "$[]",
  "$[x]",
  "__proto__",
  "constructor",
  "",
  "a'b",
  'a"b',
  "a`b",
  "a\\b",
  "--",
  "{a,b}",
  "a\0b",
];
const NAMES = [
  ...Object.keys(Target.fields),
  "_id",
  "nope",
  "toString",
  "__proto__",
  "text; DROP TABLE witnesses; --",
  "$where",
  "",
];
const OPERATORS =
  "eq ne gt gte lt lte in nin and or nor not exists size type regex options mod all elemMatch set unset inc mul min max rename push addToSet pull pullAll pop currentDate each slice position sort where expr"
    .split(" ")
    .map((name) => `$${name}`);
const path = fc
  .tuple(fc.constantFrom(...NAMES), fc.array(fc.constantFrom(...LEGS), { maxLength: 2 }))
  .map(([name, legs]) => [name, ...legs].join("."));
const text = fc.oneof(
  fc.constantFrom("'", '"', "\\", "\0", "\ud800", "' OR '1'='1", "(a+)+$", "\u202e"),
  fc.string({ maxLength: 10 }),
);
const leaf = fc.oneof(
  fc.constantFrom(
    null,
    undefined,
    Number.NaN,
    -0,
    2 ** 53,
    1e308,
    2n ** 63n,
    -(2n ** 63n),
    10n ** 40n,
    Symbol("s"),
    () => 1,
  ),
  fc.boolean(),
  fc.integer(),
  fc.double(),
  text,
  path,
  fc.date(),
  fc.uint8Array({ maxLength: 3 }),
);
const key = fc.oneof(path, fc.constantFrom(...OPERATORS), text);
/** Maps as `JSON.parse` makes them, with `__proto__` as a key of their own. */
function map(keys: fc.Arbitrary<string>, values: fc.Arbitrary<unknown>): fc.Arbitrary<object> {
  return fc.array(fc.tuple(keys, values), { maxLength: 3 }).map((entries) => {
    const made = {};
    for (const [name, value] of entries) {
      Object.defineProperty(made, name, { value, enumerable: true, configurable: true, writable: true });
    }
    return made;
  });
}
const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    fc.array(tie("json"), { maxLength: 3 }),
    map(key, tie("json")),
  ),
}));
const condition = map(fc.constantFrom(...OPERATORS), json);
const filter = fc.oneof(map(path, fc.oneof(condition, leaf)), map(key, json), json);
const update = fc.oneof(map(fc.constantFrom(...OPERATORS), map(path, json)), map(path, json), json);

/** The answer or the typed error of a call, which ends in time and tells of no defect. */
async function bounded(call: () => unknown, patience = PATIENCE): Promise<unknown> {
  const began = performance.now();
  let outcome: unknown;
  try {
    outcome = await call();
  } catch (error) {
    outcome = error;
    if (!(error instanceof FarmDbError)) throw error;
    expect(Object.keys(ERROR_TABLE)).toContain(error.code);
    expect(DEFECTS, `${error.code}: ${error.message.slice(0, 300)}`).not.toContain(error.code);
    expect(error.message.length).toBeLessThan(20_000);
  }
  expect(performance.now() - began).toBeLessThan(patience);
  return outcome;
}

function nest(depth: number, of: (inner: unknown) => unknown): unknown {
  let value: unknown = 1;
  for (let level = 0; level < depth; level++) value = of(value);
  return value;
}

const folder = temporaryFolder();

describe.each(BACKENDS)("on %s", (backend) => {
  let db: Database;
  let end: () => Promise<void>;
  const target = () => db.repository(Target) as any;

  beforeAll(async () => {
    ({ db, end } = await fresh(backend, join(folder, "app.db"), [Target, Witness]));
    await db.repository(Witness).createMany([
      { id: 1, text: "a" },
      { id: 2, text: "b" },
    ]);
    await target().createMany([
      { id: 1, text: "a", items: ["a", "b"], free: JSON.parse('{"a": {"b": [1, {"c": null}]}, "__proto__": 1}') },
      { id: 2, text: 'it\'s "b" -- `c`', place: { city: "Bonn", zipCode: "1" }, limits: { x: 5 } },
      { id: 3, real: 1.5, free: [[[]]] },
    ]);
  });
  afterAll(() => end());

  /** A hash of all rows of both tables. */
  async function content(): Promise<string> {
    const rows = [await db.repository(Witness).find({}, { sort: "id" }), await target().find({}, { sort: "id" })];
    return createHash("sha256").update(JSON.stringify(rows)).digest("hex");
  }

  /** Every call with every example, inside transactions that are rolled back. */
  async function fuzz(
    given: fc.Arbitrary<unknown>,
    calls: (value: any, tx: any) => readonly (() => unknown)[],
  ): Promise<void> {
    const before = await content();
    const growth = process.memoryUsage.rss();
    for (const value of fc.sample(given, { numRuns: FEW, seed: SEED })) {
      const count = calls(value, undefined).length;
      for (let number = 0; number < count; number++) {
        await db
          .transaction(async (tx) => {
            await bounded(calls(value, tx)[number]!);
            throw new Error("undo");
          })
          .catch((error) => {
            if (error.message !== "undo") throw error;
          });
      }
    }
    expect(await content()).toBe(before);
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect(process.memoryUsage.rss() - growth).toBeLessThan(GROWTH);
  }

  test("any JSON as a filter reads or is refused", async () => {
    await fuzz(filter, (value, tx) => [
      () => target().find(value, { tx }),
      () => target().count(value, { tx }),
      () => target().page(value, { tx }),
      () => target().deleteMany(value, { tx }),
      () => target().updateMany({ id: 1 }, { $set: { "items.$[x]": "y" } }, { arrayFilters: [value], tx }),
    ]);
  });

  test("any JSON as an update or a record changes what is meant or is refused", async () => {
    await fuzz(update, (value, tx) => [
      () => target().updateMany({ id: 1 }, value, { tx }),
      () => target().update(2, value, { tx }),
      () => target().create(value, { tx }),
      () => target().upsert(value, { tx }),
      () => target().replace(1, value, { tx }),
    ]);
  });

  test("any JSON as a sort, a field, a key or a cursor answers or is refused", async () => {
    await fuzz(fc.oneof(json, key), (value, tx) => [
      () => target().find({}, { sort: value, tx }),
      () => target().find({}, { fields: [value], tx }),
      () => target().find({}, { limit: value, skip: value, tx }),
      () => target().find({}, { include: [value], tx }),
      () => target().find({}, { search: value, tx }),
      () => target().distinct(value, { tx }),
      () => target().get(value, { tx }),
      () => target().getMany([value], { tx }),
      () => target().page({}, { after: value, tx }),
      () => target().page({}, { sort: value, tx }),
      () => target().aggregate({}, { measures: { n: value }, tx }),
      () => target().aggregate({}, { group: { g: value }, measures: { n: { $count: true } }, tx }),
    ]);
  });

  test("an expected version is a value, whatever stands in it", async () => {
    const before = await content();
    for (const version of ['1,"id":2', "1", '"', "1}", [1], {}, Number.NaN, 1.5, -1, 2n ** 70n, Symbol("s")]) {
      await bounded(() => target().update(1, {}, { expectedVersion: version }));
      expect(await bounded(() => target().update(1, { text: "z" }, { expectedVersion: version }))).toBeInstanceOf(
        FarmDbError,
      );
    }
    expect(await content()).toBe(before);
  });

  test.each([
    ["lists", (inner: unknown) => [inner]],
    ["maps", (inner: unknown) => ({ a: inner })],
    ["conditions", (inner: unknown) => ({ $and: [inner] })],
    ["negations", (inner: unknown) => ({ $not: inner })],
  ])("%s nested ten thousand deep are refused", async (_name, of) => {
    const deep = nest(DEEP, of);
    const before = await content();
    for (const call of [
      () => target().find(deep),
      () => target().find({ free: deep }),
      () => target().find({ "free.a": { $in: [deep] } }),
      () => target().create({ id: 9, free: deep }),
      () => target().createMany([{ id: 9, free: deep }]),
      () => target().update(1, { free: deep }),
      () => target().update(1, { $set: { "free.a": deep } }),
      () => target().updateMany({ id: 1 }, { $push: { items: deep } }),
      () => target().updateMany({ id: 1 }, { $set: { "items.$[x]": "y" } }, { arrayFilters: [{ x: deep }] }),
      () => target().upsert({ id: 1, free: deep }),
      () => target().get(deep),
      () => target().find({}, { sort: deep }),
      () => target().page({}, { after: deep }),
      () => target().aggregate({}, { measures: { n: deep } }),
    ]) {
      expect(await bounded(call), String(call)).toBeInstanceOf(FarmDbError);
    }
    expect(await content()).toBe(before);
  });

  test("what is wide is answered or refused within bounds", async () => {
    const before = await content();
    const [long, many] = ["x".repeat(2_000_000), 5_000];
    const each = <T>(of: (n: number) => T) => Array.from({ length: many }, (_, n) => of(n));
    for (const call of [
      () => target().find({ [long]: 1 }),
      () => target().find({ [`free.${long}`]: 1 }),
      () => target().find({ text: { [`$${long}`]: 1 } }),
      () => target().find({}, { sort: long }),
      () => target().distinct(long),
      () => target().page({}, { after: long }),
      () => target().find({ $or: each((n) => ({ count: n })) }),
      () => target().find({ $nor: each((n) => ({ "free.a": n })) }),
      () => target().find({ id: { $in: each((n) => n) } }),
      () => target().find({}, { sort: each((n) => `limits.k${n}`) }),
      () => target().find({ text: { $regex: `${"a".repeat(10_000)}b` } }),
    ]) {
      await bounded(call);
    }
    expect(await content()).toBe(before);
  });
});

describe("URLs and options", () => {
  test("of any kind are read or refused, and open nothing", async () => {
    const cwd = process.cwd();
    const before = readdirSync(cwd);
    const scheme = fc.constantFrom(
      "sqlite:///",
      "sqlite:",
      "postgres://",
      "mysql://",
      "mongodb://",
      "mongodb+srv://",
      "",
      "\0",
    );
    const piece = fc.oneof(
      text,
      fc.constantFrom("@", ":", "/", "?", "&", "=", "%", "%00", "[::1]", ",", ":memory:", "max_size=1"),
    );
    const url = fc.tuple(scheme, fc.array(piece, { maxLength: 8 })).map(([start, parts]) => start + parts.join(""));
    const options = map(fc.oneof(fc.constantFrom("pool", "maxSize", "password", "sqlite", "timeout"), text), json);
    for (const [place, given] of fc.sample(fc.tuple(url, options), { numRuns: 5 * FEW, seed: SEED })) {
      for (const one of [place, "sqlite::memory:"]) {
        await bounded(() => Database.prepare(one, { models: [Witness], ...(given as object) }));
      }
    }
    const deep = nest(DEEP, (inner) => ({ pool: inner })) as object;
    expect(await bounded(() => Database.prepare("sqlite::memory:", { models: [Witness], ...deep }))).toBeInstanceOf(
      FarmDbError,
    );
    expect(readdirSync(cwd)).toEqual(before);
  });
});

describe.concurrent("the command", () => {
  const words = [
    ...[
      "--url",
      "--json",
      "-q",
      "--",
      "-",
      "--config",
      "--env-file",
      "--wait-timeout",
      "db",
      "status",
      "info",
      "connect",
    ],
    ...[
      "sqlite:///x?mode=ro",
      "postgres://u:canary@[::1",
      "'; DROP TABLE x; --",
      "$(touch x)",
      "--url=",
      "--__proto__=1",
    ],
    ...["\u202e", "é", "-1", "1e999", "x".repeat(5_000), "--no-color", "mongodb://", "../../../etc/passwd", "", " "],
  ];
  const base = temporaryFolder();
  const some = fc.array(fc.constantFrom(...words), { minLength: 1, maxLength: 5 });
  const samples = fc.sample(some, { numRuns: FEW / 2, seed: SEED });

  // A password in a wrong place.
  const url = "postgres://u:canary@h/db";
  samples.push(
    [url],
    ["status", url],
    ["status", `--urll=${url}`],
    ["connect", "--wait-timeout", url],
    [`u:can'canary\n@h`],
  );

  test.each(samples.map((args) => [args]))(
    "%j ends by itself, with a code of its table and without a stack",
    async (args) => {
      const ended = await node(["--", FARM, "db", ...args], { cwd: base });
      expect(ended.signal).toBeNull();
      expect([0, 1, 2]).toContain(ended.code);
      expect(ended.stderr).not.toMatch(/\n\s+at |panicked/);
      expect(ended.stdout + ended.stderr).not.toContain("canary");
      expect(readdirSync(base)).toEqual([]);
    },
  );
});
