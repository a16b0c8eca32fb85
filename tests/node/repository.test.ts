import { join } from "node:path";
import { ALL, Decimal, defineModel, f } from "@farm/db-native";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { Everything, Membership, Note } from "./models.js";
import { file, refused, temporaryFolder } from "./support.js";

const db = await file(join(temporaryFolder(), "app.db"), [Everything, Membership, Note]);
afterAll(() => db.close());
const rows = db.repository(Everything);
const notes = db.repository(Note);
const memberships = db.repository(Membership);

beforeEach(async () => {
  await rows.deleteMany(ALL, { hard: true });
  await notes.deleteMany({ id: { $gte: 0 } }, { hard: true });
});

const names = (found: readonly { name: string }[]) => found.map((row) => row.name);
const seed = () =>
  rows.createMany([
    { name: "a", count: 1, tags: ["x", "y"], price: "1.10", profile: { city: "Bonn", zipCode: "53111" } },
    { name: "b", count: 2, tags: ["y"], price: "2.20", status: "live", isOpen: false },
    {
      name: "c",
      count: 3,
      scores: { maths: 1 },
      profile: { city: "Köln", visits: [{ at: new Date(5), placeName: "home" }] },
    },
  ]);

describe("writing", () => {
  test("create fills in what is absent", async () => {
    const row = await rows.create({ name: "a" });
    expect(row).toMatchObject({ name: "a", status: "draft", count: 0, isOpen: true, tags: [], scores: {}, version: 1 });
    expect(row.id).toMatch(/^[0-9a-f-]{36}$/);
    expect(row.createdAt).toBeInstanceOf(Date);
    expect(row.profile).toBeNull();
    expect(await rows.get(row.id)).toEqual(row);
  });

  test("create calls the functions of defaults, at every depth", async () => {
    let made = 0;
    const Model = defineModel("made", {
      id: f
        .int()
        .primaryKey()
        .default(() => ++made),
      inner: f.object({ at: f.date().default(() => "2024-01-31") }),
    });
    await using other = await file(join(temporaryFolder(), "made.db"), [Model]);
    const found = await other
      .repository(Model)
      .createMany([{ inner: {} }, { id: 9, inner: { at: "2000-01-01" } }, { inner: {} }]);
    expect(found.map((row) => [row.id, row.inner.at])).toEqual([
      [1, "2024-01-31"],
      [9, "2000-01-01"],
      [2, "2024-01-31"],
    ]);
  });

  test("createMany stores all or none", async () => {
    expect(await rows.createMany([])).toEqual([]);
    await refused(() => notes.createMany([{ text: "a" }, { text: "b" }, { text: "a" }]), "unique_violation");
    expect(await notes.count()).toBe(0);
  });

  test("update sets fields or applies operators, and counts the version", async () => {
    const id = (await seed())[0]!.id;
    const row = await rows.update(id, { name: "z", profile: { zipCode: "1" } });
    expect(row).toMatchObject({ name: "z", version: 2, profile: { city: null, zipCode: "1", visits: [] } });
    const changed = await rows.update(id, {
      $set: { "profile.city": "Ulm", isOpen: false },
      $inc: { count: 2, price: new Decimal("0.05") },
      $push: { tags: { $each: ["z", "a"], $sort: 1 } },
      $pull: { "profile.visits": { placeName: "home" } },
      $unset: { rating: true },
    });
    expect(changed).toMatchObject({ isOpen: false, count: 3, tags: ["a", "x", "y", "z"], profile: { city: "Ulm" } });
    expect(changed.price?.toString()).toBe("1.15");
    expect(changed.version).toBe(3);
    await refused(() => rows.update("6ba7b810-9dad-11d1-80b4-00c04fd430c8", { name: "b" }), "not_found");
  });

  test("update checks the version", async () => {
    const { id, version } = await rows.create({ name: "a" });
    await rows.update(id, { name: "b" }, { expectedVersion: version });
    await refused(() => rows.update(id, { name: "c" }, { expectedVersion: version }), "version_conflict");
    await refused(() => rows.replace(id, { name: "c" }, { expectedVersion: version }), "version_conflict");
  });

  test("lists of objects are changed by attributes", async () => {
    const { id } = await rows.create({ name: "a", profile: {} });
    const visit = (placeName: string, day: number) => ({ placeName, at: new Date(day) });
    const pushed = await rows.update(id, {
      $push: { "profile.visits": { $each: [visit("b", 2), visit("a", 1), visit("c", 3)], $sort: { placeName: -1 } } },
    });
    expect(pushed.profile?.visits.map((one) => one.placeName)).toEqual(["c", "b", "a"]);
    const pulled = await rows.update(id, { $pull: { "profile.visits": { placeName: { $gte: "b" } } } });
    expect(pulled.profile?.visits).toEqual([visit("a", 1)]);
    const set = await rows.update(id, { $set: { "profile.visits.0.placeName": "d" } });
    expect(set.profile?.visits[0]?.placeName).toBe("d");
  });

  test("$pull of single values takes those out only", async () => {
    const Model = defineModel("pulled", {
      id: f.int().primaryKey(),
      moments: f.list(f.datetime()),
      grid: f.list(f.list(f.int())),
      prices: f.list(f.decimal()),
    });
    await using other = await file(join(temporaryFolder(), "pulled.db"), [Model]);
    const lists = { moments: [new Date(1), new Date(2)], grid: [[1], [2]], prices: ["1.0", "2.0"] };
    await other.repository(Model).create({ id: 1, ...lists });
    const row = await other.repository(Model).update(1, {
      $pull: { moments: new Date(1), grid: [1], prices: { $gt: new Decimal("1.5") } },
    });
    expect(row).toMatchObject({ moments: [new Date(2)], grid: [[2]] });
    expect(row.prices.map(String)).toEqual(["1.0"]);
  });

  test("array filters choose elements by attributes", async () => {
    const Model = defineModel("chosen", {
      id: f.int().primaryKey(),
      visits: f.list(
        f.object({ placeName: f.string().column("place_name"), at: f.datetime().nullable(), stars: f.list(f.int()) }),
      ),
      prices: f.list(f.decimal()),
    });
    await using other = await file(join(temporaryFolder(), "chosen.db"), [Model]);
    const orders = other.repository(Model);
    const visit = (placeName: string, ...stars: number[]) => ({ placeName, at: null, stars });
    await orders.create({ id: 1, visits: [visit("Rome", 1, 5), visit("Bonn", 1)], prices: ["1.0", "2.0"] });
    const arrayFilters = [{ "v.placeName": "Rome" }, { s: { $lt: 3 } }];
    const update = { $set: { "visits.$[v].at": new Date(1) }, $inc: { "visits.$[v].stars.$[s]": 10 } };
    const row = await orders.update(1, update, { arrayFilters });
    expect(row.visits).toEqual([{ ...visit("Rome", 11, 5), at: new Date(1) }, visit("Bonn", 1)]);
    const set = { $set: { "visits.$[v].placeName": "Köln" } };
    expect(await orders.updateOne({}, set, { arrayFilters: [{ "v.placeName": "Bonn" }] })).toBe(1);
    const cheap = { arrayFilters: [{ p: { $lte: new Decimal("1.0") } }] };
    expect(await orders.updateMany(ALL, { $set: { "prices.$[p]": "1.50" } }, cheap)).toBe(1);
    const found = await orders.findOneAndUpdate({}, { $push: { "visits.$[].stars": 0 } });
    expect(found?.visits.map(({ placeName, stars }) => [placeName, stars])).toEqual([
      ["Rome", [11, 5, 0]],
      ["Köln", [1, 0]],
    ]);
    expect(found?.prices.map(String)).toEqual(["1.50", "2.0"]);
    await refused(() => orders.update(1, set), "invalid_query");
    await refused(() => orders.update(1, set, { arrayFilters: [{ "v.place": 1 }] }), "unknown_field");
    await refused(() => orders.update(1, set, { arrayFilters: { v: 1 } as never }), "invalid_query");
    await refused(() => orders.update(1, { $set: { "visits.$.placeName": "x" } }), "invalid_query");
    const first = { $set: { "visits.$.placeName": "Oslo" } };
    expect(await orders.updateMany({ "visits.placeName": "Köln" }, first)).toBe(1);
    expect((await orders.get(1)).visits.map(({ placeName }) => placeName)).toEqual(["Rome", "Oslo"]);
    await refused(() => orders.updateMany({ "visits.stars": 5 }, first), "unsupported");
  });

  test("updateOne, updateMany and findOneAndUpdate change what matches", async () => {
    await seed();
    expect(await rows.updateOne({ count: { $gte: 1 } }, { $inc: { count: 10 } }, { sort: "-count" })).toBe(1);
    expect((await rows.find({}, { sort: "name" })).map((row) => row.count)).toEqual([1, 2, 13]);
    await refused(() => rows.updateMany({ tags: "y" }, { isOpen: true, $set: {} } as never), "invalid_query");
    expect(await rows.updateMany({ tags: "y" }, { isOpen: true })).toBe(2);
    expect(await rows.updateMany(ALL, { status: "live" })).toBe(3);
    expect(await rows.findOneAndUpdate({ name: "a" }, { count: 7 })).toMatchObject({ count: 7 });
    expect(await rows.findOneAndUpdate({ name: "a" }, { count: 8 }, { returnNew: false })).toMatchObject({ count: 7 });
    expect(await rows.findOneAndUpdate({ name: "q" }, { count: 8 })).toBeNull();
  });

  test("replace, upsert and delete", async () => {
    const { id } = await rows.create({ name: "a", count: 5, tags: ["x"] });
    expect(await rows.replace(id, { name: "b" })).toMatchObject({ id, name: "b", count: 0, tags: [] });
    expect(await rows.upsert({ id, name: "c" })).toMatchObject({ id, name: "c" });
    expect(await rows.count()).toBe(1);
    await notes.upsert({ text: "one" }, { on: ["text"] });
    await notes.upsert({ text: "one" }, { on: ["text"] });
    expect(await notes.count()).toBe(1);
    await rows.delete(id);
    expect(await rows.getOrNone(id)).toBeNull();
    await refused(() => rows.delete(id), "not_found");
  });

  test("soft delete hides rows and can be undone", async () => {
    const { id } = await notes.create({ text: "a" });
    await notes.delete(id);
    expect(await notes.count()).toBe(0);
    expect(await notes.getOrNone(id)).toBeNull();
    const [hidden] = await notes.find({}, { deleted: true });
    expect(hidden?.deletedAt).toBeInstanceOf(Date);
    expect((await notes.restore(id)).deletedAt).toBeNull();
    expect(await notes.deleteMany({ text: "a" }, { hard: true })).toBe(1);
    expect(await notes.count({}, { deleted: true })).toBe(0);
  });

  test("composite keys are objects of attributes", async () => {
    const row = await memberships.create({ userId: 1, groupId: 2 });
    expect(row).toEqual({ userId: 1, groupId: 2, role: "member" });
    expect(await memberships.get({ userId: 1, groupId: 2 })).toEqual(row);
    expect(
      await memberships.getMany([
        { userId: 9, groupId: 9 },
        { userId: 1, groupId: 2 },
      ]),
    ).toEqual([row]);
    expect(await memberships.update({ groupId: 2, userId: 1 }, { role: "owner" })).toMatchObject({ role: "owner" });
    await memberships.delete({ userId: 1, groupId: 2 });
    await refused(() => memberships.get({ userId: 1, groupId: 2 }), "not_found");
  });
});

describe("reading", () => {
  test("find filters, sorts, limits and picks", async () => {
    await seed();
    expect(names(await rows.find({ tags: "y" }, { sort: "-name" }))).toEqual(["b", "a"]);
    expect(names(await rows.find({}, { sort: ["-count"], limit: 1, skip: 1 }))).toEqual(["b"]);
    expect(names(await rows.find({}, { sort: { isOpen: 1, name: -1 } }))).toEqual(["b", "c", "a"]);
    expect(await rows.find({ name: "a" }, { fields: ["name", "isOpen"] })).toEqual([{ name: "a", isOpen: true }]);
    expect(await rows.findOne({ name: "c" })).toMatchObject({ scores: { maths: 1 } });
    expect(await rows.findOne({ name: "q" })).toBeNull();
  });

  test.each([
    [{ isOpen: false }, "b"],
    [{ "profile.zipCode": "53111" }, "a"],
    [{ "profile.visits.placeName": "home" }, "c"],
    [{ "profile.visits": { $elemMatch: { placeName: "home", at: { $lte: new Date(5) } } } }, "c"],
    [{ profile: { city: "Bonn", zipCode: "53111", visits: [] } }, "a"],
    [{ $or: [{ isOpen: false }, { "profile.zipCode": "53111" }] }, "ab"],
    [{ $nor: [{ isOpen: false }, { "profile.zipCode": { $exists: true, $ne: null } }] }, "c"],
    [{ name: /^[AB]$/i }, "ab"],
    [{ name: { $not: /a/ } }, "bc"],
    [{ name: { $regex: /^A/i } }, "a"],
    [{ price: { $gte: "1.1", $lt: 2 } }, "a"],
    [{ price: new Decimal("2.2") }, "b"],
    [{ count: { $in: [1, 3n] } }, "ac"],
    [{ tags: ["y"] }, "b"],
    [{ tags: { $all: ["x", "y"] } }, "a"],
    [{ tags: { $size: 1 } }, "b"],
    [{ "tags.1": "y" }, "a"],
    [{ "scores.maths": 1 }, "c"],
    [{ status: { $ne: "draft" as const } }, "b"],
    [{ createdAt: { $lte: new Date(Date.now() + 3_600_000) }, profile: null }, "b"],
  ])("finds %o", async (filter, found) => {
    await seed();
    expect(names(await rows.find(filter, { sort: "name" })).join("")).toBe(found);
    expect(await rows.count(filter)).toBe(found.length);
    expect(await rows.exists(filter)).toBe(true);
  });

  test("getMany keeps the order of keys", async () => {
    const [a, b, c] = (await seed()).map((row) => row.id) as [string, string, string];
    const missing = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
    expect(names(await rows.getMany([c, missing, a, b]))).toEqual(["c", "a", "b"]);
  });

  test("distinct decodes values", async () => {
    await seed();
    expect(await rows.distinct("tags")).toEqual(["x", "y"]);
    expect(await rows.distinct("profile.zipCode")).toEqual([null, "53111"]);
    expect((await rows.distinct("price")).map(String)).toEqual(["null", "1.10", "2.20"]);
    expect(await rows.distinct("profile.visits.at")).toEqual([new Date(5)]);
  });

  test("distinct of a path with a filter of another field", async () => {
    await seed();
    expect(await rows.distinct("profile.zipCode", { name: "a" })).toEqual(["53111"]);
    expect((await rows.distinct("price", { name: "a" })).map(String)).toEqual(["1.10"]);
  });

  test("page goes through all rows once", async () => {
    await rows.createMany(Array.from({ length: 25 }, (_, index) => ({ name: `n${index % 5}`, count: index })));
    const seen: number[] = [];
    let after: string | null = null;
    do {
      const page: { rows: { count: number }[]; next: string | null } = await rows.page(
        {},
        { sort: "-name", limit: 7, after },
      );
      seen.push(...page.rows.map((row) => row.count));
      after = page.next;
    } while (after !== null);
    expect(seen.length).toBe(25);
    expect(new Set(seen).size).toBe(25);
    await refused(() => rows.page({}, { after: "nonsense" }), "invalid_cursor");
    await refused(() => rows.page({}, { limit: 0 }), "invalid_query");
  });

  test("findJson is the buffer of the core, by stored names", async () => {
    await rows.create({ name: "a", big: 2n ** 60n });
    const json = (await rows.findJson({ name: "a" }, { fields: ["name", "big", "isOpen"] })).toString();
    expect(json).toBe('[{"name":"a","big":1152921504606846976,"is_open":true}]');
  });

  test("explain says how", async () => {
    expect(await rows.explain({ name: "a" })).toMatchObject({ backend: "sqlite", exact: true });
  });

  test("limits are whole numbers", async () => {
    for (const limit of [-1, 1.5, Number.NaN, "5" as never])
      await refused(() => rows.find({}, { limit }), "invalid_query");
    await refused(() => rows.find({}, { sort: 5 as never }), "invalid_query");
    await refused(() => rows.find("a" as never), "invalid_query");
  });
});

describe("streaming", () => {
  test("gives every row, whatever the batch", async () => {
    await rows.createMany(Array.from({ length: 100 }, (_, index) => ({ name: "n", count: index })));
    for (const batch of [1, 7, 1000]) {
      const seen: number[] = [];
      for await (const row of rows.stream({ count: { $gte: 10 } }, { batch, sort: "count" })) seen.push(row.count);
      expect(seen).toEqual(Array.from({ length: 90 }, (_, index) => index + 10));
    }
  });

  test("ends with the loop and gives its connection back", async () => {
    await rows.createMany(Array.from({ length: 50 }, (_, index) => ({ name: "n", count: index })));
    for (let round = 0; round < 20; round += 1) {
      for await (const row of rows.stream({}, { batch: 5 })) if (row.count >= 3) break;
    }
    await expect(
      (async () => {
        for await (const _row of rows.stream({}, { batch: 5 })) throw new Error("mine");
      })(),
    ).rejects.toThrow("mine");
    await expect.poll(() => db.poolStats()["in_use"]).toBe(0);
    await refused(() => rows.stream({}, { batch: 0 }).next(), "invalid_query");
  });

  test("works in a transaction, which goes on afterwards", async () => {
    await db.transaction(async (tx) => {
      const inside = tx.repository(Everything);
      await inside.createMany([{ name: "a" }, { name: "b" }]);
      const seen: string[] = [];
      for await (const row of inside.stream({}, { batch: 1, sort: "name" })) seen.push(row.name);
      expect(seen).toEqual(["a", "b"]);
      expect(await inside.count()).toBe(2);
    });
  });
});

describe("aggregate", () => {
  test("groups by paths with the model's names and sums exactly", async () => {
    await seed();
    const found = await rows.aggregate(
      { count: { $gte: 1 } },
      {
        group: { town: "profile.city" },
        measures: {
          rows: { $count: true },
          total: { $sum: "price" },
          most: { $max: "count" },
          zip: { $min: "profile.zipCode" },
        },
        sort: ["-most"],
      },
    );
    expect(found.map((row) => ({ ...row, total: row["total"] === null ? null : String(row["total"]) }))).toEqual([
      { town: "Köln", rows: 1, total: expect.anything(), most: 3, zip: null },
      { town: null, rows: 1, total: "2.20", most: 2, zip: null },
      { town: "Bonn", rows: 1, total: "1.10", most: 1, zip: "53111" },
    ]);
    expect(found[1]!["total"]).toBeInstanceOf(Decimal);
  });

  test("filters, sorts and cuts the groups", async () => {
    await seed();
    const groups = await rows.aggregate(
      {},
      { group: { open: "isOpen" }, measures: { sum: { $sum: "count" } }, having: { sum: { $gt: 2 } }, limit: 1 },
    );
    expect(groups).toEqual([{ open: true, sum: 4 }]);
    expect(await rows.aggregate({}, { measures: { rows: { $count: true } } })).toEqual([{ rows: 3 }]);
    await refused(() => rows.aggregate({}, { measures: { sum: { $sum: "name" } } }), "invalid_query");
  });
});
