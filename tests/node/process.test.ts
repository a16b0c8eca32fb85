// How the packages behave in whole processes: imports, exits, worker threads.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { node, ROOT, temporaryFolder } from "./support.js";

const folder = temporaryFolder();
const ROUNDS = process.env["FARM_TEST_FEW"] ? 3 : 10;
const resolved = (name: string) => JSON.stringify(join(ROOT, "js", name, "dist", "index"));
const [commonjs, module] = [`${resolved("db-native").slice(0, -1)}.js"`, `${resolved("db-native").slice(0, -1)}.mjs"`];

let scripts = 0;
function script(source: string): string {
  const path = join(folder, `script-${++scripts}.mjs`);
  const models = `
    const Note = defineModel("notes", { id: f.int().primaryKey().autoIncrement(), text: f.string() });
    const open = () => Database.connect("sqlite:///" + ${JSON.stringify(join(folder, `app-${scripts}.db`))}, { models: [Note], createMissing: true });`;
  writeFileSync(path, `import { Database, defineModel, f } from ${module};\n${models}\n${source}`);
  return path;
}

describe("the package", () => {
  test("is the same for import and require", async () => {
    const path = script(`
      import { createRequire } from "node:module";
      const required = createRequire(import.meta.url)(${commonjs});
      const imported = await import(${module});
      if (required.FarmDbError !== imported.FarmDbError) throw new Error("two classes");
      console.log(JSON.stringify([Object.keys(required).sort(), Object.keys(imported).sort()]));`);
    const { stdout, code } = await node([path]);
    expect(code).toBe(0);
    const [required, imported] = JSON.parse(stdout);
    // Node marks the namespace of a compiled CommonJS module.
    expect(imported.filter((name: string) => name !== "__esModule")).toEqual(required);
    expect(required).toContain("Database");
  });

  test("works in CommonJS", async () => {
    const path = join(folder, "common.cjs");
    writeFileSync(
      path,
      `const { Database } = require(${commonjs});
       Database.connect("sqlite::memory:").then(async (db) => { console.log(db.backend); await db.close(); });`,
    );
    expect(await node([path])).toMatchObject({ code: 0, stdout: "sqlite\n", stderr: "" });
  });

  test("@farm/types gives its one function to both", async () => {
    const types = join(ROOT, "js", "types", "dist", "index");
    const path = join(folder, "types.mjs");
    writeFileSync(
      path,
      `import { createRequire } from "node:module"; import { defineConfig } from ${JSON.stringify(`${types}.mjs`)};
       console.log(defineConfig === createRequire(import.meta.url)(${JSON.stringify(`${types}.js`)}).defineConfig);`,
    );
    expect(await node([path])).toMatchObject({ code: 0, stdout: "true\n" });
  });
});

describe("gets on SQLite", () => {
  test("that are there at once leave the event loop its turns", async () => {
    const path = script(`
      const db = await open();
      const notes = db.repository(Note);
      const { id } = await notes.create({ text: "one" });
      let turns = 0;
      let going = true;
      const turn = () => { turns += 1; if (going) setImmediate(turn); };
      setImmediate(turn);
      const began = performance.now();
      for (let n = 0; n < 5000; n += 1) if ((await notes.get(id)).text !== "one") throw new Error("another row");
      const took = performance.now() - began;
      going = false;
      await db.close();
      console.log(JSON.stringify({ turns, took }));`);
    const { stdout, code } = await node([path]);
    expect(code).toBe(0);
    const { turns, took } = JSON.parse(stdout);
    // One each half a millisecond, or each millisecond where the machine is busy.
    expect(turns).toBeGreaterThan(took);
  });

  test("need no turn each", async () => {
    const path = script(`
      const db = await open(); const notes = db.repository(Note);
      const { id } = await notes.create({ text: "one" });
      let turns = 0, going = true, fewest = Infinity;
      const turn = () => { turns += 1; if (going) setImmediate(turn); };
      setImmediate(turn);
      // The best of some rounds: on a busy machine reads are left to the connection's thread for a while.
      for (let round = 0; round < 10; round += 1) {
        const before = turns;
        for (let n = 0; n < 500; n += 1) await notes.get(id);
        fewest = Math.min(fewest, turns - before);
      }
      going = false;
      console.log(fewest);
      await db.close();`);
    const { stdout, code } = await node([path]);
    expect(code).toBe(0);
    expect(Number(stdout)).toBeLessThan(250);
  });
});

describe("a process ends by itself", () => {
  test("after close", async () => {
    const ended = await node([
      script(`const db = await open(); await db.repository(Note).create({ text: "a" }); await db.close();`),
    ]);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: "" });
    expect(ended.milliseconds).toBeLessThan(3000);
  });

  test("without close", async () => {
    const ended = await node([script(`const db = await open(); await db.repository(Note).create({ text: "a" });`)]);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: "" });
    expect(ended.milliseconds).toBeLessThan(3000);
  });

  test("once what is under way is done", async () => {
    const ended = await node([
      script(`const db = await open(); const notes = db.repository(Note);
        for (let i = 0; i < 100; i++) notes.create({ text: String(i) }).then((row) => { if (row.id === 100) console.log("done"); });`),
    ]);
    expect(ended).toMatchObject({ code: 0, signal: null, stdout: "done\n" });
  });

  test("at process.exit in the middle of work, every time", async () => {
    const path = script(`const db = await open(); const notes = db.repository(Note);
      for (let i = 0; i < 200; i++) { notes.create({ text: "x" }).catch(() => {}); notes.find().catch(() => {}); }
      setTimeout(() => process.exit(7), Math.random() * 20);`);
    for (let round = 0; round < ROUNDS; round += 1) expect(await node([path])).toMatchObject({ code: 7, signal: null });
  });

  test("with open transactions and streams", async () => {
    const path = script(`const db = await open(); const notes = db.repository(Note);
      await notes.createMany(Array.from({ length: 1000 }, () => ({ text: "x" })));
      const stream = notes.stream({}, { batch: 1 }); await stream.next();
      db.transaction(async (tx) => { await tx.repository(Note).create({ text: "lost" }); await new Promise(() => {}); });
      await new Promise((resolve) => setTimeout(resolve, 50)); console.log("end");`);
    expect(await node([path])).toMatchObject({ signal: null, stdout: "end\n", stderr: "" });
  });
});

describe("files", () => {
  const opened = `
    import { readdirSync, readlinkSync } from "node:fs";
    import { setTimeout as pause } from "node:timers/promises";
    const link = (name) => { try { return readlinkSync("/proc/self/fd/" + name); } catch { return ""; } };
    const files = () => readdirSync("/proc/self/fd").map(link).filter((path) => path.includes("app-")).length;`;

  test("are not opened before connect, and not open after close", async () => {
    const path = script(`${opened}
      const db = Database.prepare("sqlite:///" + ${JSON.stringify(join(folder, "app-eager.db"))});
      await pause(100); const prepared = files();
      await db.connect(); await db.close(); await pause(100);
      console.log(prepared, files());`);
    expect((await node([path])).stdout).toBe("0 0\n");
  });
});

describe("worker threads", () => {
  const worker = `
    import { isMainThread, parentPort, Worker } from "node:worker_threads";
    const start = () => new Worker(new URL(import.meta.url));`;

  test("each have their own database", async () => {
    const path = script(`${worker}
      if (isMainThread) {
        await (await open()).close();
        const counts = await Promise.all(Array.from({ length: 4 }, () => new Promise((resolve, reject) => start().on("message", resolve).on("error", reject))));
        console.log(counts.join());
      } else {
        const db = await open(); const notes = db.repository(Note);
        for (let i = 0; i < 50; i++) await notes.create({ text: "x" });
        parentPort.postMessage("done"); await db.close();
      }`);
    expect(await node([path])).toMatchObject({ code: 0, signal: null, stdout: "done,done,done,done\n" });
  });

  test("can load the addon alone, and be terminated at any moment", async () => {
    const path = script(`${worker}
      if (isMainThread) {
        for (let round = 0; round < 25; round++) {
          const one = start();
          await new Promise((resolve) => one.once("message", resolve));
          await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
          await one.terminate();
        }
        console.log("alive");
      } else {
        const db = await open(); const notes = db.repository(Note);
        parentPort.postMessage("ready");
        for (;;) await Promise.all([notes.create({ text: "x" }), notes.find({}, { limit: 5 }), notes.count()]);
      }`);
    expect(await node([path])).toMatchObject({ code: 0, signal: null, stdout: "alive\n", stderr: "" });
  });

  test("end when they are done, with and without close", async () => {
    const path = script(`${worker}
      if (isMainThread) {
        for (let round = 0; round < 10; round++) await new Promise((resolve) => start().once("exit", resolve));
        console.log("ended");
      } else {
        const db = await open(); await db.repository(Note).count(); if (Math.random() < 0.5) await db.close();
      }`);
    expect(await node([path])).toMatchObject({ code: 0, signal: null, stdout: "ended\n", stderr: "" });
  });
});

describe("memory", () => {
  test("does not grow with the number of calls", async () => {
    const path = script(`
      const db = await open(); const notes = db.repository(Note);
      const { id } = await notes.create({ text: "x".repeat(1000) });
      const round = async () => {
        for (let i = 0; i < 60; i++) await Promise.all(Array.from({ length: 16 }, () => notes.get(id)));
        for (let i = 0; i < 20; i++) { await notes.get(-1).catch(() => {}); await db.transaction((tx) => tx.repository(Note).count()); for await (const _ of notes.stream()) break; }
        global.gc(); return process.memoryUsage().rss;
      };
      for (let i = 0; i < 3; i++) await round();
      const before = await round(); for (let i = 0; i < 5; i++) await round(); const after = await round();
      console.log(Math.round((after - before) / 1024)); await db.close();`);
    const { code, stdout } = await node(["--expose-gc", path]);
    expect(code).toBe(0);
    // KiB over 6,000 calls; a leaked row a call would be 6 MB.
    expect(Number(stdout)).toBeLessThan(4000);
  });
});
