import { randomUUID } from "node:crypto";
import { Database, defineModel, f } from "@farm/db-native";
import { expect, test } from "vitest";
import { refused } from "./support.js";

const Note = defineModel("notes", { id: f.string().primaryKey(), text: f.string().default("") });

test("SQLite has no replicas, and says so", async () => {
  await refused(() => Database.connect("sqlite::memory:", { replicas: ["sqlite::memory:"] }), "invalid_configuration");
});

test.skipIf(process.env["FARM_TEST_FEW"])("a replica answers reads, the primary everything else", async () => {
  const server = process.env["FARM_TEST_POSTGRES_URL"];
  expect(server, "FARM_TEST_POSTGRES_URL").toBeDefined();
  const [primary, replica] = ["primary", "replica"].map((name) => `${name}_${randomUUID().replaceAll("-", "")}`);
  const at = (database: string | undefined) => String(server).replace(/\/postgres$/, `/${database}`);
  const options = { models: [Note], createMissing: true };
  await using admin = await Database.connect(String(server), { contract: "off" });
  try {
    await admin.execute(`CREATE DATABASE ${primary}`);
    await admin.execute(`CREATE DATABASE ${replica}`);
    await using other = await Database.connect(at(replica), options);
    await other.repository(Note).create({ id: "on the replica" });
    await using db = await Database.connect(at(primary), { ...options, replicas: [at(replica)] });
    const notes = db.repository(Note);
    await notes.create({ id: "on the primary" });
    expect((await notes.find()).map((note) => note.id)).toEqual(["on the replica"]);
    expect((await notes.update("on the primary", { text: "a" })).text).toBe("a");
    await db.transaction(async (tx) => expect(await notes.exists({ id: "on the primary" }, { tx })).toBe(true));
    expect((await db.healthCheck())["replicas"]).toMatchObject([{ status: "healthy", in_use: true }]);

    // It follows nobody, so that nothing is known of how near it is.
    const near = { ...options, replicas: [at(replica)], maxStaleness: 5, readYourWrites: true };
    await using strict = await Database.connect(at(primary), near);
    expect((await strict.repository(Note).find()).map((note) => note.id)).toEqual(["on the primary"]);
    expect((await strict.healthCheck())["replicas"]).toMatchObject([{ status: "unhealthy", in_use: false }]);
  } finally {
    await admin.execute(`DROP DATABASE IF EXISTS ${primary} WITH (FORCE)`);
    await admin.execute(`DROP DATABASE IF EXISTS ${replica} WITH (FORCE)`);
  }
});
