// ES modules get the same objects as CommonJS: one copy of the classes, so `instanceof` holds everywhere.
export * from "./index.js";
