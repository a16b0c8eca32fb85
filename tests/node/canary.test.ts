// A password is shown by nothing: errors and what hangs on them, databases that are looked at, the output of the command
// in both forms, processes. Each that is given here has one mark in it, which is looked for in all that comes out.
import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { serialize } from "node:v8";
import { Database, FarmDbError } from "@farm/db-native";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Note } from "./models.js";
import { BACKENDS, type Ended, FARM, fresh, node, ROOT, type RunOptions, temporaryFolder } from "./support.js";

const MARK = ["c4", "nary"].join("");
/** The second needs its escapes in a URL. */
const PASSWORDS = [`${MARK}-s3cret-1`, `${MARK}@s3:cr/et?#%é &=1`];
const SCHEMES = ["postgresql", "mysql", "mongodb"];
const COMMANDS = ["connect", "status", "info", "stats", "health"];
const base = temporaryFolder();

/** All that a tool for errors might write of a value, hidden and inherited properties and causes too. */
function told(value: unknown): string {
  const deep = inspect(value, { depth: 20, showHidden: true, getters: true, maxStringLength: null });
  const parts = [
    String(value),
    deep,
    JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? String(inner) : inner)) ?? "",
  ];
  if (value instanceof Error) {
    const names = Object.getOwnPropertyNames(value) as (keyof Error)[];
    parts.push(value.stack ?? "", ...names.map((name) => inspect(value[name], { depth: 20, showHidden: true })));
    parts.push(serialize(structuredClone(value)).toString("latin1"), told((value as FarmDbError).cause ?? ""));
  }
  return parts.join("\n");
}

function hidden(...values: unknown[]): void {
  for (const value of values) expect(told(value)).not.toContain(MARK);
}

async function refusal(work: () => unknown): Promise<FarmDbError> {
  const error = await Promise.resolve()
    .then(work)
    .then(
      () => null,
      (error) => error,
    );
  expect(error).toBeInstanceOf(FarmDbError);
  return error;
}

const short = { acquireTimeoutMs: 500, connectTimeoutMs: 500 };
const encoded = (password: string) => encodeURIComponent(password);

describe.each(SCHEMES)("a %s that cannot be reached", (scheme) => {
  const options = scheme === "mongodb" ? { ...short, serverSelectionTimeout: 0.2 } : short;
  test.each(PASSWORDS)("keeps its password to itself (%#)", async (password) => {
    const bare = `${scheme}://user@127.0.0.1:1/app`;
    const url = `${scheme}://user:${encoded(password)}@127.0.0.1:1/app`;
    const family = scheme === "postgresql" ? "POSTGRES" : "MYSQL";
    const variables: Record<string, string> = {
      [`${family}_HOST`]: "127.0.0.1",
      [`${family}_PORT`]: "1",
      [`${family}_PASSWORD`]: password,
    };
    const parts = scheme === "mongodb" ? { MONGO_URI: url } : variables;
    const ways: (() => Promise<Database>)[] = [
      () => Database.connect(url, options),
      () => Database.connect(`${bare}?password=${encoded(password)}`, options),
      () => Database.connect(bare, { ...options, password }),
      () => Database.connect(url, { ...options, poolSiez: 4 }),
      () => Database.connect(url, { ...options, maxSize: "many" }),
      () => Database.connect(url.replace(":1/", ":port/"), options),
      () => Database.connect(`${scheme}://user:${password}@127.0.0.1:1/app`, options),
      () => Database.connect(url, { ...options, models: [Note, Note], contract: "nonsense" as "check" }),
      async () => {
        const made = Database.fromEnvironment({ DATABASE_URL: url }, options) as Database;
        hidden(made, made.url, made.liveness());
        await made.connect();
        return made;
      },
      async () => {
        const made = Database.fromEnvironment(parts, options) as Database;
        hidden(made, made.url);
        await made.connect();
        return made;
      },
    ];
    for (const way of ways) hidden(await refusal(way));
  });
});

describe.each(BACKENDS.filter((backend) => backend !== "sqlite"))("a %s that is reached", (backend) => {
  const name = `u${randomUUID().slice(0, 8)}`;
  const password = PASSWORDS[1] as string;
  let admin: Database;
  let end: () => Promise<void>;
  let url: string;

  beforeAll(async () => {
    const made = await fresh(backend, "", [Note]);
    admin = made.db;
    end = made.end;
    const make = {
      postgres: `CREATE ROLE ${name} SUPERUSER LOGIN PASSWORD '${password}'`,
      mysql: `CREATE USER ${name}@'%' IDENTIFIED BY '${password}'`,
      mongodb: { createUser: name, pwd: password, roles: ["readWrite", "dbAdmin"] },
    };
    await admin.execute(make[backend as keyof typeof make]);
    if (backend === "mysql") await admin.execute(`GRANT ALL PRIVILEGES ON *.* TO ${name}@'%'`);
    url = made.url.replace(/\/\/([^/@]*@)?/, `//${name}:${encoded(password)}@`);
  });
  afterAll(async () => {
    const remove = { postgres: `DROP ROLE ${name}`, mysql: `DROP USER ${name}@'%'`, mongodb: { dropUser: name } };
    await admin.execute(remove[backend as keyof typeof remove]);
    await end();
  });

  test("tells neither its password nor one that was wrong", async () => {
    const db = await Database.connect(url, { models: [Note] });
    const notes = db.repository(Note);
    hidden(db, db.url, db.contract, db.capabilities, db.liveness(), db.poolStats(), notes);
    hidden(await db.healthCheck(), await db.getStats(), await db.introspect(), await db.storedContract());
    hidden(await refusal(() => notes.get(77)), await refusal(() => notes.find({ nothing: 1 } as any)));
    hidden(await refusal(() => db.execute(backend === "mongodb" ? { nothing: 1 } : "SELEC 1")));
    await db.close();
    hidden(await refusal(() => notes.get(1)), await db.healthCheck(), db.poolStats());
    const wrong = url.replace(encoded(password), `${encoded(password)}guess`);
    const error = await refusal(() => Database.connect(wrong, { serverSelectionTimeout: undefined, ...short }));
    expect(error.code).toBe("connection_failed");
    hidden(error);
  });

  test("is asked by the command without a word of it", async () => {
    const env = { DATABASE_URL: url, RUST_LOG: "trace", RUST_BACKTRACE: "full", DEBUG: "*", MONGODB_LOG_ALL: "trace" };
    const wrong = url.replace(encoded(password), `${encoded(password)}guess`);
    for (const [number, command] of COMMANDS.entries()) {
      const [args, others] = number % 2 === 0 ? [[], ["--json"]] : [["--json"], []];
      const ended = await farm(["db", command, ...args], { env });
      expect([ended.code, ended.stderr]).toEqual([0, ""]);
      clean(ended);
      const refused = await farm(["db", command, "--url", wrong, ...others]);
      expect(refused.code).toBe(command === "info" ? 0 : 1);
      clean(refused);
    }
  }, 120_000);
});

// The command.

const farm = (args: string[], options: RunOptions = {}) => node(["--", FARM, ...args], { cwd: base, ...options });
function clean({ stdout, stderr }: Ended): void {
  expect(stdout + stderr).not.toContain(MARK);
}

let folders = 0;
function folder(files: Record<string, string>): string {
  const path = join(base, `project-${++folders}`);
  mkdirSync(path);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

describe.concurrent("the command keeps the password of", () => {
  const password = PASSWORDS[0] as string;
  const url = `postgresql://user:${password}@127.0.0.1:1/app`;
  const quoted = JSON.stringify(url);
  const projects: Record<string, Record<string, string>> = {
    ".env": { ".env": `DATABASE_URL=${quoted}\n` },
    "a broken .env": { ".env": `DATABASE_URL=${quoted.slice(0, -1)}\nDATABASE_TYPE` },
    "split variables": {
      ".env": `DATABASE_TYPE=postgresql\nPOSTGRES_HOST=127.0.0.1\nPOSTGRES_PORT=1\nPOSTGRES_PASSWORD=${password}\n`,
    },
    "farm.config.ts": { "farm.config.ts": `export default { database: { url: ${quoted} } };` },
    "an option": {
      "farm.config.ts": `export default { database: { url: "postgresql://user@127.0.0.1:1/app", postgresql: { password: ${JSON.stringify(password)} } } };`,
    },
    "a section that is not used": {
      "farm.config.ts": `export default { database: { url: "sqlite:///a.db", mongodb: { uri: ${quoted} }, postgresql: { url: ${quoted}, hosts: [${quoted}] } } };`,
    },
    replicas: {
      "farm.config.ts": `export default { database: { url: "postgresql://user@127.0.0.1:1/app", options: { replicas: ${JSON.stringify(encoded(url))} } } };`,
    },
    "properties of a mechanism": {
      "farm.config.ts": `export default { database: { url: "mongodb://127.0.0.1:1/app", mongodb: { authMechanismProperties: "AWS_SESSION_TOKEN:${password}", serverSelectionTimeout: 0.3 } } };`,
    },
    "a nested URL": {
      "farm.config.ts": `export default { database: { url: "postgresql://user@127.0.0.1:1/app", postgresql: { connectionString: ${quoted} } } };`,
    },
    "a wrong type": { "farm.config.ts": `export default { database: { url: [${quoted}] } };` },
    "a syntax error": { "farm.config.ts": `export default { database: { url: ${quoted} } ;;; )` },
    "a syntax error inside": { "farm.config.ts": `export default { database: { url: ${quoted.slice(0, -1)}\n } };` },
    "a wrong option": { "farm.config.ts": `export default { database: { url: ${quoted}, pool: { maxSiez: 5 } } };` },
    "another type": { "farm.config.ts": `export default { database: { type: "mysql", url: ${quoted} } };` },
  };
  test.each(Object.entries(projects))("%s", async (_, files) => {
    const cwd = folder(files);
    for (const args of [["info"], ["info", "--json"], ["status"], ["connect", "--json"]]) {
      clean(await farm(["db", ...args], { cwd, env: { RUST_LOG: "trace" } }));
    }
  });

  test("a command line that is wrong", async () => {
    const replicas = `postgresql://user@127.0.0.1:1/app?read_replicas=${encoded(url)}`;
    const properties = `mongodb://127.0.0.1:1/app?authMechanismProperties=AWS_SESSION_TOKEN:${password}`;
    for (const args of [
      // Where a path is wanted it is told that there is no such file.
      ...[url, replicas, properties].map((text) => ["db", "status", "--config", text]),
      ["db", "status", replicas],
      ["db", properties],
      ["db", "status", "--url", url, "--bogus"],
      ["db", "status", "--url", `nonsense${url}`],
      ["db", "status", url],
      ["db", url],
      ["db", "connect", `--url=${url}`, "--wait", "--wait-timeout", "300ms"],
      ["db", "connect", "--url", url, "--wait", "--wait-timeout", url],
    ]) {
      for (const more of [[], ["--json"]]) clean(await farm([...args, ...more]));
    }
  });

  test("an environment, in what `ps` shows of a process that waits", async () => {
    let seen: string[] = [];
    const ended = await farm(["db", "connect", "--wait", "--wait-timeout", "1500ms"], {
      env: { DATABASE_URL: url },
      meanwhile: (child) =>
        setTimeout(() => {
          seen = readdirSync("/proc")
            .filter((pid) => /^\d+$/.test(pid))
            .map((pid) => {
              try {
                const [, parent] = /^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
                return [pid, parent].includes(String(child.pid)) ? readFileSync(`/proc/${pid}/cmdline`, "utf8") : "";
              } catch {
                return "";
              }
            })
            .filter((line) => line !== "");
        }, 700),
    });
    expect(ended.code).toBe(1);
    expect(seen.length).toBeGreaterThan(0);
    hidden(seen);
    clean(ended);
  });
});

test("an error that nobody catches is printed without the password", async () => {
  const path = join(base, "uncaught.mjs");
  const addon = JSON.stringify(join(ROOT, "js", "db-native", "dist", "index.mjs"));
  writeFileSync(
    path,
    `import { Database } from ${addon};\nawait Database.connect(undefined, { connectTimeoutMs: 300 });`,
  );
  const env = { DATABASE_URL: `mysql://user:${encoded(PASSWORDS[1] as string)}@127.0.0.1:1/app`, RUST_LOG: "trace" };
  const ended = await node(["--stack-trace-limit=100", path], { env });
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain("FarmDbError");
  clean(ended);
});
