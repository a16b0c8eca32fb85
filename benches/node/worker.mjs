// The Node side of the benchmark: `list` prints the contenders as JSON, `worker MODULE NAME BACKEND` is one of them behind
// a pipe of JSON lines (see ../worker.py).
//
// A contender is an entry of `adapters`, exported by a module in ./adapters: name, backend, note, form; open(target, pool),
// close(), get(id), find(limit, active?, minRating?), insert(row), createMany(rows), update(id, changes),
// transaction(id, changes) -> the row it read, insertUser(row), and where it has a way of its own: json(limit) -> a JSON
// body; buffer(limit) -> rows as its driver gives them before any object is built; rowsOf(bytes) -> the rows of either.
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { canonical, EPOCH, resource, resourceId, user } from "./data.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const GROUPS = ["get", "find", "objects", "json", "insert", "update", "transaction", "create_many"];
const PREPARED = 4096;

const load = (name) => import(pathToFileURL(join(HERE, "adapters", name)).href);

async function list() {
  const adapters = [];
  const missing = {};
  for (const module of readdirSync(join(HERE, "adapters")).filter((name) => name.endsWith(".mjs")).sort()) {
    try {
      for (const one of (await load(module)).adapters) {
        const { name, backend, note = "", form = "plain", groups = GROUPS } = one;
        adapters.push({ module, name, backend, note, form, groups });
      }
    } catch (error) {
      missing[module] = String(error.message).split("\n")[0];
    }
  }
  console.log(JSON.stringify({ adapters, missing }));
}

async function closedLoop(op, concurrency, seconds) {
  const latencies = [];
  const shares = [];
  let next = 0;
  globalThis.gc?.();
  const processor = process.cpuUsage();
  const began = performance.now();
  const end = began + seconds * 1000;
  async function one() {
    for (let done = 0; ; done++) {
      const called = performance.now();
      if (called >= end && latencies.length > 0) {
        shares.push(done);
        return;
      }
      await op(next++);
      latencies.push(performance.now() - called);
    }
  }
  await Promise.all(Array.from({ length: concurrency }, one));
  const elapsed = (performance.now() - began) / 1000;
  const used = process.cpuUsage(processor);
  const count = latencies.length;
  latencies.sort((a, b) => a - b);
  return {
    ops: count,
    seconds: elapsed,
    rate: count / elapsed,
    cpu_us: (used.user + used.system) / count,
    p50_us: latencies[count >> 1] * 1000,
    p99_us: latencies[Math.min(count - 1, Math.floor(count * 0.99))] * 1000,
    max_us: latencies[count - 1] * 1000,
    least_share: Math.min(...shares) / (count / concurrency),
  };
}

/** Pseudo-random numbers (mulberry32), the same for every contender. */
function chance(seed) {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  };
}

function keys(rows, seed) {
  const random = chance(seed);
  return Array.from({ length: PREPARED }, () => resourceId(random(rows)));
}

const rowsFrom = (base, count) => Array.from({ length: count }, (_, i) => resource(base + i));

function someChanges() {
  return Array.from({ length: PREPARED }, (_, i) => ({
    name: `u${i}`,
    rating: (i * 2 + 1) / 4096,
    updated_at: new Date(EPOCH + i),
  }));
}

class Worker {
  constructor(adapter) {
    this.adapter = adapter;
    this.opened = false;
  }

  async open({ target, pool }) {
    await this.close();
    await this.adapter.open(target, pool);
    this.opened = true;
    return {};
  }

  async close() {
    if (this.opened) {
      this.opened = false;
      await this.adapter.close();
    }
    return {};
  }

  #json(limit) {
    if (this.adapter.json) return this.adapter.json(limit);
    return this.adapter.find(limit).then((rows) => Buffer.from(JSON.stringify(rows)));
  }

  async check_reads({ ids }) {
    const rows = (found) => found.map(canonical);
    const get = [];
    for (const n of ids) get.push(await this.adapter.get(resourceId(n)));
    const rowsOf = (bytes) => (this.adapter.rowsOf ?? JSON.parse)(bytes.toString());
    const parts = {
      get: rows(get),
      filtered: rows(await this.adapter.find(50, true, 4.0)),
      page: rows(await this.adapter.find(1000)),
      json: rowsOf(await this.#json(1000)),
      ...(this.adapter.buffer && { buffer: rowsOf(await this.adapter.buffer(1000)) }),
    };
    return { parts, kind: (await this.adapter.get(resourceId(0))).constructor?.name ?? "object" };
  }

  async check_writes({ base }) {
    await this.adapter.insert(resource(base));
    await this.adapter.createMany(rowsFrom(base + 1, 500));
    await this.adapter.update(resourceId(1), { name: "changed", rating: 1.125, updated_at: new Date(EPOCH + 5) });
    const changes = { name: "in a transaction", rating: 2.375, updated_at: new Date(EPOCH + 6) };
    const read = await this.adapter.transaction(resourceId(2), changes);
    const plain = (row) => JSON.parse(JSON.stringify(canonical(row)));
    if (!isDeepStrictEqual(plain(read), plain(resource(2)))) throw new Error("the row that the transaction read");
    let duplicate = "";
    try {
      await this.adapter.insertUser({ ...user(1), id: 10_000_000 });
    } catch (error) {
      duplicate = error.code ?? error.name;
    }
    return { duplicate };
  }

  get({ rows, concurrency, seconds, seed }) {
    const wanted = keys(rows, seed);
    return closedLoop((i) => this.adapter.get(wanted[i % PREPARED]), concurrency, seconds);
  }

  find({ limit, filtered, seconds }) {
    const parameters = filtered ? [limit, true, 4.0] : [limit];
    return closedLoop(() => this.adapter.find(...parameters), 1, seconds);
  }

  json({ limit, seconds }) {
    return closedLoop(() => this.#json(limit), 1, seconds);
  }

  buffer({ limit, seconds }) {
    return closedLoop(() => this.adapter.buffer(limit), 1, seconds);
  }

  insert({ base, concurrency, seconds }) {
    const rows = rowsFrom(base, Math.floor(150_000 * seconds) + 500);
    return closedLoop((i) => this.adapter.insert(rows[i]), concurrency, seconds);
  }

  update({ base, concurrency, seconds, seed }) {
    const wanted = keys(base, seed);
    const changes = someChanges();
    return closedLoop((i) => this.adapter.update(wanted[i % PREPARED], changes[i % PREPARED]), concurrency, seconds);
  }

  transaction({ base, concurrency, seconds, seed }) {
    // Every key once before any comes again, so that no two transactions want the same row at once.
    const random = chance(seed);
    const wanted = Array.from({ length: base }, (_, i) => resourceId(i));
    for (let i = base - 1; i > 0; i--) {
      const other = random(i + 1);
      [wanted[i], wanted[other]] = [wanted[other], wanted[i]];
    }
    const changes = someChanges();
    return closedLoop(
      (i) => this.adapter.transaction(wanted[i % base], changes[i % PREPARED]),
      concurrency,
      seconds,
    );
  }

  async create_many({ base, count }) {
    const rows = rowsFrom(base, count);
    globalThis.gc?.();
    const processor = process.cpuUsage();
    const began = performance.now();
    await this.adapter.createMany(rows);
    const seconds = (performance.now() - began) / 1000;
    const used = process.cpuUsage(processor);
    return { ops: count, seconds, rate: count / seconds, cpu_us: (used.user + used.system) / count };
  }
}

async function serve(module, name, backend) {
  const adapter = (await load(module)).adapters.find((one) => one.name === name && one.backend === backend);
  const worker = new Worker(adapter);
  console.log = console.error;
  for await (const line of createInterface({ input: process.stdin })) {
    const { op, ...parameters } = JSON.parse(line);
    if (op === "quit") break;
    let answer;
    try {
      answer = { ok: true, ...(await worker[op](parameters)) };
    } catch (error) {
      const text = `${error.name}: ${error.message}`.slice(0, 600);
      const code = typeof error.code === "string" ? error.code : "";
      answer = { ok: false, error: text, code, trace: String(error.stack).slice(-3000) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  await worker.close();
  process.exit(0);
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === "list") await list();
else await serve(...rest);
