import { join } from "node:path";
import { type Database, defineModel, f } from "@farm/db-native";
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from "vitest";
import { BACKENDS, fresh, refused, temporaryFolder } from "./support.js";

const Company = defineModel("companies", { id: f.int().primaryKey(), foundedOn: f.datetime().column("founded_on") });
const Author = defineModel(
  "authors",
  {
    id: f.int().primaryKey(),
    fullName: f.string().nullable().column("full_name"),
    companyId: f.int().nullable().column("company_id"),
  },
  {
    relations: {
      company: { kind: "many_to_one", target: Company, fields: ["companyId"] },
      posts: { kind: "one_to_many", target: "posts", fields: ["author_id"] },
      profile: { kind: "one_to_one", target: "profiles", fields: ["author_id"], inverse: true },
    },
  },
);
const Profile = defineModel(
  "profiles",
  { authorId: f.int().primaryKey().column("author_id"), bio: f.string() },
  { relations: { author: { kind: "one_to_one", target: Author, fields: ["authorId"] } } },
);
const Tag = defineModel("tags", { name: f.string().primaryKey(), rank: f.bigint() });
const PostTag = defineModel("post_tags", {
  postId: f.int().primaryKey().column("post_id"),
  tagName: f.string().primaryKey().column("tag_name"),
});
const Post = defineModel(
  "posts",
  { id: f.int().primaryKey(), authorId: f.int().nullable().column("author_id") },
  {
    relations: {
      author: { kind: "many_to_one", target: Author, fields: ["authorId"] },
      tags: { kind: "many_to_many", target: Tag, through: PostTag, fields: ["postId", "tagName"] },
    },
  },
);
const MODELS = [Company, Author, Profile, Tag, PostTag, Post];

describe.each(BACKENDS)("relations on %s", (backend) => {
  let db: Database;
  const moment = new Date("2024-01-02T03:04:05.678Z");

  beforeAll(async () => {
    const opened = await fresh(backend, join(temporaryFolder(), "app.db"), MODELS);
    afterAll(opened.end);
    db = opened.db;
    await db.repository(Company).create({ id: 1, foundedOn: moment });
    await db.repository(Author).createMany([
      { id: 1, fullName: "Ada", companyId: 1 },
      { id: 2, fullName: null, companyId: null },
    ]);
    await db.repository(Profile).create({ authorId: 1, bio: "first" });
    await db.repository(Tag).createMany([
      { name: "a", rank: 1n },
      { name: "b", rank: 2n },
    ]);
    await db.repository(Post).createMany([
      { id: 1, authorId: 1 },
      { id: 2, authorId: 2 },
      { id: 3, authorId: null },
    ]);
    await db.repository(PostTag).createMany([
      { postId: 1, tagName: "a" },
      { postId: 1, tagName: "b" },
      { postId: 2, tagName: "b" },
    ]);
  });

  test("are loaded with the attributes and values of their models", async () => {
    const posts = db.repository(Post);
    const rows = await posts.find({}, { sort: "id", include: ["author", "tags", "author.company", "author.profile"] });
    expect(rows[0]).toEqual({
      id: 1,
      authorId: 1,
      author: {
        id: 1,
        fullName: "Ada",
        companyId: 1,
        company: { id: 1, foundedOn: moment },
        profile: { authorId: 1, bio: "first" },
      },
      tags: [
        { name: "a", rank: 1n },
        { name: "b", rank: 2n },
      ],
    });
    expect(rows.slice(1).map((row) => [row.author?.fullName, row.tags.map(({ name }) => name)])).toEqual([
      [null, ["b"]],
      [undefined, []],
    ]);
    const authors = await db.repository(Author).find({}, { sort: "id", include: ["posts"] });
    expect(authors.map((author) => author.posts)).toEqual([[{ id: 1, authorId: 1 }], [{ id: 2, authorId: 2 }]]);
  });

  test("are loaded by every call that answers rows", async () => {
    const posts = db.repository(Post);
    const include = ["author"] as const;
    const rows = [
      await posts.get(1, { include }),
      await posts.getOrNone(1, { include }),
      (await posts.getMany([1], { include }))[0],
      await posts.findOne({ id: 1 }, { include }),
      (await posts.page({ id: 1 }, { include })).rows[0],
    ];
    expect(rows.map((row) => row?.author?.fullName)).toEqual(Array(5).fill("Ada"));
    const [only] = await posts.find({ id: 1 }, { fields: ["id"], include });
    expect(only).toEqual({ id: 1, author: { id: 1, fullName: "Ada", companyId: 1 } });
    expect(JSON.parse(String(await posts.findJson({ id: 3 }, { include: ["author", "tags"] })))).toEqual([
      { id: 3, author_id: null, author: null, tags: [] },
    ]);
    expect(await posts.get(1)).toEqual({ id: 1, authorId: 1 });
  });

  test("carry conditions", async () => {
    const posts = db.repository(Post);
    const ids = async (filter: Parameters<typeof posts.find>[0]) =>
      (await posts.find(filter, { sort: "id" })).map(({ id }) => id);
    expect(await ids({ "author.fullName": "Ada" })).toEqual([1]);
    expect(await ids({ "author.fullName": { $ne: "Ada" } })).toEqual([2, 3]);
    expect(await ids({ "author.company.foundedOn": { $lte: moment } })).toEqual([1]);
    expect(await ids({ "tags.rank": { $gte: 2n } })).toEqual([1, 2]);
    expect(await ids({ tags: { $elemMatch: { name: "b", rank: { $lt: 2n } } } })).toEqual([]);
    expect(await ids({ tags: { $exists: false } })).toEqual([3]);
    expect(await posts.count({ $or: [{ "author.fullName": "Ada" }, { authorId: null }] })).toBe(2);
  });

  test("are refused where there is none", async () => {
    const posts = db.repository(Post);
    const error = await refused(() => posts.find({}, { include: ["autor"] as never }), "unknown_field");
    expect(error.message).toContain('did you mean "author"');
    await refused(() => posts.find({ "author.nam": 1 } as never), "unknown_field");
  });
});

test("types follow the declarations", () => {
  const check = async (db: Database) => {
    const [row] = await db.repository(Post).find({}, { include: ["author", "tags"] });
    expectTypeOf(row!.author!.fullName).toEqualTypeOf<string | null>();
    expectTypeOf(row!.tags[0]!.rank).toEqualTypeOf<bigint>();
    const [deep] = await db.repository(Post).find({}, { include: ["author", "author.company"] });
    expectTypeOf(deep!.author!.company!.foundedOn).toEqualTypeOf<Date>();
    const bare = await db.repository(Post).get(1);
    // @ts-expect-error not loaded
    bare.author;
    // @ts-expect-error no such relation
    await db.repository(Post).find({}, { include: ["autor"] });
    // @ts-expect-error another type
    await db.repository(Post).find({ "author.fullName": 5 });
  };
  expect(check).toBeTypeOf("function");
});
