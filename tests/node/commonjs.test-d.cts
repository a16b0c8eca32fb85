// The types as CommonJS sees them; checked by `tsc -p tests/node/tsconfig.json`, never run.
import native = require("@farm/db-native");
import types = require("@farm/types");

const Note = native.defineModel("notes", { id: native.f.int().primaryKey().autoIncrement(), text: native.f.string() });
export const text = async (db: native.Database): Promise<string> => (await db.repository(Note).get(1)).text;
export const config: types.FarmConfig = types.defineConfig({ database: { type: "sqlite", url: "sqlite:///app.db" } });
// @ts-expect-error no such kind of database
types.defineConfig({ database: { type: "oracle" } });
