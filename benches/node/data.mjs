// The same rows as ../data.py.
import { createHash } from "node:crypto";

export const EPOCH = Date.UTC(2025, 0, 1);
const WORDS = (
  "able acid aged also area army away baby back ball band bank base bath bear beat " +
  "bell best bird blue boat body bond bone book born both bowl bulk burn bush busy " +
  "call calm came camp card care case cash cast cell chat chip city club coal coat " +
  "code cold come cook cool cope copy core cost crew crop dark data date dawn days"
).split(" ");
const REGIONS = ["eu-north-1", "eu-west-1", "us-east-1", "us-west-2", "ap-south-1", "sa-east-1"];
export const FIELDS = [
  "id", "name", "description", "dependencies", "tags", "metadata", "rating", "active", "created_at", "updated_at",
];

export function resourceId(n) {
  const h = createHash("md5").update(`r${n}`).digest("hex");
  return [h.slice(0, 8), h.slice(8, 12), h.slice(12, 16), h.slice(16, 20), h.slice(20)].join("-");
}

export function resource(n) {
  const h = (Math.imul(n, 2654435761) + 12345) >>> 0;
  const created = EPOCH + n * 1500 + 7;
  return {
    id: resourceId(n),
    name: `resource-${String(n).padStart(6, "0")}`,
    description: Array.from({ length: 16 }, (_, j) => WORDS[((h >>> (j % 24)) + j * 7) % 64]).join(" "),
    dependencies: Array.from({ length: h % 5 }, (_, j) => `pkg-${((h >>> 3) + j * 7919) % 5000}`),
    tags: Array.from({ length: 1 + ((h >>> 8) % 5) }, (_, j) => WORDS[((h >>> 5) + j * 11) % 40]),
    metadata: {
      owner: `team-${h % 50}`,
      region: REGIONS[(h >>> 4) % 6],
      size: (h >>> 6) % 100000,
      flags: { beta: (h >>> 10) % 2 === 1, internal: (h >>> 11) % 3 === 0 },
      score: (((h >>> 7) % 1000) * 2 + 1) / 2000,
    },
    rating: (((h >>> 9) % 1000) * 2 + 1) / 400,
    active: (h >>> 12) % 10 < 7,
    created_at: new Date(created),
    updated_at: new Date(created + ((h >>> 2) % 86400000)),
  };
}

export function user(n) {
  const created_at = new Date(EPOCH + n * 1000);
  return { id: n, email: `user${n}@example.org`, name: `User ${n}`, active: n % 3 !== 0, created_at };
}

/** A row as JSON for the runner's check; throws where a type was lost on the way. */
export function canonical(row) {
  const out = {};
  for (const field of FIELDS) {
    let value = row[field];
    const is = (held) => {
      if (!held) throw new Error(`${field} is ${typeof value}`);
    };
    if (field === "created_at" || field === "updated_at") {
      is(value instanceof Date);
      value = value.toISOString();
    } else if (field === "dependencies" || field === "tags") {
      is(Array.isArray(value));
    } else if (field === "metadata") {
      is(value !== null && typeof value === "object");
    } else if (field === "active") {
      is(typeof value === "boolean");
    }
    out[field] = value;
  }
  return out;
}
