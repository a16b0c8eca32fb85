// MongoDB's own driver, plain documents.
import { MongoClient } from "mongodb";

const row = (found) => {
  if (!found) return found;
  const { _id, ...rest } = found;
  return { id: _id, ...rest };
};
const document = ({ id, ...rest }) => ({ _id: id, ...rest });
// What farm_db's transactions promise, and MongoDB's manual advises: most members have what was committed.
const promise = { readConcern: { level: "snapshot" }, writeConcern: { w: "majority" } };

class Mongodb {
  name = "mongodb";
  backend = "mongodb";
  note = "plain documents; createMany = insertMany";

  async open(target, pool) {
    this.client = await MongoClient.connect(target.url, { maxPoolSize: pool });
    this.resources = this.client.db(target.database).collection("resources");
    this.users = this.client.db(target.database).collection("users");
  }
  close() {
    return this.client.close();
  }
  async get(id) {
    return row(await this.resources.findOne({ _id: id }));
  }
  async find(limit, active, minRating) {
    const where = active === undefined ? {} : { active, rating: { $gte: minRating } };
    return (await this.resources.find(where).sort({ created_at: -1 }).limit(limit).toArray()).map(row);
  }
  insert(one) {
    return this.resources.insertOne(document(one));
  }
  createMany(rows) {
    return this.resources.insertMany(rows.map(document), { ordered: false });
  }
  update(id, changes) {
    return this.resources.updateOne({ _id: id }, { $set: changes });
  }
  transaction(id, changes) {
    return this.client.withSession((session) =>
      session.withTransaction(async () => {
        const found = row(await this.resources.findOne({ _id: id }, { session }));
        await this.resources.updateOne({ _id: id }, { $set: changes }, { session });
        return found;
      }, promise),
    );
  }
  insertUser(one) {
    return this.users.insertOne(document(one));
  }
}

export const adapters = [new Mongodb()];
