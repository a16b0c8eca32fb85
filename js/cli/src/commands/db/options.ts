/** The options that every `farm db` command has. Apart from the commands, so that help loads nothing else. */
import type { Command } from "commander";
import type { TargetOptions } from "../../config/resolve.js";
import type { OutputOptions } from "../../output/output.js";

/** What commander makes of them. */
export type CommonOptions = TargetOptions & OutputOptions;

/** Adds the options that every command has. */
export function withCommonOptions(command: Command): Command {
  return command
    .option("--url <url>", "the database, such as sqlite:///app.db (default: DATABASE_URL, .env, farm.config.ts)")
    .option("--config <file>", "the configuration file (default: farm.config.ts)")
    .option("--env-file <file>", "the file of variables (default: .env); real variables win")
    .option("--json", "print one JSON object")
    .option("-q, --quiet", "print errors only")
    .option("--no-color", "print without colours");
}
