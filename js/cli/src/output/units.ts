/** Numbers as people read them. */

const group = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });

/** `12,345` */
export function count(value: unknown): string {
  return typeof value === "number" || typeof value === "bigint" ? group.format(value) : String(value ?? "-");
}

/** `1 row`, `2 rows` */
export function counted(value: unknown, one: string, many = `${one}s`): string {
  return `${count(value)} ${Number(value) === 1 ? one : many}`;
}

/** `4.1 MiB` */
export function bytes(value: unknown): string {
  let amount = Number(value ?? 0);
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (Math.abs(amount) >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${group.format(amount)} ${units[unit]}`;
}

/** `850 µs`, `1.2 ms`, `3 s`, from milliseconds. */
export function milliseconds(value: number): string {
  if (value < 1) return `${Math.round(value * 1000)} µs`;
  if (value < 1000) return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  return duration(value / 1000);
}

/** `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`, from seconds. */
export function duration(seconds: number): string {
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [Math.floor(seconds) % 60, "s"],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first === -1) return seconds === 0 ? "0 s" : `${seconds.toFixed(1)} s`;
  const shown = parts.slice(first, first + 2).filter(([amount]) => amount > 0);
  return shown.map(([amount, unit]) => `${amount} ${unit}`).join(" ");
}

/** Reads `60s`, `500ms`, `2m`, `1h`, or a number of seconds, as milliseconds; `undefined` where it is none of these. */
export function readDuration(text: string): number | undefined {
  const parts = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text.trim());
  if (parts === null) return undefined;
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[parts[2] ?? "s"]!;
  return Number(parts[1]) * unit;
}
