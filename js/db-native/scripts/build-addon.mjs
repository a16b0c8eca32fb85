// Builds the addon with cargo and puts it into the platform's package: `node build-addon.mjs [--release]`.
// A script of our own instead of @napi-rs/cli: one build and one copy are all that is needed.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, renameSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const PLATFORMS = {
  "linux-x64": { triple: "x86_64-unknown-linux-gnu", folder: "linux-x64-gnu", library: "libfarm_db_node.so" },
};

const platform = PLATFORMS[`${process.platform}-${process.arch}`];
if (platform === undefined) throw new Error(`no package for ${process.platform}-${process.arch} yet`);

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
const release = process.argv.includes("--release");
const args = ["build", "-p", "farm-db-node", "--target", platform.triple, ...(release ? ["--release"] : [])];
const { status } = spawnSync("cargo", args, { cwd: root, stdio: "inherit" });
if (status !== 0) process.exit(status ?? 1);

const target = resolve(root, process.env.CARGO_TARGET_DIR ?? "target");
const built = join(target, platform.triple, release ? "release" : "debug", platform.library);
const folder = join(root, "js", "db-native", "npm", platform.folder);
if (!existsSync(built)) throw new Error(`cargo did not write ${built}`);
// Renamed into place: overwriting a library that a process has loaded would crash that process.
copyFileSync(built, join(folder, "farm-db.node.new"));
renameSync(join(folder, "farm-db.node.new"), join(folder, "farm-db.node"));
console.log(`${join(folder, "farm-db.node")} (${release ? "release" : "dev"})`);
