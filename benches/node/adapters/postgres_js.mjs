// postgres.js, tagged templates.
import postgres from "postgres";
import { FIELDS } from "../data.mjs";

const PART = 3000;

class PostgresJs {
  name = "postgres.js";
  backend = "postgres";
  note = "tagged templates; createMany = its insert helper with 3,000 rows each in one transaction";

  open(target, pool) {
    this.sql = postgres(target.url, { max: pool, onnotice: () => {} });
  }
  close() {
    return this.sql.end({ timeout: 5 });
  }
  async get(id, sql = this.sql) {
    return (await sql`SELECT ${sql(FIELDS)} FROM resources WHERE id = ${id}`)[0];
  }
  find(limit, active, minRating) {
    const { sql } = this;
    if (active === undefined) return sql`SELECT ${sql(FIELDS)} FROM resources ORDER BY created_at DESC LIMIT ${limit}`;
    return sql`SELECT ${sql(FIELDS)} FROM resources WHERE active = ${active} AND rating >= ${minRating}
      ORDER BY created_at DESC LIMIT ${limit}`;
  }
  insert(row) {
    return this.sql`INSERT INTO resources ${this.sql(row, FIELDS)}`;
  }
  createMany(rows) {
    return this.sql.begin(async (sql) => {
      for (let start = 0; start < rows.length; start += PART) {
        await sql`INSERT INTO resources ${sql(rows.slice(start, start + PART), FIELDS)}`;
      }
    });
  }
  update(id, changes, sql = this.sql) {
    return sql`UPDATE resources SET ${sql(changes, "name", "rating", "updated_at")} WHERE id = ${id}`;
  }
  transaction(id, changes) {
    return this.sql.begin(async (sql) => {
      const row = await this.get(id, sql);
      await this.update(id, changes, sql);
      return row;
    });
  }
  insertUser(row) {
    return this.sql`INSERT INTO users ${this.sql(row, "id", "email", "name", "active", "created_at")}`;
  }
}

export const adapters = [new PostgresJs()];
