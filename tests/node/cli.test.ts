import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Database } from "@farm/db-native";
import { Ajv2020 } from "ajv/dist/2020.js";
import { beforeAll, describe, expect, test } from "vitest";
import { Everything, Note } from "./models.js";
import { type Ended, FARM, node, ROOT, type RunOptions, temporaryFolder } from "./support.js";

const base = temporaryFolder();
const app = join(base, "app.db");
const url = `sqlite:///${app}`;
const COMMANDS = ["connect", "status", "info", "stats", "health"];
// What is the same code for all of them is asked of two by `make test-fast`: each question is a process or two.
const ALIKE = process.env["FARM_TEST_FEW"] ? ["status", "info"] : COMMANDS;

// As the first line of `bin/farm.js` starts it.
const farm = (args: string[], options: RunOptions = {}) => node(["--", FARM, ...args], { cwd: base, ...options });
const db = (command: string, args: string[] = [], options: RunOptions = {}) => farm(["db", command, ...args], options);
const json = ({ stdout }: Ended) => JSON.parse(stdout);

let folders = 0;
function folder(files: Record<string, string> = {}): string {
  const path = join(base, `project-${++folders}`);
  mkdirSync(path);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

const ajv = new Ajv2020({ strict: false });
function schema(name: string): object {
  const path = name === "error" ? "error.schema.json" : join("commands", "db", `${name}.schema.json`);
  return JSON.parse(readFileSync(join(ROOT, "js", "cli", "src", path), "utf8"));
}
function conforms(name: string, value: unknown): void {
  const validate = ajv.compile(schema(name));
  expect(validate(value) ? null : validate.errors).toBeNull();
}

beforeAll(async () => {
  const made = await Database.connect(url, { models: [Everything, Note], createMissing: true });
  await made.repository(Note).createMany([{ text: "a" }, { text: "b" }]);
  await made.close();
});

describe.concurrent("usage", () => {
  test("help and version go to stdout", async () => {
    for (const args of [[], ["--help"], ["db"], ["db", "--help"], ["db", "status", "--help"]]) {
      const { code, stdout, stderr } = await farm(args);
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdout).toMatch(/^Usage: farm/);
    }
    const { version } = JSON.parse(readFileSync(join(ROOT, "js", "cli", "package.json"), "utf8"));
    expect(await farm(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n` });
  });

  test.each([
    [["migrate"], "unknown command"],
    [["db", "migrate"], "unknown command"],
    [["db", "status", "--bogus"], "unknown option"],
    [["db", "status", "--url"], "argument missing"],
    [["db", "status", "extra"], "too many arguments"],
    [["db", "connect", "--wait-timeout", "soon"], "--wait-timeout"],
  ])("%j is exit code 2", async (args, message) => {
    const { code, stdout, stderr } = await farm(args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(message);
    expect(stderr).toContain("fix:");
    const again = await farm([...args, "--json"]);
    expect(again.code).toBe(2);
    conforms("error", json(again));
    expect(again.stderr).toBe("");
  });
});

describe.concurrent.each(COMMANDS)("farm db %s", (command) => {
  test("--json prints one object of its schema", async () => {
    const ended = await db(command, ["--url", url, "--json"]);
    expect([ended.code, ended.stderr]).toEqual([0, ""]);
    expect(ended.stdout.trimEnd()).not.toContain("\n");
    conforms(command, json(ended));
  });

  test("prints data for people on stdout, without colours in a pipe", async () => {
    const { code, stdout, stderr } = await db(command, ["--url", url]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(command === "stats" ? "KiB" : url);
    expect(stdout).not.toContain("\u001b");
    expect(stdout.split("\n").every((line) => line === line.trimEnd())).toBe(true);
  });
});

describe.concurrent.each(ALIKE)("farm db %s", (command) => {
  test("--quiet prints nothing", async () => {
    expect(await db(command, ["--url", url, "-q"])).toMatchObject({ code: 0, stdout: "", stderr: "" });
  });

  test("without a configured database is exit code 2 and says what to do", async () => {
    const cwd = folder();
    const { code, stderr } = await db(command, [], { cwd });
    expect(code).toBe(2);
    expect(stderr).toMatch(/no database is configured.*\n.*why:.*\n.*fix:.*--url/);
    const failed = await db(command, ["--json"], { cwd });
    conforms("error", json(failed));
    expect(json(failed).error.code).toBe("no_database");
  });

  test("never creates a database file", async () => {
    const cwd = folder();
    const ended = await db(command, ["--url", "sqlite:///missing.db"], { cwd });
    // Info does not connect.
    expect(ended.code).toBe(command === "info" ? 0 : 1);
    if (command !== "info") expect(ended.stderr).toMatch(/no database file.*\n.*why:.*\n.*fix:/);
    expect(readdirSync(cwd)).toEqual([]);
  });

  test("never shows a password", async () => {
    const ended = await db(command, ["--url", "postgresql://user:canary@localhost:1/app", "--json"]);
    expect(ended.stdout + ended.stderr).not.toContain("canary");
    const odd = await db(command, ["--url", "user:canary@host/app"]);
    expect(odd.code).toBe(2);
    expect(odd.stdout + odd.stderr).not.toContain("canary");
  });
});

describe.concurrent("what is shown", () => {
  test("status: health, contract and entities", async () => {
    const found = json(await db("status", ["--url", url, "--json"]));
    expect(found.entities).toEqual([
      { name: "notes", rows: 2 },
      { name: "everything", rows: 0 },
    ]);
    const { contractHash } = Database.prepare("sqlite::memory:", { models: [Everything, Note] });
    expect(found.contract).toEqual({ hash: contractHash, entities: 2 });
    const { stdout } = await db("status", ["--url", url]);
    expect(stdout).toMatch(/notes +2 rows/);
    expect(stdout).toMatch(/everything +0 rows/);
  });

  test("status of a database that farm-db did not make", async () => {
    const path = join(base, "foreign.db");
    const foreign = await Database.connect(`sqlite:///${path}`);
    await foreign.execute("CREATE TABLE t (a INTEGER)");
    await foreign.close();
    const found = json(await db("status", ["--url", `sqlite:///${path}`, "--json"]));
    expect(found).toMatchObject({ contract: null, entities: [] });
  });

  test("reading does not change the database", async () => {
    const path = join(base, "still.db");
    writeFileSync(path, readFileSync(app));
    for (const command of COMMANDS) await db(command, ["--url", `sqlite:///${path}`]);
    expect(readFileSync(path).equals(readFileSync(app))).toBe(true);
  });

  test("a file that is no database fails", async () => {
    const path = join(base, "text.db");
    writeFileSync(path, "this is not a database, but it is long enough to look like one".repeat(20));
    const ended = await db("status", ["--url", `sqlite:///${path}`, "--json"]);
    expect(ended.code).toBe(1);
    conforms("error", json(ended));
  });
});

describe.concurrent("colours", () => {
  test("are forced and forbidden as no-color.org and FORCE_COLOR say", async () => {
    const colored = async (env: Record<string, string>, ...args: string[]) =>
      (await db("connect", ["--url", url, ...args], { env })).stdout.includes("\u001b");
    expect(await colored({ FORCE_COLOR: "1" })).toBe(true);
    expect(await colored({ FORCE_COLOR: "1", NO_COLOR: "1" })).toBe(false);
    expect(await colored({ FORCE_COLOR: "1" }, "--no-color")).toBe(false);
    expect(await colored({ FORCE_COLOR: "0" })).toBe(false);
    const failed = await db("status", ["--url", "sqlite:///missing.db"], { env: { FORCE_COLOR: "1" } });
    expect(failed.stderr).toContain("\u001b");
  });
});

describe.concurrent("the configuration", () => {
  const source = async (cwd: string, args: string[] = [], env: Record<string, string> = {}) =>
    json(await db("info", ["--json", ...args], { cwd, env }));

  test("is --url, then the environment, then .env, then farm.config.ts", async () => {
    const cwd = folder({
      ".env": 'DATABASE_URL="sqlite:///dotenv.db"\n',
      "farm.config.ts": 'export default { database: { url: "sqlite:///config.db" } };',
    });
    const env = { DATABASE_URL: "sqlite:///real.db" };
    expect(await source(cwd, ["--url", "sqlite:///flag.db"], env)).toMatchObject({
      url: "sqlite:///flag.db",
      source: "--url",
    });
    expect(await source(cwd, [], env)).toMatchObject({ url: "sqlite:///real.db", source: "environment" });
    expect(await source(cwd)).toMatchObject({ url: "sqlite:///dotenv.db", source: join(cwd, ".env") });
    writeFileSync(join(cwd, ".env"), "OTHER=1\n");
    expect(await source(cwd)).toMatchObject({ url: "sqlite:///config.db", source: join(cwd, "farm.config.ts") });
  });

  test("is split variables too, real ones first", async () => {
    const cwd = folder({ ".env": "DATABASE_TYPE=sqlite\nSQLITE_PATH=dotenv.db\n" });
    expect(await source(cwd)).toMatchObject({ url: "sqlite:///dotenv.db" });
    expect(await source(cwd, [], { DATABASE_TYPE: "sqlite", SQLITE_PATH: "real.db" })).toMatchObject({
      url: "sqlite:///real.db",
    });
  });

  test("takes other files where it is told to", async () => {
    const cwd = folder({
      "my.env": "DATABASE_URL=sqlite:///mine.db\n",
      "my.config.mjs": 'export default { database: { url: "sqlite:///my.db" } };',
    });
    expect(await source(cwd, ["--env-file", "my.env"])).toMatchObject({ url: "sqlite:///mine.db" });
    expect(await source(cwd, ["--config", "my.config.mjs"])).toMatchObject({ url: "sqlite:///my.db" });
    expect(await db("info", ["--env-file", "no.env"], { cwd })).toMatchObject({ code: 2, stdout: "" });
    expect(await db("info", ["--config", "no.ts"], { cwd })).toMatchObject({ code: 2, stdout: "" });
  });

  test("is TypeScript with defineConfig, as the founding documents write it", async () => {
    const cwd = folder({
      ".env": "DATABASE_URL=sqlite:///dotenv.db\n",
      "farm.config.ts": `
        import { defineConfig } from "@farm/core";
        const where: string = process.env.DATABASE_URL ?? "sqlite:///none.db";
        export default defineConfig({
          database: {
            type: "sqlite", url: where,
            pool: { minSize: 1, maxSize: 3, acquireTimeoutMs: 30000, idleTimeoutMs: 300000 },
            mongodb: { authSource: "admin", retryWrites: true, w: "majority" },
            postgresql: { ssl: true, poolSize: 20, password: "canary" },
            monitoring: { enabled: true, slowQueryThreshold: 1000 },
            migrations: { directory: "migrations", autoRun: true },
            development: { showQueries: false }, backup: { enabled: false },
          },
        });`,
    });
    const found = await source(cwd);
    expect(found).toMatchObject({
      url: "sqlite:///dotenv.db",
      options: { "pool.maxSize": "3", "postgresql.password": "***" },
    });
    expect(JSON.stringify(found)).not.toContain("canary");
    const status = json(await db("status", ["--url", url, "--json"], { cwd }));
    expect(status.pool.readers.max_size).toBe(3);
  });

  test("that is wrong is exit code 2 and names the file", async () => {
    for (const text of [
      "export default 5;",
      "export default { database: 5 };",
      "syntax error here",
      "throw new Error('no');",
    ]) {
      const cwd = folder({ "farm.config.ts": text });
      const ended = await db("status", ["--json"], { cwd });
      expect(ended.code).toBe(2);
      expect(json(ended).error).toMatchObject({
        code: "config_invalid",
        message: expect.stringContaining("farm.config.ts"),
      });
    }
    const cwd = folder({
      "farm.config.ts": 'export default { database: { url: "sqlite:///a.db", pool: { maxSiez: 5 } } };',
    });
    const ended = await db("status", ["--json"], { cwd });
    expect(ended.code).toBe(2);
    expect(json(ended).error).toMatchObject({
      code: "invalid_configuration",
      message: expect.stringContaining("maxSiez"),
    });
  });
});

test("the first line of the command keeps --env-file from Node", () => {
  expect(readFileSync(FARM, "utf8")).toMatch(/^#!\/usr\/bin\/env -S node --\n/);
});

describe.concurrent("waiting", () => {
  test("ends when the database is there", async () => {
    const path = join(base, "late.db");
    setTimeout(() => void Database.connect(`sqlite:///${path}`).then((made) => made.close()), 4000);
    const ended = await db("connect", ["--url", `sqlite:///${path}`, "--wait", "--wait-timeout", "18s", "--json"]);
    expect(ended.code).toBe(0);
    expect(json(ended).attempts).toBeGreaterThan(1);
  });

  test("ends when the time is over", async () => {
    const ended = await db("connect", ["--url", "sqlite:///never.db", "--wait", "--wait-timeout", "800ms", "--json"]);
    expect(ended.code).toBe(1);
    expect(json(ended).error.code).toBe("connection_failed");
    expect(ended.milliseconds).toBeGreaterThan(800);
    expect(existsSync(join(base, "never.db"))).toBe(false);
  });

  test("ends at Ctrl-C with 130", async () => {
    const ended = await db("connect", ["--url", "sqlite:///never.db", "--wait"], {
      meanwhile: (child) => setTimeout(() => child.kill("SIGINT"), 1000),
    });
    expect([ended.code, ended.signal]).toEqual([130, null]);
  });
});
