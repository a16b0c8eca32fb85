// What is created is what is read: every kind, any value that it can hold, through the real core and SQLite.
import { Decimal, defineModel, f, ObjectId, PreciseDate } from "@farm/db-native";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { memory, refused } from "./support.js";

const Cell = defineModel("cells", {
  id: f.int().primaryKey().autoIncrement(),
  int: f.int().nullable(),
  big: f.bigint().nullable(),
  float: f.float().nullable(),
  decimal: f.decimal().nullable(),
  bool: f.bool().nullable(),
  text: f.string().nullable(),
  uuid: f.uuid().nullable(),
  objectId: f.objectId().nullable(),
  datetime: f.datetime().nullable(),
  date: f.date().nullable(),
  time: f.time().nullable(),
  bytes: f.bytes().nullable(),
  any: f.json().nullable(),
  list: f.list(f.decimal().nullable()).nullable(),
  map: f.map(f.bigint()).nullable(),
  object: f.object({ at: f.datetime(), raw: f.bytes().column("raw_bytes") }, { extra: true }).nullable(),
});
const db = await memory([Cell]);
const cells = db.repository(Cell);

const INT64 = { min: -(1n << 63n), max: (1n << 63n) - 1n };
const digits = (count: number) => fc.bigInt({ min: -(10n ** BigInt(count)) + 1n, max: 10n ** BigInt(count) - 1n });
const arbitrary = {
  // An int is read as a number where that is exact, else as a bigint.
  int: fc.bigInt(INT64).map((n) => (Number.isSafeInteger(Number(n)) ? Number(n) : n)),
  big: fc.bigInt(INT64),
  float: fc.double({ noNaN: true }).map((n) => (Object.is(n, -0) ? 0 : n)),
  decimal: fc.tuple(digits(30), fc.nat(6)).map(([n, scale]) => new Decimal(scale === 0 ? `${n}` : withPoint(n, scale))),
  bool: fc.boolean(),
  text: fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\0") && text.isWellFormed()),
  uuid: fc.uuid(),
  objectId: fc.stringMatching(/^[0-9a-f]{24}$/).map((hex) => new ObjectId(hex)),
  datetime: fc
    .tuple(
      fc.date({
        min: new Date("0001-01-01T00:00:00Z"),
        max: new Date("9999-12-31T23:59:59.999Z"),
        noInvalidDate: true,
      }),
      fc.nat(999),
    )
    .map(([date, micros]) => (micros === 0 ? date : new PreciseDate(date, micros))),
  date: fc
    .date({ min: new Date("0001-01-01T00:00:00Z"), max: new Date("9999-12-31T00:00:00Z"), noInvalidDate: true })
    .map((date) => date.toISOString().slice(0, 10)),
  time: fc
    .tuple(fc.nat(23), fc.nat(59), fc.nat(59), fc.nat(999_999))
    .map(([h, m, s, us]) => `${two(h)}:${two(m)}:${two(s)}${us === 0 ? "" : `.${String(us).padStart(6, "0")}`}`),
  bytes: fc.uint8Array(),
};
const key = fc.string({ minLength: 1, maxLength: 8 }).filter((text) => !/^\$|[.\0]/.test(text) && text.isWellFormed());
const { any } = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    arbitrary.int,
    arbitrary.float.filter(Number.isFinite),
    arbitrary.decimal,
    arbitrary.bool,
    arbitrary.text,
    arbitrary.objectId,
    arbitrary.datetime,
    arbitrary.bytes,
    fc.uuid().map((uuid) => ({ $uuid: uuid })),
    arbitrary.date.map((day) => ({ $day: day })),
    fc.array(tie("any"), { maxLength: 4 }),
    fc.dictionary(key, tie("any"), { maxKeys: 4, noNullPrototype: true }),
  ),
}));

function two(n: number): string {
  return String(n).padStart(2, "0");
}
function withPoint(n: bigint, scale: number): string {
  const sign = n < 0n ? "-" : "";
  const text = String(n < 0n ? -n : n).padStart(scale + 1, "0");
  return `${sign}${text.slice(0, -scale)}.${text.slice(-scale)}`;
}

async function same(record: Record<string, unknown>): Promise<void> {
  const created = await cells.create(record);
  const read = await cells.get(created.id);
  expect(read).toEqual(created);
  for (const [name, value] of Object.entries(record)) {
    expect(comparable(read[name as keyof typeof read])).toEqual(comparable(value));
  }
}

/** Private fields are not compared by `toEqual`. */
function comparable(value: unknown): unknown {
  if (value instanceof Decimal || value instanceof ObjectId) return `${value[Symbol.toStringTag]} ${value}`;
  if (value instanceof Date)
    return `Date ${new PreciseDate(value, value instanceof PreciseDate ? value.microseconds : 0).toISOString()}`;
  if (value instanceof Uint8Array) return `Bytes ${Buffer.from(value).toString("hex")}`;
  if (Array.isArray(value)) return value.map(comparable);
  if (typeof value !== "object" || value === null) return value;
  return Object.entries(value).map(([name, inner]) => [name, comparable(inner)]);
}

describe("a value survives", () => {
  for (const [kind, values] of Object.entries(arbitrary)) {
    test(kind, async () => {
      await fc.assert(
        fc.asyncProperty(values as fc.Arbitrary<unknown>, (value) => same({ [kind]: value })),
        { numRuns: 150 },
      );
    });
  }

  test("any", async () => {
    await fc.assert(
      fc.asyncProperty(any!, (value) => same({ any: value })),
      { numRuns: 300 },
    );
  });

  test("list, map and object", async () => {
    const lists = fc.array(fc.option(arbitrary.decimal), { maxLength: 5 });
    const maps = fc.dictionary(key, arbitrary.big, { maxKeys: 5, noNullPrototype: true });
    const objects = fc.record({ at: arbitrary.datetime, raw: arbitrary.bytes, more: any! });
    await fc.assert(
      fc.asyncProperty(lists, maps, objects, (list, map, object) => same({ list, map, object })),
      { numRuns: 100 },
    );
  });

  test("at the edges", async () => {
    for (const int of [2 ** 53 - 1, -(2 ** 53 - 1), 2n ** 53n, -(2n ** 53n) - 1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
      await same({ int });
    }
    for (const float of [
      0,
      5e-324,
      1.7976931348623157e308,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      2 ** 60,
      0.1,
    ]) {
      await same({ float });
    }
    for (const decimal of ["0.00", "1E+50", "-12.50", "1234567890123456789012345678901234"]) {
      await same({ decimal: new Decimal(decimal) });
    }
    await same({ datetime: new Date("0001-01-01T00:00:00Z") });
    await same({ datetime: new PreciseDate("9999-12-31T23:59:59.999Z", 999) });
    await same({ datetime: new PreciseDate("1969-12-31T23:59:59.999Z", 1) });
    await same({ text: '9007199254740993 "9007199254740993" \\"\u2028 \u{10ffff} é' });
    await same({ any: JSON.parse('{"__proto__": {"a": 1}, "constructor": 2}') });
    await same({
      map: JSON.parse('{"__proto__": 1}', (_, value) => (typeof value === "number" ? BigInt(value) : value)),
    });
  });
});

describe("a value is refused", () => {
  test.each([
    ["a lone surrogate", { text: "a\ud800" }],
    ["a lone surrogate in a key", { any: { "\udfff": 1 } }],
    ["a NUL", { text: "a\0" }],
    ["NaN", { float: Number.NaN }],
    ["an invalid date", { datetime: new Date("x") }],
    ["an int beyond 64 bits", { big: 2n ** 63n }],
    ["a number that is no exact int", { int: 2 ** 60 }],
    ["a fraction for an int", { int: 1.5 }],
    ["a fraction for a decimal", { decimal: 0.1 as never }],
    ["text for an int", { int: "1" as never }],
    ["a date that does not exist", { date: "2024-02-30" }],
    ["a function", { any: () => 1 }],
    ["a symbol", { any: Symbol("x") }],
    ["a Map", { any: new Map() }],
    ["undefined in a list", { any: [1, undefined] }],
    ["a key that is an operator", { any: { $gt: 1 } }],
    ["a key with a dot", { any: { "a.b": 1 } }],
  ])("%s", async (_name, record) => {
    await refused(() => cells.create(record), "invalid_value");
  });

  test("with its path", async () => {
    const error = await refused(() => cells.create({ any: { a: [1, "\ud800"] } }), "invalid_value");
    expect(error.context["path"]).toBe("any.a.1");
  });
});
