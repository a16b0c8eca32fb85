import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ["**/*.test.ts"],
    testTimeout: 30_000,
    // Two processes are enough for two cores, and each loads the addon once.
    pool: "forks",
    maxWorkers: 2,
    // For tests of what is collected.
    execArgv: ["--expose-gc"],
  },
});
