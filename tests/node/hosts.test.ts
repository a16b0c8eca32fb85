// What whole processes leave behind on every database: ends, worker threads that are terminated, signals, many calls.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Database } from "@farm/db-native";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BACKENDS, fresh, node, ROOT, temporaryFolder } from "./support.js";

const folder = temporaryFolder();
const LONG = process.env["FARM_TEST_LONG"] !== undefined;
const TERMINATIONS = LONG ? 1000 : 30;
const PATIENCE = LONG ? 1_200_000 : 60_000;
const CALLS = 4000;
const CLIENT = "noted";
const addon = JSON.stringify(join(ROOT, "js", "db-native", "dist", "index.mjs"));
// V8 makes its young generation larger with time, by 16 MB and more, whatever the program does.
const STEADY = "--max-semi-space-size=1";
const leaks = join(ROOT, "tests", "node", "leaks.mjs");

/** What a server has of clients of one database. */
interface Held {
  sessions: number;
  transactions: number;
}
const NOTHING: Held = { sessions: 0, transactions: 0 };

/** The URL for a client that can be told from the tests' own. */
function named(url: string): string {
  return /^(postgres|mongodb)/.test(url) ? `${url}${url.includes("?") ? "&" : "?"}application_name=${CLIENT}` : url;
}

/** Asks a server, from outside, what clients of the database hold. */
async function held(url: string): Promise<Held> {
  const { hostname, pathname } = new URL(url);
  if (!hostname) return NOTHING;
  const name = pathname.slice(1);
  const place = url.startsWith("mysql") ? url.replace(name, "farm") : url.replace(/\/farm_\w+/, "/admin");
  const watcher = await Database.connect(place, { contract: "off", maxSize: 1 });
  try {
    if (watcher.backend === "mongodb") {
      const current = { $currentOp: { allUsers: true, idleConnections: true, idleSessions: true } };
      const found: any[] = await watcher.execute({ aggregate: 1, pipeline: [current], cursor: { batchSize: 10_000 } });
      const own = found.filter((one) => one.appName === CLIENT);
      const connections = own.filter((one) => one.type === "op" && "connectionId" in one);
      return {
        sessions: new Set(connections.map((one) => Number(one.connectionId))).size,
        transactions: own.filter((one) => "transaction" in one).length,
      };
    }
    const [row] =
      watcher.backend === "postgres"
        ? await watcher.execute(
            "SELECT count(*) AS sessions, count(xact_start) AS transactions FROM pg_stat_activity WHERE application_name = $1",
            [CLIENT],
          )
        : await watcher.execute(
            "SELECT count(*) AS sessions, count(t.trx_id) AS transactions FROM information_schema.processlist p LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id WHERE p.db = ?",
            [name],
          );
    return { sessions: Number(row.sessions), transactions: Number(row.transactions) };
  } finally {
    await watcher.close();
  }
}

/** What is held when nothing is any more, or after five seconds. */
async function left(url: string): Promise<Held> {
  for (let round = 0; ; round += 1) {
    const found = await held(url);
    if ((found.sessions === 0 && found.transactions === 0) || round === 50) return found;
    await pause(100);
  }
}

describe.each(BACKENDS)("on %s", (backend) => {
  let url: string;
  let end: () => Promise<void>;
  let scripts = 0;

  beforeAll(async () => {
    const made = await fresh(backend, join(folder, "hosts.db"), []);
    url = made.url;
    end = made.end;
    // The test itself must not count among the clients of a MySQL database.
    if (backend === "mysql") await made.db.close();
  });
  afterAll(async () => {
    if (backend !== "mysql") return end();
    const name = new URL(url).pathname.slice(1);
    const whole = await Database.connect(url.replace(name, "farm"), { contract: "off" });
    await whole.execute(`DROP DATABASE ${name}`);
    await whole.close();
  });

  function script(source: string): string {
    const path = join(folder, `${backend}-${++scripts}.mjs`);
    const head = `
      import { setTimeout as pause } from "node:timers/promises";
      import { isMainThread, parentPort, Worker } from "node:worker_threads";
      import { readdirSync } from "node:fs";
      import { Database, defineModel, f } from ${addon};
      const Entry = defineModel("entries", { id: f.int().primaryKey().autoIncrement(), text: f.string() });
      const open = () => Database.connect(${JSON.stringify(named(url))}, { models: [Entry], createMissing: true, contract: "off", maxSize: 3 });`;
    writeFileSync(path, `${head}\n${source}`);
    return path;
  }

  test("a process ends by itself after close, and leaves no session", async () => {
    const ended = await node([
      script(`const db = await open(); const entries = db.repository(Entry);
        await Promise.all(Array.from({ length: 20 }, () => entries.create({ text: "a" })));
        await db.transaction((tx) => tx.repository(Entry).count());
        for await (const _ of entries.stream({}, { batch: 2 })) break;
        await db.close();`),
    ]);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: "" });
    expect(ended.milliseconds).toBeLessThan(5000);
    expect(await left(url)).toEqual(NOTHING);
  });

  test("a process that is idle ends without close, and leaves no session", async () => {
    const ended = await node([
      script(`const db = await open(); const entries = db.repository(Entry);
        await Promise.all(Array.from({ length: 20 }, () => entries.create({ text: "a" })));`),
    ]);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: "" });
    expect(ended.milliseconds).toBeLessThan(5000);
    expect(await left(url)).toEqual(NOTHING);
  });

  test("close lets what is under way end, and the process with it", async () => {
    const ended = await node([
      script(`const db = await open(); const entries = db.repository(Entry);
        const before = await entries.count();
        const work = Promise.allSettled(Array.from({ length: 50 }, () => entries.create({ text: "at the end" })));
        await db.close();
        const done = (await work).filter((one) => one.status === "fulfilled").length;
        const again = await open();
        console.log((await again.repository(Entry).count()) - before === done, done > 0);
        await again.close();`),
    ]);
    expect(ended).toMatchObject({ code: 0, signal: null, stdout: "true true\n", stderr: "" });
    expect(await left(url)).toEqual(NOTHING);
  });

  test(
    "worker threads that are terminated in the middle of calls disturb nobody and leave nothing",
    async () => {
      const path = script(`
      if (isMainThread) {
        const count = (folder) => readdirSync("/proc/self/" + folder).length;
        const db = await open(); const entries = db.repository(Entry);
        const own = await entries.create({ text: "main" });
        const rounds = ${TERMINATIONS};
        const early = [count("task"), count("fd")];
        for (let round = 0; round < rounds; round += 1) {
          const one = new Worker(new URL(import.meta.url));
          await new Promise((resolve, reject) => one.once("message", resolve).once("error", reject));
          await pause(Math.random() * 10);
          const ended = one.terminate();
          if ((await entries.get(own.id)).text !== "main") throw new Error("another row");
          await ended;
        }
        // MongoDB's driver goes on watching the server until its next heartbeat, after ten seconds or a little more.
        for (let wait = 0; wait < 400 && count("fd") > early[1] + 8; wait += 1) await pause(100);
        await entries.update(own.id, { text: "still" });
        const rows = await Promise.all(Array.from({ length: 20 }, () => entries.get(own.id)));
        const late = [count("task"), count("fd")];
        console.log(JSON.stringify({ early, late, right: rows.every((row) => row.text === "still") }));
        await db.close();
      } else {
        const db = await open(); const entries = db.repository(Entry);
        parentPort.postMessage("ready");
        for (;;) await Promise.all([
          entries.create({ text: "x" }), entries.find({}, { limit: 5 }), entries.count(),
          db.transaction((tx) => tx.repository(Entry).create({ text: "y" })),
        ]);
      }`);
      const ended = await node([path], { patience: PATIENCE });
      expect(ended).toMatchObject({ code: 0, signal: null, stderr: "" });
      const { early, late, right } = JSON.parse(ended.stdout);
      expect(right).toBe(true);
      // Threads and descriptors: none is left by a worker, whatever the number of workers.
      expect(late[0] - early[0]).toBeLessThanOrEqual(8);
      expect(late[1] - early[1]).toBeLessThanOrEqual(15);
      expect(await left(url)).toEqual(NOTHING);
      if (LONG) console.log(`${TERMINATIONS} terminations in ${ended.milliseconds} ms, ${ended.stdout}`);
    },
    PATIENCE + 10_000,
  );

  test("Ctrl-C ends a process in the middle of calls at once", async () => {
    let pressed = 0;
    const path = script(`const db = await open(); const entries = db.repository(Entry);
      console.log("ready");
      for (;;) await Promise.all([entries.create({ text: "x" }), entries.find({}, { limit: 5 })]);`);
    const ended = await node([path], {
      meanwhile: (child) =>
        child.stdout?.once("data", () =>
          setTimeout(() => {
            pressed = performance.now();
            child.kill("SIGINT");
          }, 100),
        ),
    });
    expect(ended).toMatchObject({ code: null, signal: "SIGINT", stderr: "" });
    expect(performance.now() - pressed).toBeLessThan(1000);
    expect(await left(url)).toEqual(NOTHING);
  });

  test("Ctrl-C lets a program that listens to it end its work and close", async () => {
    const path = script(`const db = await open(); const entries = db.repository(Entry);
      const before = await entries.count({ text: "whole" });
      let going = true;
      process.once("SIGINT", () => { going = false; });
      console.log("ready");
      let done = 0;
      while (going) {
        await Promise.all(Array.from({ length: 3 }, () => db.transaction(async (tx) => {
          await tx.repository(Entry).create({ text: "half" });
          await pause(5);
          await tx.repository(Entry).create({ text: "whole" });
          done += 1;
        })));
      }
      const after = await entries.count({ text: "whole" });
      await db.close();
      console.log(after - before === done, done > 0);`);
    const ended = await node([path], {
      meanwhile: (child) => child.stdout?.once("data", () => setTimeout(() => child.kill("SIGINT"), 100)),
    });
    expect(ended).toMatchObject({ code: 0, signal: null, stdout: "ready\ntrue true\n", stderr: "" });
    expect(await left(url)).toEqual(NOTHING);
  });

  test(
    "thousands of calls of every kind leave nothing behind",
    async () => {
      const ended = await node(["--expose-gc", STEADY, leaks, named(url), String(CALLS)], { patience: PATIENCE });
      expect(ended).toMatchObject({ code: 0, signal: null, stderr: "" });
      const { growth, early, late, in_use } = JSON.parse(ended.stdout);
      expect(in_use).toBe(0);
      // Bytes: what V8 keeps of its heap for a while. A leak of 3 KB a call would be more.
      expect(growth).toBeLessThan(12_000_000);
      expect(late.descriptors - early.descriptors).toBeLessThanOrEqual(8);
      expect(late.threads - early.threads).toBeLessThanOrEqual(8);
      expect(await left(url)).toEqual(NOTHING);
    },
    PATIENCE,
  );
});
