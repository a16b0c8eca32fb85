// Checked by `tsc -p tests/node/tsconfig.json`; never run.
import { ALL, type Database, Decimal, type Filter, type InferKey, type ObjectId, type Sort } from "@farm/db-native";
import { expectTypeOf } from "vitest";
import { Everything, type EverythingInput, Membership, type Note } from "./models.js";

// Rows.
expectTypeOf<Everything["name"]>().toEqualTypeOf<string>();
expectTypeOf<Everything["status"]>().toEqualTypeOf<"draft" | "live">();
expectTypeOf<Everything["count"]>().toEqualTypeOf<number>();
expectTypeOf<Everything["big"]>().toEqualTypeOf<bigint | null>();
expectTypeOf<Everything["price"]>().toEqualTypeOf<Decimal | null>();
expectTypeOf<Everything["owner"]>().toEqualTypeOf<ObjectId | null>();
expectTypeOf<Everything["at"]>().toEqualTypeOf<Date | null>();
expectTypeOf<Everything["data"]>().toEqualTypeOf<Uint8Array | null>();
expectTypeOf<Everything["free"]>().toEqualTypeOf<unknown>();
expectTypeOf<Everything["tags"]>().toEqualTypeOf<string[]>();
expectTypeOf<Everything["scores"]>().toEqualTypeOf<Record<string, number>>();
expectTypeOf<Everything["createdAt"]>().toEqualTypeOf<Date>();
expectTypeOf<NonNullable<Everything["profile"]>>().toEqualTypeOf<{
  city: string | null;
  zipCode: string | null;
  visits: { at: Date; placeName: string }[];
}>();

// Input: only `name` must be given.
expectTypeOf<{ name: string }>().toExtend<EverythingInput>();
expectTypeOf<{ name: string; big: number; price: string; at: string; owner: string }>().toExtend<EverythingInput>();
expectTypeOf<{ count: number }>().not.toExtend<EverythingInput>();
expectTypeOf<{ name: string; status: "gone" }>().not.toExtend<EverythingInput>();
expectTypeOf<{ name: string; price: number }>().not.toExtend<EverythingInput>();

// Keys.
expectTypeOf<InferKey<typeof Everything>>().toEqualTypeOf<string>();
expectTypeOf<InferKey<typeof Note>>().toEqualTypeOf<number | bigint>();
expectTypeOf<InferKey<typeof Membership>>().toEqualTypeOf<{ userId: number | bigint; groupId: number | bigint }>();

// Filters.
const good: Filter<Everything>[] = [
  {},
  { name: "a", status: { $in: ["draft"] } },
  { name: /^a/i },
  { name: { $regex: "^a", $options: "i", $not: /b/ } },
  { tags: "a" },
  { tags: ["a", "b"] },
  { tags: { $all: ["a"], $size: 2, $elemMatch: { $gte: "a" } } },
  { "tags.0": "a" },
  { big: { $gte: 5n, $lt: 10 }, count: { $mod: [2, 0] } },
  { price: { $gt: "1.10" } },
  { price: new Decimal("1.10") },
  { at: { $gte: new Date() }, owner: "59a47286cfa9a3a73e51e72c" },
  { owner: null, rating: { $ne: null } },
  { "profile.city": "Bonn" },
  { "profile.visits.placeName": "home" },
  { "profile.visits": { $elemMatch: { placeName: "home", at: { $lt: new Date() } } } },
  { "scores.maths": { $gte: 1 } },
  { "free.anything.at.all": 5, free: { $exists: true } },
  { $or: [{ name: "a" }, { $and: [{ count: 1 }, { isOpen: true }] }] },
];
void good;
// @ts-expect-error no such field
export const unknownField: Filter<Everything> = { nme: "a" };
// @ts-expect-error no such path
export const unknownPath: Filter<Everything> = { "profile.cty": "a" };
// @ts-expect-error a stored name is no attribute
export const storedName: Filter<Everything> = { is_open: true };
// @ts-expect-error text is not compared with a number
export const wrongType: Filter<Everything> = { name: 5 };
// @ts-expect-error not one of the values
export const wrongValue: Filter<Everything> = { status: { $eq: "gone" } };
// @ts-expect-error no such operator
export const wrongOperator: Filter<Everything> = { name: { $like: "a" } };
// @ts-expect-error a list operator on text
export const listOperator: Filter<Everything> = { name: { $size: 1 } };
// @ts-expect-error null is not ordered
export const orderedNull: Filter<Everything> = { rating: { $gt: null } };
// @ts-expect-error not nullable
export const neverNull: Filter<Everything> = { name: null };
// @ts-expect-error inside $or too
export const nested: Filter<Everything> = { $or: [{ nme: "a" }] };
// @ts-expect-error inside $elemMatch too
export const element: Filter<Everything> = { "profile.visits": { $elemMatch: { place: "home" } } };

// Sorts.
const sorts: Sort<Everything>[] = ["name", "-createdAt", ["-profile.city", "name"], { createdAt: -1 }];
void sorts;
// @ts-expect-error no such field
export const wrongSort: Sort<Everything> = "-created";

// Calls.
export async function calls(db: Database): Promise<void> {
  const rows = db.repository(Everything);
  expectTypeOf(await rows.find({ name: "a" })).toExtend<Everything[]>();
  expectTypeOf(await rows.find({}, { fields: ["id", "name"] })).toExtend<{ id: string; name: string }[]>();
  const [picked] = await rows.find({}, { fields: ["id"] });
  // @ts-expect-error not among the fields
  void picked?.name;
  expectTypeOf(await rows.get("a")).toEqualTypeOf<Everything>();
  expectTypeOf(await rows.getOrNone("a")).toEqualTypeOf<Everything | null>();
  expectTypeOf(await rows.distinct("tags")).toEqualTypeOf<string[]>();
  expectTypeOf(await rows.distinct("profile.city")).toEqualTypeOf<(string | null)[]>();
  expectTypeOf((await rows.page({}, { limit: 5, sort: "name" })).next).toEqualTypeOf<string | null>();
  for await (const row of rows.stream({ tags: "a" })) expectTypeOf(row.big).toEqualTypeOf<bigint | null>();

  await rows.create({ name: "a", tags: ["x"], profile: { city: "Bonn" } });
  // @ts-expect-error `name` is missing
  await rows.create({ count: 1 });
  // @ts-expect-error no such field
  await rows.create({ name: "a", nme: "b" });
  expectTypeOf(await rows.createMany([{ name: "a" }])).toEqualTypeOf<Everything[]>();
  await rows.createMany(new Set([{ name: "a" }]));
  await rows.createMany(rows.stream());
  // @ts-expect-error `name` is missing
  await rows.createMany([{ count: 1 }]);

  await rows.update("a", { name: "b", rating: undefined });
  await rows.update("a", { $inc: { count: 1, price: new Decimal("0.1") }, $push: { tags: "x" } });
  await rows.update("a", { $set: { name: "b", "profile.city": "Bonn" }, $unset: { "profile.zipCode": true } });
  await rows.update("a", {
    $push: { "profile.visits": { $each: [{ at: new Date(), placeName: "home" }], $slice: -5 } },
  });
  await rows.update("a", { $pull: { "profile.visits": { placeName: "home" }, tags: { $in: ["x"] } } });
  await rows.update("a", { $currentDate: { at: true }, $pop: { tags: 1 }, $addToSet: { tags: { $each: ["a"] } } });
  const arrayFilters = [{ "v.placeName": "home" }];
  await rows.update("a", { $set: { "profile.visits.$[v].placeName": "work", "tags.$[]": "x" } }, { arrayFilters });
  await rows.updateMany(ALL, { $pop: { "profile.visits.$[v].stars": 1 } }, { arrayFilters });
  // @ts-expect-error not by text
  await rows.update("a", { $inc: { "profile.visits.$[].stars": "1" } });
  // @ts-expect-error text is not counted
  await rows.update("a", { $inc: { name: 1 } });
  // @ts-expect-error text is no list
  await rows.update("a", { $push: { name: "x" } });
  // @ts-expect-error wrong value
  await rows.update("a", { $set: { "profile.city": 5 } });
  // @ts-expect-error not nullable
  await rows.update("a", { name: null });
  await rows.updateMany(ALL, { name: "a" });
  // @ts-expect-error a filter, or ALL
  await rows.updateMany(undefined, { name: "a" });
  // @ts-expect-error both parts of the key
  await db.repository(Membership).get({ userId: 1 });
  await db.repository(Membership).get({ userId: 1, groupId: 2n });
}
