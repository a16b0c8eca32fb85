// Prisma's clients for the benchmark, one a database: `node benches/node/prisma.mjs` generates them into
// benches/node_modules/.clients. Queries are compiled by WebAssembly in the client itself; the one engine that the command
// would fetch beforehand makes migrations, which nobody asks for here: any program in its place is right.
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

export const CLIENTS = fileURLToPath(new URL("../node_modules/.clients/", import.meta.url));

// SQLite and MySQL have no lists; Prisma's moments have milliseconds unless told otherwise.
const PROVIDERS = {
  sqlite: { provider: "sqlite", list: "Json", moment: "DateTime" },
  postgres: { provider: "postgresql", list: "String[]", moment: "DateTime @db.Timestamptz(6)" },
  mysql: { provider: "mysql", list: "Json", moment: "DateTime @db.DateTime(6)" },
};

function schema(name) {
  const { provider, list, moment } = PROVIDERS[name];
  return `
generator client {
  provider = "prisma-client-js"
  output   = "${CLIENTS}${name}"
}
datasource db {
  provider = "${provider}"
}
model resources {
  id           String @id
  name         String
  description  String
  dependencies ${list}
  tags         ${list}
  metadata     Json
  rating       Float
  active       Boolean
  created_at   ${moment}
  updated_at   ${moment}
}
model users {
  id         BigInt @id
  email      String @unique
  name       String
  active     Boolean
  created_at ${moment}
}
`;
}

function generate() {
  const command = createRequire(import.meta.url).resolve("prisma/build/index.js");
  const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: "1" };
  rmSync(CLIENTS, { recursive: true, force: true });
  mkdirSync(CLIENTS, { recursive: true });
  for (const name of Object.keys(PROVIDERS)) {
    const file = `${CLIENTS}${name}.prisma`;
    writeFileSync(file, schema(name));
    const options = { cwd: CLIENTS, env, encoding: "utf8" };
    const done = spawnSync(process.execPath, [command, "generate", "--schema", file], options);
    if (done.status !== 0) throw new Error(`prisma generate, ${name}:\n${done.stdout}${done.stderr}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) generate();
