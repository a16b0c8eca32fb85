/** `createMany`: rows in slices, whatever records are made of, on every database. */
import { join } from "node:path";
import { Decimal, defineModel, f, ObjectId, PreciseDate } from "@farm/db-native";
import { afterAll, describe, expect, test } from "vitest";
import { Everything, type EverythingInput, Note } from "./models.js";
import { BACKENDS, fresh, refused, temporaryFolder } from "./support.js";

/** Without its index on a path, which not every database can have. */
const Kinds = defineModel("kinds", Everything.fields);
const Plain = defineModel("plain", {
  id: f.int().primaryKey(),
  name: f.string({ maxLength: 20 }).unique(),
  moment: f.datetime(),
  counts: f.list(f.int()).default([]),
  weights: f.map(f.float()).default({}),
  free: f.json().nullable(),
});
const Chain = defineModel(
  "chain",
  { id: f.int().primaryKey(), nextId: f.int().column("next_id").nullable() },
  { relations: { next: { kind: "many_to_one", target: "chain", fields: ["nextId"], onDelete: "cascade" } } },
);

const plain = (id: number) => ({ id, name: `n${id}`, moment: new Date(1_735_689_600_000 + id) });
const many = <R>(count: number, make: (index: number) => R) => Array.from({ length: count }, (_, index) => make(index));

/** A record of every kind of value, different from row to row, in forms that take different ways. */
function everything(index: number): EverythingInput {
  const exact: EverythingInput = {
    name: `row ${index} "quoted" \\ \u0001 é 🚀`,
    count: index,
    big: 2n ** 60n + BigInt(index),
    rating: index % 5,
    price: new Decimal(`${index}.10`),
    owner: new ObjectId("59a47286cfa9a3a73e51e72c"),
    at: new Date(index * 1000 + 1),
    day: "2024-01-31",
    clock: "12:00:00.5",
    data: new Uint8Array([index % 256, 0, 255]),
    free: { a: [1, 1.5, "x", null, true], ä: { deep: [[]] } },
    tags: ["a", `"${index}"`],
    scores: { maths: index },
    profile: { city: "Bonn", zipCode: "1", visits: [{ at: new Date(5), placeName: "home" }] },
  };
  const others: EverythingInput[] = [
    exact,
    { name: "little" },
    { ...exact, id: "6BA7B810-9DAD-11D1-80B4-00C04FD430C8".replace("6BA7B810", String(10_000_000 + index)) },
    { ...exact, big: BigInt(index), rating: 0.1 + index / 100, price: String(index), at: new PreciseDate(index, 7) },
    { ...exact, free: new Date(index), data: null, price: null, profile: null },
    { ...exact, free: [new Decimal("1.10"), 2n ** 60n, -0, 1e300, new Uint8Array([1]), { at: new Date(7) }] },
    { ...exact, rating: -0, count: 5.0, free: index % 2 === 0 ? index : "text", createdAt: new Date(3) },
    { ...exact, free: null, owner: "59a47286cfa9a3a73e51e72c", at: "2024-01-31T12:00:00+01:00" as never },
    { name: "another order", tags: [], count: index, isOpen: false, free: {}, status: "live" },
  ];
  return others[index % others.length] as EverythingInput;
}

describe.each(BACKENDS)("on %s", async (backend) => {
  const models = [Kinds, Note, Plain, Chain];
  const { db, end } = await fresh(backend, join(temporaryFolder(), "creation.db"), models);
  afterAll(end);

  test("rows of a batch are those that create would make, and those that get gives", async () => {
    const rows = db.repository(Kinds);
    const records = many(400, everything);
    const created = await rows.createMany(records);
    const stored = await rows.getMany(created.map((row) => row.id));
    expect(created).toEqual(stored);
    const without = ({ id: _id, createdAt: _created, updatedAt: _updated, ...rest }: Everything) => rest;
    for (const [index, record] of records.slice(0, 18).entries()) {
      const { id, ...others } = record;
      const one = await rows.create(others);
      expect(one).toEqual(await rows.get(one.id));
      expect(without(created[index] as Everything)).toEqual(without(one));
      if (id !== undefined) expect(created[index]?.id).toBe(String(id).toLowerCase());
      expect(Object.keys(created[index] as Everything)).toEqual(Object.keys(one));
    }
    expect(created[0]?.createdAt).toBeInstanceOf(Date);
    await rows.deleteMany({ name: { $ne: "" } });
  });

  test("what is returned belongs to nobody else", async () => {
    const record = { ...plain(1), counts: [1], weights: { a: 1.5 }, free: { deep: [1] } };
    const [row] = await db.repository(Plain).createMany([record]);
    record.counts.push(2);
    record.weights.a = 2;
    record.free.deep.push(2);
    record.moment.setTime(0);
    expect(row).toEqual({ ...plain(1), counts: [1], weights: { a: 1.5 }, free: { deep: [1] } });
    await db.repository(Plain).delete(1);
  });

  test("an error names the row, in whichever slice it is, and leaves nothing", async () => {
    const rows = db.repository(Plain);
    const wrong = (at: number, change: object) => many(2000, (n) => (n === at ? { ...plain(n), ...change } : plain(n)));
    for (const at of [0, 100, 700, 1999]) {
      const unfit = await refused(() => rows.createMany(wrong(at, { name: "x".repeat(21) })), "invalid_value");
      expect(unfit.context).toMatchObject({ row: at, field: "name", rule: "max_length" });
      const mistyped = await refused(() => rows.createMany(wrong(at, { weights: { a: "x" } })), "invalid_value");
      expect(mistyped.context).toMatchObject({ row: at, path: "weights.a" });
      await refused(() => rows.createMany(wrong(at, { free: undefined, nothing: 1 })), "unknown_field");
      await refused(() => rows.createMany(wrong(at, { moment: 5 })), "invalid_value");
    }
    const taken = await refused(() => rows.createMany(wrong(1500, { name: "n3" })), "unique_violation");
    // Not every database says which row it was.
    expect([1500, undefined]).toContain(taken.context["row"]);
    expect(await rows.count()).toBe(0);
  });

  test("records may come from a generator, which is closed when it is not read to its end", async () => {
    const rows = db.repository(Plain);
    let [made, closed] = [0, 0];
    function* endless(from: number) {
      try {
        for (let id = from; ; id++, made++) yield id === from + 1000 ? { ...plain(id), name: "n9" } : plain(id);
      } finally {
        closed++;
      }
    }
    function* some(from: number, count: number) {
      for (let id = from; id < from + count; id++) yield plain(id);
    }
    async function* slowly(from: number, count: number) {
      for (let id = from; id < from + count; id++) {
        if (id % 100 === 0) await new Promise(setImmediate);
        yield plain(id);
      }
    }
    const first = await rows.createMany(some(0, 700));
    expect(first.map((row) => row.id)).toEqual(many(700, (id) => id));
    expect(await rows.createMany(slowly(700, 700))).toHaveLength(700);
    expect(await rows.count()).toBe(1400);
    await refused(() => rows.createMany(endless(2000)), "unique_violation");
    expect(closed).toBe(1);
    expect(made).toBeGreaterThanOrEqual(1000);
    async function* failing() {
      yield* some(5000, 1500);
      throw new RangeError("no more");
    }
    await expect(rows.createMany(failing())).rejects.toThrow(RangeError);
    await refused(() => rows.createMany(5 as never), "invalid_value");
    expect(await rows.count()).toBe(1400);
    expect(await rows.createMany(new Set())).toEqual([]);
    await rows.deleteMany({ id: { $gte: 0 } });
  });

  test("keys that the database counts come back, given ones among them", async () => {
    const notes = db.repository(Note);
    expect(await notes.createMany([])).toEqual([]);
    const counted = await notes.createMany(many(1000, (n) => ({ text: `a${n}` })));
    const ids = counted.map((row) => row.id);
    expect(new Set(ids).size).toBe(1000);
    const own = Math.max(...ids) + 10_000;
    const mixed = await notes.createMany(many(1000, (n) => (n === 600 ? { id: own, text: "own" } : { text: `b${n}` })));
    expect(mixed[600]?.id).toBe(own);
    expect(new Set([...ids, ...mixed.map((row) => row.id)]).size).toBe(2000);
    expect(await notes.getMany([ids[999] as number, own])).toEqual([counted[999], mixed[600]]);
    await notes.deleteMany({ id: { $gte: 0 } }, { hard: true });
  });

  test("rows may name those that come later", async () => {
    const chain = db.repository(Chain);
    const links = await chain.createMany(many(800, (id) => ({ id, nextId: id < 799 ? id + 1 : null })));
    expect(links.at(-2)).toEqual({ id: 798, nextId: 799 });
    expect(await chain.count({ "next.id": { $gte: 600 } })).toBe(200);
    await refused(() => chain.createMany(many(700, (n) => ({ id: n + 800, nextId: 5000 }))), "foreign_key_violation");
    expect(await chain.count()).toBe(800);
  });

  test("inside a transaction the rows go with it", async () => {
    const rows = db.repository(Plain);
    const inside = db.transaction(async (tx) => {
      expect(await tx.repository(Plain).createMany(many(1500, plain))).toHaveLength(1500);
      expect(await tx.repository(Plain).count()).toBe(1500);
      throw new RangeError("back");
    });
    await expect(inside).rejects.toThrow(RangeError);
    expect(await rows.count()).toBe(0);
  });

  test("the event loop goes on meanwhile", async () => {
    let [turns, under] = [0, true];
    const turn = () => {
      turns++;
      if (under) setImmediate(turn);
    };
    setImmediate(turn);
    await db.repository(Plain).createMany(many(5000, plain));
    under = false;
    expect(turns).toBeGreaterThan(10);
    await db.repository(Plain).deleteMany({ id: { $gte: 0 } });
  });
});
