// Mongoose: hydrated documents, and plain objects by `lean()`.
import mongoose from "mongoose";

// As in mongodb.mjs.
const promise = { readConcern: { level: "snapshot" }, writeConcern: { w: "majority" } };
const withId = (_, { _id, ...rest }) => ({ id: _id, ...rest });
const options = { versionKey: false, autoIndex: false, autoCreate: false, toJSON: { transform: withId } };
const resourceSchema = new mongoose.Schema(
  {
    _id: String,
    name: String,
    description: String,
    dependencies: [String],
    tags: [String],
    metadata: mongoose.Schema.Types.Mixed,
    rating: Number,
    active: Boolean,
    created_at: Date,
    updated_at: Date,
  },
  { ...options, collection: "resources" },
);
const userSchema = new mongoose.Schema(
  { _id: Number, email: String, name: String, active: Boolean, created_at: Date },
  { ...options, collection: "users" },
);
// Its documents have `id` by themselves.
const row = (found) => found && withId(found, found);
const document = ({ id, ...rest }) => ({ _id: id, ...rest });

class Mongoose {
  name = "mongoose";
  backend = "mongodb";
  note = "hydrated documents; createMany = insertMany";

  async open(target, pool) {
    this.connection = await mongoose.createConnection(target.url, { maxPoolSize: pool }).asPromise();
    this.Resource = this.connection.model("resources", resourceSchema);
    this.User = this.connection.model("users", userSchema);
  }
  close() {
    return this.connection.close();
  }
  get(id) {
    return this.Resource.findById(id).exec();
  }
  find(limit, active, minRating) {
    const where = active === undefined ? {} : { active, rating: { $gte: minRating } };
    return this.Resource.find(where).sort({ created_at: -1 }).limit(limit).exec();
  }
  insert(one) {
    return this.Resource.create(document(one));
  }
  createMany(rows) {
    return this.Resource.insertMany(rows.map(document), { ordered: false });
  }
  update(id, changes) {
    return this.Resource.updateOne({ _id: id }, { $set: changes }).exec();
  }
  transaction(id, changes) {
    return this.connection.transaction(async (session) => {
      const found = await this.Resource.findById(id).session(session).exec();
      await this.Resource.updateOne({ _id: id }, { $set: changes }).session(session).exec();
      return found;
    }, promise);
  }
  insertUser(one) {
    return this.User.create(document(one));
  }
}

class Lean extends Mongoose {
  name = "mongoose-lean";
  note = "as mongoose, reads by lean(): plain objects";
  groups = ["get", "find", "objects", "json"];

  async get(id) {
    return row(await this.Resource.findById(id).lean().exec());
  }
  async find(limit, active, minRating) {
    const where = active === undefined ? {} : { active, rating: { $gte: minRating } };
    return (await this.Resource.find(where).sort({ created_at: -1 }).limit(limit).lean().exec()).map(row);
  }
}

export const adapters = [new Mongoose(), new Lean()];
