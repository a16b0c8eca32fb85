// Drizzle on node-postgres, its query builder.
import { and, desc, eq, gte } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { bigint, boolean, doublePrecision, jsonb, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import pg from "pg";

const moment = (name) => timestamp(name, { withTimezone: true }).notNull();
const resources = pgTable("resources", {
  id: text("id").primaryKey(),
  name: text("name").notNull(),
  description: text("description").notNull(),
  dependencies: text("dependencies").array().notNull(),
  tags: text("tags").array().notNull(),
  metadata: jsonb("metadata").notNull(),
  rating: doublePrecision("rating").notNull(),
  active: boolean("active").notNull(),
  created_at: moment("created_at"),
  updated_at: moment("updated_at"),
});
const users = pgTable("users", {
  id: bigint("id", { mode: "number" }).primaryKey(),
  email: text("email").notNull(),
  name: text("name").notNull(),
  active: boolean("active").notNull(),
  created_at: moment("created_at"),
});
const PART = 1000;

class Drizzle {
  name = "drizzle";
  backend = "postgres";
  note = "query builder on pg; createMany = insert().values() of 1,000 rows each in one transaction";

  open(target, pool) {
    this.pool = new pg.Pool({ connectionString: target.url, max: pool });
    this.db = drizzle(this.pool);
  }
  close() {
    return this.pool.end();
  }
  async get(id, db = this.db) {
    return (await db.select().from(resources).where(eq(resources.id, id)).limit(1))[0];
  }
  find(limit, active, minRating) {
    let query = this.db.select().from(resources).$dynamic();
    if (active !== undefined) query = query.where(and(eq(resources.active, active), gte(resources.rating, minRating)));
    return query.orderBy(desc(resources.created_at)).limit(limit);
  }
  async insert(row) {
    await this.db.insert(resources).values(row);
  }
  createMany(rows) {
    return this.db.transaction(async (tx) => {
      for (let start = 0; start < rows.length; start += PART) {
        await tx.insert(resources).values(rows.slice(start, start + PART));
      }
    });
  }
  async update(id, changes, db = this.db) {
    await db.update(resources).set(changes).where(eq(resources.id, id));
  }
  transaction(id, changes) {
    return this.db.transaction(async (tx) => {
      const row = await this.get(id, tx);
      await this.update(id, changes, tx);
      return row;
    });
  }
  async insertUser(row) {
    await this.db.insert(users).values(row);
  }
}

export const adapters = [new Drizzle()];
