// mysql2 with prepared statements, JSON and booleans revived by hand.
import mysql from "mysql2/promise";
import { FIELDS } from "../data.mjs";

const COLUMNS = FIELDS.join(", ");
const ORDER = "ORDER BY created_at DESC LIMIT ?";
const GET = `SELECT ${COLUMNS} FROM resources WHERE id = ?`;
const UPDATE = "UPDATE resources SET name = ?, rating = ?, updated_at = ? WHERE id = ?";
const PART = 1000;
const stored = (value) => (typeof value === "object" && !(value instanceof Date) ? JSON.stringify(value) : value);
const values = (row) => FIELDS.map((field) => stored(row[field]));
// MariaDB's JSON is text to a driver, MySQL's is not.
const json = (value) => (typeof value === "string" ? JSON.parse(value) : value);

function revive(row) {
  if (!row) return row;
  row.dependencies = json(row.dependencies);
  row.tags = json(row.tags);
  row.metadata = json(row.metadata);
  row.active = row.active === 1;
  return row;
}

class Mysql2 {
  name = "mysql2";
  backend = "mysql";
  note = "prepared statements, JSON revived; createMany = statements of 1,000 rows in one transaction";

  open(target, pool) {
    this.pool = mysql.createPool({ uri: target.url, connectionLimit: pool, timezone: "Z", charset: "utf8mb4" });
  }
  close() {
    return this.pool.end();
  }
  async get(id) {
    return revive((await this.pool.execute(GET, [id]))[0][0]);
  }
  async find(limit, active, minRating) {
    // A limit is text to MySQL's prepared statements.
    const [rows] =
      active === undefined
        ? await this.pool.execute(`SELECT ${COLUMNS} FROM resources ${ORDER}`, [String(limit)])
        : await this.pool.execute(`SELECT ${COLUMNS} FROM resources WHERE active = ? AND rating >= ? ${ORDER}`, [
            active,
            minRating,
            String(limit),
          ]);
    return rows.map(revive);
  }
  insert(row) {
    return this.pool.execute(`INSERT INTO resources (${COLUMNS}) VALUES (${FIELDS.map(() => "?").join(",")})`, values(row));
  }
  createMany(rows) {
    return this.#inTransaction(async (connection) => {
      for (let start = 0; start < rows.length; start += PART) {
        await connection.query(`INSERT INTO resources (${COLUMNS}) VALUES ?`, [rows.slice(start, start + PART).map(values)]);
      }
    });
  }
  update(id, changes) {
    return this.pool.execute(UPDATE, [changes.name, changes.rating, changes.updated_at, id]);
  }
  transaction(id, changes) {
    return this.#inTransaction(async (connection) => {
      const [rows] = await connection.execute(GET, [id]);
      await connection.execute(UPDATE, [changes.name, changes.rating, changes.updated_at, id]);
      return revive(rows[0]);
    });
  }
  async #inTransaction(work) {
    const connection = await this.pool.getConnection();
    try {
      await connection.beginTransaction();
      const result = await work(connection);
      await connection.commit();
      return result;
    } catch (error) {
      await connection.rollback();
      throw error;
    } finally {
      connection.release();
    }
  }
  insertUser(row) {
    const statement = "INSERT INTO users (id, email, name, active, created_at) VALUES (?,?,?,?,?)";
    return this.pool.execute(statement, [row.id, row.email, row.name, row.active, row.created_at]);
  }
}

export const adapters = [new Mysql2()];
