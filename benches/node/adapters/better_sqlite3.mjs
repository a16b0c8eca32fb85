// better-sqlite3: blocking calls, statements prepared once, JSON and dates revived by hand.
import Database from "better-sqlite3";

const NAMES = [
  "id", "name", "description", "dependencies", "tags", "metadata", "rating", "active", "created_at", "updated_at",
];
const COLUMNS = NAMES.join(", ");
const stamp = (date) => date.toISOString().replace("T", " ").replace("Z", "000");
const date = (text) => new Date(`${text.slice(0, 10)}T${text.slice(11, 23)}Z`);
const stored = (value) => {
  if (value instanceof Date) return stamp(value);
  if (typeof value === "boolean") return value ? 1 : 0;
  return typeof value === "object" ? JSON.stringify(value) : value;
};

function revive(row) {
  if (!row) return row;
  row.dependencies = JSON.parse(row.dependencies);
  row.tags = JSON.parse(row.tags);
  row.metadata = JSON.parse(row.metadata);
  row.active = row.active === 1;
  row.created_at = date(row.created_at);
  row.updated_at = date(row.updated_at);
  return row;
}

class BetterSqlite3 {
  name = "better-sqlite3";
  backend = "sqlite";
  note = "blocking calls, prepared once, JSON and dates revived; createMany = a prepared insert in one transaction";

  open(target) {
    this.db = new Database(target.database);
    this.db.pragma("journal_mode = WAL");
    this.db.pragma("synchronous = NORMAL");
    const order = "ORDER BY created_at DESC LIMIT ?";
    this.one = this.db.prepare(`SELECT ${COLUMNS} FROM resources WHERE id = ?`);
    this.page = this.db.prepare(`SELECT ${COLUMNS} FROM resources ${order}`);
    this.some = this.db.prepare(`SELECT ${COLUMNS} FROM resources WHERE active = ? AND rating >= ? ${order}`);
    this.put = this.db.prepare(`INSERT INTO resources (${COLUMNS}) VALUES (${NAMES.map(() => "?").join(",")})`);
    this.putUser = this.db.prepare("INSERT INTO users (id, email, name, active, created_at) VALUES (?,?,?,?,?)");
    this.change = this.db.prepare("UPDATE resources SET name = ?, rating = ?, updated_at = ? WHERE id = ?");
    this.readAndChange = this.db.transaction((id, changes) => {
      const row = this.one.get(id);
      this.change.run(changes.name, changes.rating, stamp(changes.updated_at), id);
      return row;
    });
    this.many = this.db.transaction((rows) => {
      for (const row of rows) this.put.run(NAMES.map((name) => stored(row[name])));
    });
  }
  close() {
    this.db.close();
  }
  async get(id) {
    return revive(this.one.get(id));
  }
  async find(limit, active, minRating) {
    const rows = active === undefined ? this.page.all(limit) : this.some.all(stored(active), minRating, limit);
    return rows.map(revive);
  }
  async insert(row) {
    this.put.run(NAMES.map((name) => stored(row[name])));
  }
  async createMany(rows) {
    this.many(rows);
  }
  async update(id, changes) {
    this.change.run(changes.name, changes.rating, stamp(changes.updated_at), id);
  }
  async transaction(id, changes) {
    return revive(this.readAndChange.immediate(id, changes));
  }
  async insertUser(row) {
    this.putUser.run(Object.values(row).map(stored));
  }
}

export const adapters = [new BetterSqlite3()];
