import { join } from "node:path";
import { Database, modelsFromContract } from "@farm/db-native";
import { describe, expect, test } from "vitest";
import { Note } from "./models.js";
import { memory, refused, temporaryFolder } from "./support.js";

describe("introspect", () => {
  test("adopts a database that others made", async () => {
    const url = `sqlite:///${join(temporaryFolder(), "legacy.db")}`;
    const legacy = await Database.connect(url, { models: [], contract: "off" });
    await legacy.execute("CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT");
    await legacy.execute(
      "CREATE TABLE books (id INTEGER PRIMARY KEY, author_id INTEGER NOT NULL REFERENCES authors ON DELETE CASCADE, " +
        "price REAL DEFAULT 1.5) STRICT",
    );
    await legacy.execute("CREATE TABLE log (line TEXT) STRICT");
    await legacy.execute("INSERT INTO authors VALUES (1, 'Ada')");
    await legacy.execute("INSERT INTO books VALUES (7, 1, 2.5)");
    const { contract, notes } = await legacy.introspect();
    await legacy.close();

    expect(notes).toEqual(["log: has no primary key, left out"]);
    const models = modelsFromContract(contract);
    expect(Object.keys(models).sort()).toEqual(["authors", "books"]);
    const relations = JSON.parse(contract).entities[1].relations;
    expect(relations).toEqual([
      { name: "author", kind: "many_to_one", target: "authors", fields: ["author_id"], on_delete: "cascade" },
    ]);

    const db = await Database.connect(url, { models: Object.values(models) });
    const book: any = await db.repository(models["books"]!).get(7);
    expect({ ...book }).toEqual({ id: 7, author_id: 1, price: 2.5 });
    await db.repository(models["authors"]!).create({ name: "Bo" });
    expect(await db.repository(models["authors"]!).count()).toBe(2);
    await db.close();
    await refused(() => db.introspect(), "database_closed");
  });

  test("finds what farm-db made", async () => {
    const db = await memory([Note]);
    expect(await db.introspect()).toEqual({ contract: await db.storedContract(), notes: [] });
  });
});
