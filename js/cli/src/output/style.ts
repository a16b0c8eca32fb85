/** Colours, a stream at a time (https://no-color.org). */
import type { WriteStream } from "node:tty";

type Paint = (text: string) => string;
/** What text can look like. */
export type Style = Record<"bold" | "dim" | "red" | "green" | "yellow" | "cyan", Paint>;

const CODES: Record<keyof Style, [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

/** Whether `stream` takes colours. */
export function hasColor(stream: Pick<WriteStream, "isTTY">, allowed: boolean, env = process.env): boolean {
  if (!allowed || env["NO_COLOR"]) return false;
  const forced = env["FORCE_COLOR"];
  if (forced !== undefined && forced !== "") return forced !== "0" && forced !== "false";
  return stream.isTTY === true && env["TERM"] !== "dumb";
}

/** The paints of a stream. */
export function styleFor(enabled: boolean): Style {
  const paint =
    ([on, off]: [number, number]): Paint =>
    (text) =>
      enabled ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  return Object.fromEntries(Object.entries(CODES).map(([name, codes]) => [name, paint(codes)])) as Style;
}
