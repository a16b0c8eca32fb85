/** The process: signals, streams and the exit code. */
import { EXIT } from "./failure.js";
import { clearProgress } from "./output/output.js";
import { run } from "./program.js";

// A command only reads, so there is nothing to finish first.
const leave = (code: number) => () => {
  clearProgress();
  process.exit(code);
};
process.on("SIGINT", leave(EXIT.interrupted));
process.on("SIGTERM", leave(143));
// The reader went away, as in `farm db stats | head -1`.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(EXIT.ok);
  throw error;
});

// Not `process.exit`: what is written to a pipe must arrive first.
process.exitCode = await run(process.argv);
