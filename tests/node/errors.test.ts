import { createRequire } from "node:module";
import { Database, ERROR_TABLE, FarmDbError } from "@farm/db-native";
import { describe, expect, test } from "vitest";
import { Everything, Note } from "./models.js";
import { memory, refused } from "./support.js";

const db = await memory([Everything, Note]);
const rows = db.repository(Everything);

describe("errors", () => {
  test("have the codes of the core", () => {
    const { errorTable } = createRequire(import.meta.url)("@farm/db-native-linux-x64-gnu") as { errorTable(): string };
    const core = JSON.parse(errorTable()) as Record<string, { retryable: boolean }>;
    const codes = Object.entries(core).map(([code, { retryable }]) => [code, { retryable }]);
    expect(Object.fromEntries(codes)).toEqual(ERROR_TABLE);
  });

  test("carry code, context and the caller's stack", async () => {
    const error = await refused(async function theCaller() {
      await db.repository(Note).get(5);
    }, "not_found");
    expect(error.message).toMatch(/^there is no row of notes with key 5/);
    expect(error.context).toMatchObject({ entity: "notes", key: 5 });
    expect(error.retryable).toBe(false);
    expect(error.stack).toContain("theCaller");
    expect(FarmDbError.is(error, "not_found", "unique_violation")).toBe(true);
    expect(FarmDbError.is(error, "unique_violation")).toBe(false);
    expect(JSON.parse(JSON.stringify(error))).toMatchObject({ code: "not_found", retryable: false });
  });

  test("tell a unique violation from others", async () => {
    const notes = db.repository(Note);
    await notes.create({ text: "once" });
    await refused(() => notes.create({ text: "once" }), "unique_violation");
    await refused(() => rows.create({ name: "x".repeat(101) }), "invalid_value");
  });
});

describe("undefined", () => {
  test("in a filter is refused, never everything", async () => {
    const nothing = undefined as never;
    for (const filter of [
      { name: nothing },
      { name: { $eq: nothing } },
      { name: { $in: ["a", nothing] } },
      { tags: { $all: [nothing] } },
      { $or: [{ name: nothing }] },
      { $and: [nothing] },
      { profile: { city: nothing } as never },
      { "profile.visits": { $elemMatch: { placeName: nothing } } },
      { name: { $not: nothing } },
    ]) {
      const error = await refused(() => rows.find(filter), "invalid_query");
      expect(error.context["path"]).toBeTruthy();
      await refused(() => rows.deleteMany(filter), "invalid_query");
      await refused(() => rows.updateMany(filter, { name: "b" }), "invalid_query");
    }
  });

  test("as a filter or key of a change is refused", async () => {
    await refused(() => rows.deleteMany(undefined as never), "invalid_query");
    await refused(() => rows.updateMany(undefined as never, { name: "a" }), "invalid_query");
    await refused(() => rows.updateOne(null as never, { name: "a" }), "invalid_query");
    await refused(() => rows.findOneAndUpdate(undefined as never, { name: "a" }), "invalid_query");
    await refused(() => rows.get(undefined as never), "invalid_query");
    await refused(() => rows.delete(undefined as never), "invalid_query");
  });

  test("in a record or among changes is as if it were absent", async () => {
    const row = await rows.create({ name: "a", count: undefined, tags: undefined });
    expect(row).toMatchObject({ count: 0, tags: [] });
    expect(await rows.update(row.id, { name: undefined, count: 5 })).toMatchObject({ name: "a", count: 5 });
    await refused(() => rows.create({ name: undefined as never }), "invalid_value");
  });
});

describe("an empty filter", () => {
  test("changes nothing unless it is asked to", async () => {
    await refused(() => rows.deleteMany({}), "empty_filter");
    await refused(() => rows.updateMany({}, { name: "b" }), "empty_filter");
    expect(await rows.count()).toBeGreaterThan(0);
  });
});

describe("names", () => {
  test("that the model does not have are refused, with the one that is meant", async () => {
    for (const call of [
      () => rows.find({ nme: "a" } as never),
      () => rows.find({ "profile.zip": "a" } as never),
      () => rows.create({ name: "a", nme: "b" } as never),
      () => rows.create({ name: "a", profile: { town: "b" } as never }),
      () => rows.update("x", { nme: "b" } as never),
      () => rows.find({}, { sort: "nme" as never }),
      () => rows.find({}, { fields: ["nme" as never] }),
      () => rows.distinct("nme" as never),
    ]) {
      await refused(call, "unknown_field");
    }
    const error = await refused(() => rows.find({ created_at: new Date() } as never), "unknown_field");
    expect(error.message).toContain('did you mean "createdAt"');
  });

  test("of operators that do not exist are refused", async () => {
    await refused(() => rows.find({ name: { $like: "a" } as never }), "unknown_operator");
    await refused(() => rows.find({ $where: "1" } as never), "unsupported");
    await refused(() => rows.find({ $foo: "1" } as never), "unknown_operator");
    await refused(
      () => rows.update("6ba7b810-9dad-11d1-80b4-00c04fd430c8", { $foo: { name: 1 } } as never),
      "unknown_operator",
    );
  });

  test("cannot be smuggled in", async () => {
    // What a request body may hold in place of text.
    const hostile = JSON.parse('{"$ne": null}');
    await refused(() => rows.find({ name: { $eq: hostile } }), "invalid_query");
    await refused(() => rows.create({ name: hostile }), "invalid_value");
  });
});

describe("a database", () => {
  test("that is closed refuses calls, and can be closed twice", async () => {
    const other = await Database.connect("sqlite::memory:", { models: [Note], createMissing: true });
    expect(other.isConnected).toBe(true);
    await other.close();
    await other.close();
    expect(other.isConnected).toBe(false);
    await refused(() => other.repository(Note).count(), "database_closed");
    await refused(() => other.transaction(async () => undefined), "database_closed");
    await refused(() => other.getStats(), "database_closed");
    expect(await other.healthCheck()).toMatchObject({ status: "unhealthy", connected: false });
  });

  test("needs a right URL and right options, and never shows a password", async () => {
    for (const url of ["", "nonsense", "sqlite://host/x", "postgresql://user:canary@host/db"]) {
      const error = await Database.connect(url).catch((error) => error);
      expect(error).toBeInstanceOf(FarmDbError);
      expect(JSON.stringify(error) + error.stack).not.toContain("canary");
    }
    const error = await refused(() => Database.connect("sqlite::memory:", { poolSiez: 5 }), "invalid_configuration");
    expect(error.message).toContain("pool_size");
    await refused(() => Database.connect("sqlite:////nowhere/at/all/x.db"), "connection_failed");
  });

  test("only knows its models", async () => {
    const Other = { ...Note };
    await refused(() => db.repository(Other), "invalid_schema");
  });

  test("takes its URL from the environment", async () => {
    expect(Database.fromEnvironment({})).toBeNull();
    expect(Database.fromEnvironment({ DATABASE_URL: "sqlite::memory:" })?.url).toBe("sqlite:///:memory:");
    expect(Database.fromEnvironment({ DATABASE_TYPE: "sqlite", SQLITE_PATH: "a.db" })?.url).toBe("sqlite:///a.db");
    await refused(() => Database.fromEnvironment({ DATABASE_TYPE: "oracle" }), "invalid_configuration");
  });
});
