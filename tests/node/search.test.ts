// Full-text search through the TypeScript layer; which rows are found is in tests/cases/search.json.
import { join } from "node:path";
import { contractOf, defineModel, f, modelsFromContract } from "@farm/db-native";
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from "vitest";
import { BACKENDS, fresh, refused, temporaryFolder } from "./support.js";

const Note = defineModel("notes", {
  id: f.int().primaryKey(),
  title: f.string().column("caption"),
  tags: f.list(f.string()).default([]),
  profile: f.object({ placeName: f.string().column("place").nullable() }).nullable(),
  foundBy: f.string().column("found_by").searchOf(["title", "tags", "profile.placeName"]),
});
const Plain = defineModel("plain", { id: f.int().primaryKey(), title: f.string() });
const folder = temporaryFolder();

describe.each(BACKENDS)("search on %s", (backend) => {
  let end: () => Promise<void>;
  let db: Awaited<ReturnType<typeof fresh>>["db"];
  beforeAll(async () => {
    ({ db, end } = await fresh(backend, join(folder, "search.db"), [Note, Plain]));
    await db.repository(Note).createMany([
      { id: 1, title: "Blue Moon", profile: { placeName: "Köln" } },
      { id: 2, title: "moon", tags: ["Über"] },
      { id: 3, title: "moonlight" },
    ]);
  });
  afterAll(() => end());

  test("every verb that reads takes a search", async () => {
    const notes = db.repository(Note);
    const [row] = await notes.search("KÖLN moon");
    expect(row?.foundBy?.split(" ").sort()).toEqual(["blue", "köln", "moon"]);
    expect((await notes.search("moon", { id: { $gt: 1 } })).map(({ id }) => id)).toEqual([2]);
    const sorted = await notes.search("moon", {}, { sort: "-id", fields: ["id"] });
    expect(sorted).toEqual([{ id: 2 }, { id: 1 }]);
    expectTypeOf(sorted).toEqualTypeOf<{ id: number }[]>();
    expect(await notes.count({}, { search: "moon" })).toBe(2);
    expect(await notes.exists({}, { search: "moonlights" })).toBe(false);
    expect((await notes.findOne({}, { search: "über" }))?.id).toBe(2);
    expect(await notes.aggregate({}, { search: "moon", measures: { n: { $count: true } } })).toEqual([{ n: 2 }]);
    const { rows, next } = await notes.page({}, { search: "moon", limit: 1 });
    expect(rows.map(({ id }) => id)).toEqual([1]);
    expect((await notes.page({}, { search: "moon", limit: 1, after: next })).rows.map(({ id }) => id)).toEqual([2]);
    const streamed: number[] = [];
    for await (const { id } of notes.stream({}, { search: "moon", sort: "id" })) streamed.push(id);
    expect(streamed).toEqual([1, 2]);
  });

  test("a transaction finds its own rows", async () => {
    await db.transaction(async (tx) => {
      const notes = db.repository(Note).in(tx);
      await notes.update(3, { title: "harvest moon" });
      expect((await notes.search("moon", {}, { sort: "id" })).map(({ id }) => id)).toEqual([1, 2, 3]);
      await notes.update(3, { title: "moonlight" });
    });
  });

  test("what is no search is refused", async () => {
    await refused(() => db.repository(Plain).search("moon"), "invalid_query");
    await refused(() => db.repository(Note).search(1 as never), "invalid_query");
    expect(await db.repository(Note).search("")).toEqual([]);
  });
});

test("the contract names stored paths, and comes back as it was", () => {
  const json = contractOf([Note]);
  expect(json).toContain('"auto":"search","search":["caption","tags","profile.place"]');
  expect(contractOf(Object.values(modelsFromContract(json)))).toBe(json);
});
