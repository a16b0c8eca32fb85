// The same file from Node: a country and its neighbours, as one line of JSON. `node neighbours.mjs URL CODE`
import { Database, defineModel, f, modelsFromContract } from "@farm/db-native";

const [url, code] = process.argv.slice(2);

// The models need not be written twice: Python stored its contract in the file.
const reader = await Database.connect(url, { contract: "off" });
const [Country] = Object.values(modelsFromContract(await reader.storedContract()));
await reader.close();

const db = await Database.connect(url, { models: [Country] });
const countries = db.repository(Country);
const country = await countries.get(code);
const neighbours = await countries.find({ cca3: { $in: country.borders } }, { sort: ["-area"] });
console.log(
  JSON.stringify({
    hash: db.contractHash,
    name: country.name.common,
    currencies: Object.keys(country.currencies),
    created: country.created_at instanceof Date,
    neighbours: neighbours.map((one) => one.name.common),
  }),
);
await db.close();
