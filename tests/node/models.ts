import { defineModel, f, type Infer, type InferInput } from "@farm/db-native";

/** A model with every kind of field; attributes and stored names differ in places. */
export const Everything = defineModel(
  "everything",
  {
    id: f.uuid().primaryKey().generated(),
    name: f.string({ maxLength: 100 }).index(),
    status: f.enum(["draft", "live"]).default("draft"),
    count: f.int().default(0),
    big: f.bigint().nullable(),
    rating: f.float({ min: 0, max: 5 }).nullable(),
    price: f.decimal().digits(10, 2).nullable(),
    isOpen: f.bool().column("is_open").default(true),
    owner: f.objectId().nullable(),
    at: f.datetime().nullable(),
    day: f.date().nullable(),
    clock: f.time().nullable(),
    data: f.bytes().nullable(),
    free: f.json().nullable(),
    tags: f.list(f.string()).default([]),
    scores: f.map(f.int()).default({}),
    profile: f
      .object({
        city: f.string().nullable(),
        zipCode: f.string().column("zip").nullable(),
        visits: f.list(f.object({ at: f.datetime(), placeName: f.string().column("place") })).default([]),
      })
      .nullable(),
    createdAt: f.datetime().column("created_at").createdAt(),
    updatedAt: f.datetime().column("updated_at").updatedAt(),
    version: f.int().version(),
  },
  { indexes: [{ fields: ["name", "-createdAt"] }, { fields: ["profile.zipCode"] }] },
);
export type Everything = Infer<typeof Everything>;
export type EverythingInput = InferInput<typeof Everything>;

/** A composite key. */
export const Membership = defineModel("memberships", {
  userId: f.int().column("user_id").primaryKey(),
  groupId: f.int().column("group_id").primaryKey(),
  role: f.string().default("member"),
});

/** Soft delete. */
export const Note = defineModel("notes", {
  id: f.int().primaryKey().autoIncrement(),
  text: f.string().unique(),
  deletedAt: f.datetime().column("deleted_at").deletedAt(),
});
