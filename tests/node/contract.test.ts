import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { contractOf, Database, Decimal, defineModel, f, type Model, modelsFromContract } from "@farm/db-native";
import { describe, expect, test } from "vitest";
import { Everything, Membership, Note } from "./models.js";
import { ROOT, refused, temporaryFolder } from "./support.js";

const addon = createRequire(import.meta.url)("@farm/db-native-linux-x64-gnu") as {
  normaliseContract(json: string): [canonical: string, hash: string];
};
const canonical = (...models: Model<any>[]) => JSON.parse(addon.normaliseContract(contractOf(models))[0]);
const entity = (model: Model<any>) => canonical(model).entities[0];
const field = (model: Model<any>, name: string) =>
  entity(model).fields.find((one: { name: string }) => one.name === name);

describe("a contract", () => {
  test("is the example of ARCHITECTURE.md for the same model", () => {
    const Resource = defineModel(
      "resources",
      {
        id: f.string().primaryKey(),
        name: f.string({ maxLength: 100 }),
        rating: f.float({ min: 0, max: 5 }).nullable(),
        tags: f.list(f.string()).default([]),
        profile: f.object({ city: f.string().nullable() }).nullable(),
        createdAt: f.datetime().column("created_at").createdAt(),
        updatedAt: f.datetime().column("updated_at").updatedAt(),
        version: f.int().version(),
        deletedAt: f.datetime().column("deleted_at").deletedAt(),
      },
      {
        indexes: [{ fields: ["name", "-createdAt"], unique: true, where: { deletedAt: null }, name: "optional" }],
        relations: {
          author: { kind: "many_to_one", target: "authors", fields: ["id"], onDelete: "cascade" },
        },
      },
    );
    const text = readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8");
    const example = /```json\n(\{"version": 1, "entities".*?)```/s.exec(text)?.[1]?.replace('"author_id"', '"id"');
    expect(canonical(Resource)).toEqual(JSON.parse(addon.normaliseContract(example!)[0]));
  });

  test("does not depend on the order of declaration", () => {
    const one = defineModel("t", { id: f.int().primaryKey(), a: f.string().index() });
    const other = defineModel("t", { a: f.string().index(), id: f.int().primaryKey() });
    expect(addon.normaliseContract(contractOf([one]))).toEqual(addon.normaliseContract(contractOf([other])));
    const two = defineModel("u", { id: f.int().primaryKey() });
    expect(canonical(one, two)).toEqual(canonical(two, one));
  });

  test("holds every constraint", () => {
    const Model = defineModel("t", {
      id: f.string().primaryKey().generated("object_id"),
      text: f.string({ minLength: 1, maxLength: 5, pattern: /^a/i }),
      number: f.int().min(1).max(10).multipleOf(2),
      open: f.float().gt(0).lt(1),
      price: f.decimal().min("0.10").digits(10, 2).default("1.00"),
      since: f.datetime().min(new Date(0)).default(new Date(1)),
      day: f.date().max("2024-01-31"),
      tags: f.list(f.string().max(3)).min(1),
      kind: f.enum(["a", "b"]).default("a"),
      level: f.enum([1, 2]),
      raw: f.bytes({ maxLength: 3 }).default(new Uint8Array([1])),
    });
    expect(field(Model, "id")).toMatchObject({ generated: "object_id", primary_key: true });
    expect(field(Model, "text")).toMatchObject({ min_length: 1, max_length: 5, pattern: "(?i)^a" });
    expect(field(Model, "number")).toMatchObject({ ge: 1, le: 10, multiple_of: 2 });
    expect(field(Model, "open")).toMatchObject({ gt: 0, lt: 1 });
    expect(field(Model, "price")).toMatchObject({
      ge: { $numberDecimal: "0.10" },
      max_digits: 10,
      decimal_places: 2,
      default: { $numberDecimal: "1.00" },
    });
    expect(field(Model, "since")).toMatchObject({
      ge: { $date: "1970-01-01T00:00:00.000000Z" },
      default: { $date: "1970-01-01T00:00:00.001000Z" },
    });
    expect(field(Model, "day")).toMatchObject({ le: { $day: "2024-01-31" } });
    expect(field(Model, "tags")).toMatchObject({ min_length: 1, type: { items: { max_length: 3 } } });
    expect(field(Model, "kind")).toMatchObject({ type: { kind: "text" }, enum: ["a", "b"], default: "a" });
    expect(field(Model, "level")).toMatchObject({ type: { kind: "int" }, enum: [1, 2] });
    expect(field(Model, "raw")).toMatchObject({ max_length: 3, default: { $binary: { base64: "AQ==" } } });
  });

  test("takes stored names at every depth, in indexes and in defaults", () => {
    const Model = defineModel(
      "t",
      {
        id: f.int().primaryKey(),
        home: f
          .object({ zipCode: f.string().column("zip") })
          .column("home_address")
          .default({ zipCode: "0" }),
      },
      { indexes: [{ fields: ["-home.zipCode"], where: { "home.zipCode": { $gt: "5" } } }] },
    );
    expect(field(Model, "home_address")).toMatchObject({ default: { zip: "0" }, type: { fields: [{ name: "zip" }] } });
    expect(entity(Model).indexes[0]).toMatchObject({
      fields: ["-home_address.zip"],
      where: { "home_address.zip": { $gt: "5" } },
    });
  });

  test("nests other models without their keys", () => {
    const Address = defineModel("addresses", { id: f.int().primaryKey().autoIncrement(), city: f.string().unique() });
    const Person = defineModel("people", { id: f.int().primaryKey(), home: f.object(Address) });
    expect(field(Person, "home").type.fields).toEqual([
      { name: "city", type: { kind: "text" } },
      { name: "id", type: { kind: "int" } },
    ]);
  });

  test("makes indexes of the table from those of nested fields", async () => {
    const Model = defineModel("t", {
      id: f.int().primaryKey(),
      home: f.object({ zipCode: f.string().column("zip").index(), geo: f.object({ hash: f.string().unique() }) }),
    });
    expect(entity(Model).indexes.map(({ fields, unique }: any) => [fields, unique])).toEqual([
      [["home.geo.hash"], true],
      [["home.zip"], undefined],
    ]);
    expect(JSON.stringify(entity(Model).fields)).not.toMatch(/index|unique/);
    await refused(() => f.list(f.string().index()), "invalid_schema");
    await refused(() => f.list(f.object({ a: f.object({ b: f.string().unique() }) })), "invalid_schema");
  });

  test("does not hold functions that make defaults", () => {
    const Model = defineModel("t", {
      id: f
        .string()
        .primaryKey()
        .default(() => "x"),
    });
    expect(field(Model, "id")).not.toHaveProperty("default");
  });

  test("is refused where it is wrong", async () => {
    const open = (...models: Model<any>[]) => Database.prepare("sqlite::memory:", { models });
    await refused(() => open(defineModel("t", { a: f.int() })), "invalid_schema");
    await refused(() => open(Note, defineModel("notes", { id: f.int().primaryKey() })), "invalid_schema");
    await refused(
      () => open(defineModel("t", { id: f.int().primaryKey(), a: f.string({ pattern: "(" }) })),
      "invalid_schema",
    );
    await refused(() => f.list(f.string().default("x")), "invalid_schema");
    const wrong = { id: f.int().primaryKey(), a: f.int().default("x" as never) };
    await refused(() => open(defineModel("t", wrong)), "invalid_schema");
  });
});

describe("modelsFromContract", () => {
  test("gives models with the same contract", () => {
    for (const model of [Everything, Membership, Note]) {
      const json = addon.normaliseContract(contractOf([model]))[0];
      const again = Object.values(modelsFromContract(json));
      expect(addon.normaliseContract(contractOf(again))[0]).toBe(json);
      const camel = modelsFromContract(json, {
        attribute: (column) => column.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      });
      expect(addon.normaliseContract(contractOf(Object.values(camel)))[0]).toBe(json);
    }
  });

  test("gives models that read and write a database that was made with others", async () => {
    const url = `sqlite:///${join(temporaryFolder(), "app.db")}`;
    const first = await Database.connect(url, { models: [Everything], createMissing: true });
    const created = await first
      .repository(Everything)
      .create({ name: "a", price: "1.10", profile: { zipCode: "53111" } });
    await first.close();

    const reader = await Database.connect(url);
    const models = modelsFromContract((await reader.storedContract())!);
    await reader.close();
    await using second = await Database.connect(url, { models: Object.values(models) });
    expect(second.contractHash).toBe(first.contractHash);
    const row: any = await second.repository(models["everything"]!).get(created.id);
    expect(row.created_at).toEqual(created.createdAt);
    expect(row.price).toBeInstanceOf(Decimal);
    expect(row.profile.zip).toBe("53111");
  });
});

describe("connect compares contracts", () => {
  test("and refuses, warns or does not look", async () => {
    const url = `sqlite:///${join(temporaryFolder(), "app.db")}`;
    const Old = defineModel("t", { id: f.int().primaryKey(), name: f.string() });
    const New = defineModel("t", { id: f.int().primaryKey(), name: f.string({ maxLength: 5 }) });
    await (await Database.connect(url, { models: [Old], createMissing: true })).close();
    await (await Database.connect(url, { models: [Old] })).close();

    const error = await refused(() => Database.connect(url, { models: [New] }), "contract_mismatch");
    expect(error.context["differences"]).toEqual([expect.stringContaining("t.name")]);

    const warnings: Error[] = [];
    const listen = (warning: Error) => warnings.push(warning);
    process.on("warning", listen);
    await (await Database.connect(url, { models: [New], contract: "warn" })).close();
    await (await Database.connect(url, { models: [New], contract: "off" })).close();
    await new Promise((resolve) => setTimeout(resolve, 10));
    process.off("warning", listen);
    expect(warnings.map((warning) => warning.message)).toEqual([expect.stringContaining("t.name")]);
    await refused(() => Database.connect(url, { contract: "loud" as never }), "invalid_configuration");
  });
});
