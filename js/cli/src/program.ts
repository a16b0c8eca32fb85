/** The command line: what it understands, and how it ends. */
import { createRequire } from "node:module";
import { Command, CommanderError } from "commander";
import { databaseCommand } from "./commands/db/index.js";
import { EXIT, type ExitCode, Failure } from "./failure.js";
import { Output } from "./output/output.js";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

const EXIT_CODES = `
Exit codes:
  0    done
  1    failed
  2    wrong usage, or something that the command relies on is missing
  130  interrupted`;

/** The `farm` command. */
function program(): Command {
  const farm = new Command("farm")
    .description("The command line of FARM apps")
    .version(version, "-V, --version", "print the version")
    .addCommand(databaseCommand())
    .addHelpText("after", EXIT_CODES);
  for (const command of descendants(farm)) configure(command);
  return farm;
}

function descendants(command: Command): Command[] {
  return [command, ...command.commands.flatMap(descendants)];
}

function configure(command: Command): void {
  command.exitOverride().helpOption("-h, --help", "show help").helpCommand(false).showSuggestionAfterError();
  // Errors are shown by `run`, in the one form that all errors have.
  command.configureOutput({ outputError: () => undefined });
  // A group without a subcommand shows what there is; what is not there is an error.
  if (command.commands.length > 0) {
    command.action((_options, self: Command) => {
      const [unknown] = self.args;
      if (unknown === undefined) self.outputHelp();
      else self.error(`unknown command '${unknown}'`, { code: "commander.unknownCommand" });
    });
    command.allowExcessArguments(true).allowUnknownOption(true);
  }
}

/** Runs the command line; the exit code. */
export async function run(argv: readonly string[]): Promise<ExitCode> {
  try {
    await program().parseAsync([...argv]);
    return EXIT.ok;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
    const failure = error instanceof CommanderError ? fromCommander(error) : Failure.from(error);
    const json = argv.includes("--json");
    new Output({ json, color: !argv.includes("--no-color") }).failure(failure);
    return failure.exit;
  }
}

function fromCommander(error: CommanderError): Failure {
  // What was typed in a wrong place may be a URL, with its password.
  const told = /:\/\/|@/.test(error.message) ? error.message.replace(/'.*'/s, "'***'") : error.message;
  const [message = "", hint] = told.replace(/^error: /, "").split("\n");
  const fix = hint === undefined ? "farm db --help shows what there is" : hint.replace(/[()]/g, "").toLowerCase();
  return Failure.usage("usage", message, { fix });
}
