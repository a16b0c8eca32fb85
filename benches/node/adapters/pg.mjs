// node-postgres with named, prepared statements.
import pg from "pg";
import { FIELDS } from "../data.mjs";

const COLUMNS = FIELDS.join(", ");
const ORDER = "ORDER BY created_at DESC LIMIT";
const GET = `SELECT ${COLUMNS} FROM resources WHERE id = $1`;
const UPDATE = "UPDATE resources SET name = $2, rating = $3, updated_at = $4 WHERE id = $1";
const INSERT = `INSERT INTO resources (${COLUMNS}) VALUES (${FIELDS.map((_, i) => `$${i + 1}`).join(",")})`;
const PART = 1000;

class Pg {
  name = "pg";
  backend = "postgres";
  note = "prepared statements; createMany = statements of 1,000 rows in one transaction";

  open(target, pool) {
    this.pool = new pg.Pool({ connectionString: target.url, max: pool });
  }
  close() {
    return this.pool.end();
  }
  #change(runner, id, changes) {
    return runner.query({ name: "update", text: UPDATE, values: [id, changes.name, changes.rating, changes.updated_at] });
  }
  async get(id) {
    return (await this.pool.query({ name: "get", text: GET, values: [id] })).rows[0];
  }
  async find(limit, active, minRating) {
    const page = { name: "page", text: `SELECT ${COLUMNS} FROM resources ${ORDER} $1`, values: [limit] };
    const some = {
      name: "some",
      text: `SELECT ${COLUMNS} FROM resources WHERE active = $1 AND rating >= $2 ${ORDER} $3`,
      values: [active, minRating, limit],
    };
    return (await this.pool.query(active === undefined ? page : some)).rows;
  }
  insert(row) {
    return this.pool.query({ name: "insert", text: INSERT, values: FIELDS.map((field) => row[field]) });
  }
  createMany(rows) {
    return this.#inTransaction(async (client) => {
      for (let start = 0; start < rows.length; start += PART) {
        const values = [];
        const places = rows.slice(start, start + PART).map((row) => {
          const named = FIELDS.map((field) => `$${values.push(row[field])}`);
          return `(${named.join(",")})`;
        });
        await client.query(`INSERT INTO resources (${COLUMNS}) VALUES ${places.join(",")}`, values);
      }
    });
  }
  update(id, changes) {
    return this.#change(this.pool, id, changes);
  }
  transaction(id, changes) {
    return this.#inTransaction(async (client) => {
      const found = await client.query({ name: "get", text: GET, values: [id] });
      await this.#change(client, id, changes);
      return found.rows[0];
    });
  }
  async #inTransaction(work) {
    const client = await this.pool.connect();
    try {
      await client.query("BEGIN");
      const result = await work(client);
      await client.query("COMMIT");
      return result;
    } catch (error) {
      await client.query("ROLLBACK");
      throw error;
    } finally {
      client.release();
    }
  }
  insertUser(row) {
    const statement = "INSERT INTO users (id, email, name, active, created_at) VALUES ($1,$2,$3,$4,$5)";
    return this.pool.query(statement, [row.id, row.email, row.name, row.active, row.created_at]);
  }
}

export const adapters = [new Pg()];
