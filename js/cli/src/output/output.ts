/** Where a command writes: data to stdout, messages to stderr, one object where `--json` is given. */
import type { Failure, FailureReport } from "../failure.js";
import { redact } from "./redact.js";
import { hasColor, type Style, styleFor } from "./style.js";

/** What the user asked of the output. */
export interface OutputOptions {
  json?: boolean;
  quiet?: boolean;
  color?: boolean;
}

/** A block of aligned lines under a title. */
export interface Section {
  title?: string;
  rows: readonly (readonly [label: string, value: string])[];
  /** Aligns the values to the right, for numbers. */
  numeric?: boolean;
}

/** The line of progress on the terminal, of which there is one. */
let progressLine = "";

/** Wipes the line of progress. */
export function clearProgress(): void {
  if (progressLine !== "") process.stderr.write("\r\u001b[K");
  progressLine = "";
}

/** The output of one command. */
export class Output {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly style: Style;
  readonly #messages: Style;

  constructor(options: OutputOptions) {
    this.json = options.json === true;
    this.quiet = options.quiet === true;
    this.style = styleFor(hasColor(process.stdout, options.color !== false));
    this.#messages = styleFor(hasColor(process.stderr, options.color !== false));
  }

  /** The result: `data` as one JSON object, or what `show` makes of it for people. `--quiet` shows people nothing. */
  result(data: Record<string, unknown>, show: () => string): void {
    clearProgress();
    if (this.json) process.stdout.write(`${JSON.stringify({ ok: true, ...data }, exact)}\n`);
    else if (!this.quiet) process.stdout.write(`${show()}\n`);
  }

  /** The failure, on stdout only as JSON. */
  failure(failure: Failure): void {
    clearProgress();
    const texts = Object.entries(failure.report).map(([name, text]) => [name, redact(text)]);
    const report: FailureReport = Object.fromEntries(texts);
    if (this.json) {
      process.stdout.write(`${JSON.stringify({ ok: false, error: report })}\n`);
      return;
    }
    const { red, bold, dim } = this.#messages;
    const lines = [`${red("✘")} ${bold(report.message)} ${dim(`[${report.code}]`)}`];
    if (report.why !== undefined) lines.push(`  ${dim("why:")} ${report.why}`);
    if (report.fix !== undefined) lines.push(`  ${dim("fix:")} ${report.fix}`);
    process.stderr.write(`${lines.join("\n")}\n`);
  }

  /** Shows what is going on, in one line that the next one overwrites; only on a terminal. */
  progress(message: string): void {
    if (this.quiet || this.json || process.stderr.isTTY !== true) return;
    clearProgress();
    process.stderr.write(this.#messages.dim(message));
    progressLine = message;
  }

  /** Sections as aligned text. */
  sections(sections: readonly Section[]): string {
    const shown = sections.filter(({ rows }) => rows.length > 0);
    const width = Math.max(...shown.flatMap(({ rows }) => rows.map(([label]) => label.length)));
    return shown.map((section) => this.#section(section, width)).join("\n\n");
  }

  #section({ title, rows, numeric }: Section, width: number): string {
    const widest = numeric ? Math.max(...rows.map(([, value]) => value.length)) : 0;
    const lines = rows.map(([label, value]) => {
      return `  ${this.style.dim(label.padEnd(width))}  ${numeric ? value.padStart(widest) : value}`.trimEnd();
    });
    return (title === undefined ? lines : [this.style.bold(title), ...lines]).join("\n");
  }
}

/** Integers beyond the safe ones as text; everything else as it is. */
function exact(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
