/** `farm db`. A command's code is loaded when it runs. */
import { Command } from "commander";
import { withCommonOptions } from "./options.js";

const common = (name: string, description: string) => withCommonOptions(new Command(name).description(description));

/** The command with its subcommands. */
export function databaseCommand(): Command {
  const db = new Command("db").description("look at the database of the app");
  db.addCommand(
    common("connect", "test the connection")
      .option("--wait", "wait until the database answers")
      .option("--wait-timeout <span>", "how long to wait", "60s")
      .action(async (options) => (await import("./connect.js")).connect(options)),
  );
  db.addCommand(
    common("status", "show health, contract and contents").action(async (options) =>
      (await import("./status.js")).status(options),
    ),
  );
  db.addCommand(
    common("info", "show what is configured, without connecting").action(async (options) =>
      (await import("./info.js")).info(options),
    ),
  );
  db.addCommand(
    common("stats", "show sizes and counts").action(async (options) => (await import("./stats.js")).stats(options)),
  );
  db.addCommand(
    common("health", "run the health checks").action(async (options) => (await import("./health.js")).health(options)),
  );
  return db;
}
