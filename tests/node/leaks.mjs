// What many calls leave behind: `node --expose-gc --max-semi-space-size=1 leaks.mjs URL CALLS` makes gets, creates, finds,
// updates, transactions, errors and streams, mixed at random, and prints what it measured as JSON, in the words of
// tests/leaks.py: after the warm-up, the growth is the rise of the line of least squares over the readings.
import { readdirSync } from "node:fs";
import { Database, defineModel, FarmDbError, f } from "@farm/db-native";

const [ROWS, WORKERS, CONNECTIONS, WARM_UP, READINGS] = [200, 16, 8, 5_000, 100];
const [url, wanted] = [process.argv[2], Number(process.argv[3])];
const Thing = defineModel("things", {
  id: f.int().primaryKey(),
  code: f.string({ maxLength: 40 }).unique(),
  size: f.int().default(0),
  words: f.list(f.string()).default([]),
});
const db = await Database.connect(url, {
  models: [Thing],
  createMissing: true,
  minSize: CONNECTIONS,
  maxSize: CONNECTIONS,
});
const things = db.repository(Thing);
const kinds = {};
let made = 0;
let next = 1_000_000;

const anyId = () => Math.floor(Math.random() * ROWS);
async function refused(call, code) {
  const error = await call().then(
    () => null,
    (error) => error,
  );
  if (!FarmDbError.is(error, code)) throw new Error(`expected ${code}, but got ${error}`);
}
async function create(repository = things) {
  const id = ++next;
  await repository.create({ id, code: `new ${id}`, words: ["a", "b"] });
  made += 1;
  await repository.delete(id);
}
const rollback = () =>
  db
    .transaction(async (tx) => {
      await create(tx.repository(Thing));
      throw new RangeError("on purpose");
    })
    .catch((error) => {
      if (!(error instanceof RangeError)) throw error;
    });
const verbs = [
  ["get", 45, () => things.get(anyId())],
  ["find", 12, () => things.find({ id: { $gte: anyId() } }, { sort: "-id", limit: 20 })],
  ["create", 10, () => create()],
  ["update", 8, () => things.update(anyId(), { $inc: { size: 1 } })],
  ["missing", 6, () => refused(() => things.get(-1), "not_found")],
  ["duplicate", 4, () => refused(() => things.create({ id: ++next, code: "0" }), "unique_violation")],
  ["unknown field", 3, () => refused(async () => things.find({ nothing: 1 }), "unknown_field")],
  ["commit", 5, () => db.transaction((tx) => create(tx.repository(Thing)))],
  ["rollback", 4, rollback],
  [
    "stream",
    3,
    async () => {
      for await (const _ of things.stream({}, { batch: 10 })) break;
    },
  ],
];
const lots = verbs.flatMap((verb) => Array.from({ length: verb[1] }, () => verb));

async function work(until) {
  while (made < until) {
    const [name, , call] = lots[Math.floor(Math.random() * lots.length)];
    made += 1;
    kinds[name] = (kinds[name] ?? 0) + 1;
    await call();
  }
}
function resident() {
  global.gc();
  return process.memoryUsage().rss;
}
const opened = () => ({
  descriptors: readdirSync("/proc/self/fd").length,
  threads: readdirSync("/proc/self/task").length,
});
function growth(readings) {
  const mean = (at) => readings.reduce((sum, one) => sum + one[at], 0) / readings.length;
  const [x, y] = [mean(0), mean(1)];
  const slope =
    readings.reduce((sum, one) => sum + (one[0] - x) * (one[1] - y), 0) /
    readings.reduce((sum, one) => sum + (one[0] - x) ** 2, 0);
  return slope * (readings.at(-1)[0] - readings[0][0]);
}
const inUse = (stats) =>
  typeof stats === "object" && stats !== null
    ? (stats.in_use ?? 0) + Object.values(stats).reduce((sum, inner) => sum + inUse(inner), 0)
    : 0;

await things.createMany(Array.from({ length: ROWS }, (_, id) => ({ id, code: `${id}` })));
const run = (until) => Promise.all(Array.from({ length: WORKERS }, () => work(until)));
await run(WARM_UP);
const early = opened();
const readings = [[made, resident()]];
for (let turn = 1; turn <= READINGS; turn += 1) {
  await run(WARM_UP + Math.floor((wanted * turn) / READINGS));
  readings.push([made, resident()]);
}
const late = opened();
if ((await things.count()) !== ROWS) throw new Error("rows were lost or left");
// What a stream held is given back behind its caller's back.
await new Promise((resolve) => setTimeout(resolve, 200));
const in_use = inUse(db.poolStats());
await db.close();
const [first, last] = [readings[0][1], readings.at(-1)[1]];
console.log(JSON.stringify({ calls: made, kinds, growth: growth(readings), first, last, early, late, in_use }));
