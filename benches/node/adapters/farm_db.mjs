// @farm/db-native: repositories of models. The contract is that of ../../adapters/farm.py and is checked on connect.
import { createRequire } from "node:module";
import { Database, defineModel, f } from "@farm/db-native";

const Resource = defineModel(
  "resources",
  {
    id: f.string().primaryKey(),
    name: f.string(),
    description: f.string(),
    dependencies: f.list(f.string()),
    tags: f.list(f.string()),
    metadata: f.map(f.json()),
    rating: f.float(),
    active: f.bool(),
    created_at: f.datetime(),
    updated_at: f.datetime(),
  },
  { indexes: [{ fields: ["created_at"] }] },
);
const User = defineModel("users", {
  id: f.int().primaryKey(),
  email: f.string().unique(),
  name: f.string(),
  active: f.bool(),
  created_at: f.datetime(),
});

class FarmDb {
  name = "farm_db";
  form = "farm";
  note = "repository API, rows as objects with dates";

  constructor(backend) {
    this.backend = backend;
  }
  async open(target, pool) {
    const options = this.backend === "sqlite" ? {} : { maxSize: pool };
    this.db = await Database.connect(target.url, { models: [Resource, User], ...options });
    this.resources = this.db.repository(Resource);
    this.users = this.db.repository(User);
  }
  close() {
    return this.db.close();
  }
  get(id) {
    return this.resources.get(id);
  }
  find(limit, active, minRating) {
    const filter = active === undefined ? {} : { active, rating: { $gte: minRating } };
    return this.resources.find(filter, { sort: "-created_at", limit });
  }
  insert(row) {
    return this.resources.create(row);
  }
  createMany(rows) {
    return this.resources.createMany(rows);
  }
  update(id, changes) {
    return this.resources.update(id, changes);
  }
  transaction(id, changes) {
    return this.db.transaction(async (tx) => {
      const resources = tx.repository(Resource);
      const row = await resources.get(id);
      await resources.update(id, changes);
      return row;
    });
  }
  insertUser(row) {
    return this.users.create(row);
  }
}

// Moments are tagged in what leaves the core.
const untagged = (_, value) => value?.$date ?? value;

class FarmDbJson extends FarmDb {
  name = "farm_db-json";
  note = "the body is findJson's: as it left the core, not parsed, moments tagged; the buffer is what objects are made of";
  groups = ["json", "buffer"];

  async open(target, pool) {
    await super.open(target, pool);
    // The package keeps its engine to itself.
    const { Engine } = createRequire(import.meta.url)(process.env.FARM_DB_ADDON);
    this.engine = new Engine(target.url, "{}", this.db.contract);
    await this.engine.connect("check", false, 0);
  }
  async close() {
    await this.engine.close();
    await super.close();
  }
  json(limit) {
    return this.resources.findJson({}, { sort: "-created_at", limit });
  }
  buffer(limit) {
    return this.engine.call("resources", "find", `{"sort":["-created_at"],"limit":${limit}}`, null, true);
  }
  rowsOf(text) {
    return JSON.parse(text, untagged);
  }
}

const BACKENDS = ["sqlite", "postgres", "mysql", "mongodb"];
export const adapters = [FarmDb, FarmDbJson].flatMap((Kind) => BACKENDS.map((backend) => new Kind(backend)));
