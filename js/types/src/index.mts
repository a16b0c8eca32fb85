// ES modules get the same objects as CommonJS.
export * from "./index.js";
