// Prisma with its driver adapters. MongoDB has none in Prisma 7, and a client without an adapter is refused.
import { createRequire } from "node:module";
import { PrismaBetterSqlite3 } from "@prisma/adapter-better-sqlite3";
import { PrismaMariaDb } from "@prisma/adapter-mariadb";
import { PrismaPg } from "@prisma/adapter-pg";
import { CLIENTS } from "../prisma.mjs";

const require = createRequire(import.meta.url);
const DRIVERS = {
  sqlite: ({ database }) => new PrismaBetterSqlite3({ url: `file:${database}` }),
  postgres: ({ url }, max) => new PrismaPg({ connectionString: url, max }),
  mysql: ({ host, port, user, password, database }, connectionLimit) =>
    new PrismaMariaDb({ host, port, user, password, database, connectionLimit, timezone: "Z" }),
};
const NOTES = { sqlite: "adapter-better-sqlite3", postgres: "adapter-pg", mysql: "adapter-mariadb" };
const PART = 1000;

class Prisma {
  name = "prisma";

  constructor(backend) {
    this.backend = backend;
    this.note = `the client on ${NOTES[backend]}; createMany = createMany of 1,000 rows each in one transaction`;
    this.PrismaClient = require(`${CLIENTS}${backend}`).PrismaClient;
  }
  async open(target, pool) {
    this.db = new this.PrismaClient({ adapter: DRIVERS[this.backend](target, pool) });
    await this.db.$connect();
    if (this.backend === "sqlite") {
      await this.db.$queryRawUnsafe("PRAGMA journal_mode = WAL");
      await this.db.$queryRawUnsafe("PRAGMA synchronous = NORMAL");
    }
  }
  close() {
    return this.db.$disconnect();
  }
  get(id, db = this.db) {
    return db.resources.findUnique({ where: { id } });
  }
  find(limit, active, minRating) {
    const where = active === undefined ? {} : { active, rating: { gte: minRating } };
    return this.db.resources.findMany({ where, orderBy: { created_at: "desc" }, take: limit });
  }
  insert(data) {
    return this.db.resources.create({ data });
  }
  createMany(rows) {
    const parts = Array.from({ length: Math.ceil(rows.length / PART) }, (_, i) => rows.slice(i * PART, (i + 1) * PART));
    return this.db.$transaction(parts.map((data) => this.db.resources.createMany({ data })));
  }
  update(id, data, db = this.db) {
    return db.resources.update({ where: { id }, data });
  }
  transaction(id, changes) {
    return this.db.$transaction(async (tx) => {
      const row = await this.get(id, tx);
      await this.update(id, changes, tx);
      return row;
    });
  }
  insertUser(data) {
    return this.db.users.create({ data });
  }
}

export const adapters = Object.keys(DRIVERS).map((backend) => new Prisma(backend));
