import { join } from "node:path";
import { ALL, type Transaction } from "@farm/db-native";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { Note } from "./models.js";
import { file, memory, refused, temporaryFolder } from "./support.js";

const db = await file(join(temporaryFolder(), "app.db"), [Note]);
afterAll(() => db.close());
const notes = db.repository(Note);
beforeEach(async () => void (await notes.deleteMany(ALL, { hard: true })));
const texts = async () => (await notes.find({}, { sort: "text" })).map((note) => note.text).join("");

describe("a transaction", () => {
  test("commits what its function did, and returns what it returned", async () => {
    const result = await db.transaction(async (tx) => {
      await tx.repository(Note).create({ text: "a" });
      await notes.create({ text: "b" }, { tx });
      expect(await texts()).toBe("");
      return 5;
    });
    expect(result).toBe(5);
    expect(await texts()).toBe("ab");
  });

  test("rolls back when its function throws", async () => {
    const thrown = new Error("mine");
    await expect(
      db.transaction(async (tx) => {
        await tx.repository(Note).create({ text: "a" });
        throw thrown;
      }),
    ).rejects.toBe(thrown);
    expect(await texts()).toBe("");
  });

  test("nests as savepoints", async () => {
    await db.transaction(async (tx) => {
      await tx.repository(Note).create({ text: "a" });
      await tx
        .transaction(async (inner) => {
          await inner.repository(Note).create({ text: "b" });
          await inner.transaction((innermost) => innermost.repository(Note).create({ text: "c" }));
          throw new Error("undone");
        })
        .catch(() => undefined);
      await tx.transaction((inner) => inner.repository(Note).create({ text: "d" }));
    });
    expect(await texts()).toBe("ad");
  });

  test("is over when its function returns", async () => {
    let escaped: Transaction | undefined;
    await db.transaction(async (tx) => {
      escaped = tx;
      expect(tx.isActive).toBe(true);
    });
    expect(escaped?.isActive).toBe(false);
    await refused(() => notes.create({ text: "a" }, { tx: escaped }), "transaction_state");
    await refused(() => escaped?.transaction(async () => undefined), "transaction_state");
  });

  test("that is read-only refuses writes", async () => {
    const write = (tx: Transaction) => tx.repository(Note).create({ text: "a" });
    await refused(() => db.transaction(write, { readOnly: true }), "transaction_state");
    expect(await db.transaction((tx) => tx.repository(Note).count(), { readOnly: true })).toBe(0);
  });

  test("belongs to its database", async () => {
    const other = await memory([Note]);
    await db.transaction(async (tx) => {
      await refused(() => other.repository(Note).create({ text: "a" }, { tx }), "transaction_state");
    });
  });

  test("runs native statements", async () => {
    await db.transaction(async (tx) => {
      const one = await tx.execute("INSERT INTO notes (text) VALUES (?)", ["native"]);
      expect(one).toEqual({ affected: 1 });
      expect(await tx.execute("SELECT text, 9007199254740993 AS big FROM notes")).toEqual([
        { text: "native", big: 9007199254740993n },
      ]);
    });
    expect(await texts()).toBe("native");
  });

  test("waits for its turn to write", async () => {
    const add = async (index: number) =>
      db.transaction(async (tx) => {
        const count = await tx.repository(Note).count();
        await tx.repository(Note).create({ text: `${index}:${count}` });
        return count;
      });
    const counts = await Promise.all(Array.from({ length: 20 }, (_, index) => add(index)));
    expect(counts.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => index));
  });

  test("that is forgotten is rolled back and gives its connection back", async () => {
    // In a function of its own: what the test can still reach is not forgotten.
    (() => {
      const forever = new Promise<never>(() => undefined);
      void db.transaction((tx) =>
        tx
          .repository(Note)
          .create({ text: "a" })
          .then(() => forever),
      );
    })();
    await expect.poll(() => db.poolStats()["in_use"]).toBe(1);
    await expect
      .poll(() => {
        global.gc?.();
        return db.poolStats()["in_use"];
      })
      .toBe(0);
    expect(await texts()).toBe("");
  });
});
