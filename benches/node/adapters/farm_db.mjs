// @farm/db-native: repositories of models. The contract is that of ../../adapters/farm.py and is checked on connect.
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

export const adapters = ["sqlite", "postgres", "mysql", "mongodb"].map((backend) => new FarmDb(backend));
