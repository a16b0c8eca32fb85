/** `farm db info`: what is configured, without connecting. */
import { flatten } from "../../config/core-options.js";
import type { Section } from "../../output/output.js";
import { count } from "../../output/units.js";
import { prepare } from "./open.js";
import type { CommonOptions } from "./options.js";

/** Runs the command. */
export async function info(options: CommonOptions): Promise<void> {
  const { output, target } = await prepare(options);
  const { backend, url, capabilities } = target.prepare();
  const given = flatten(target.options);
  const data = {
    backend,
    url,
    source: target.source,
    config_file: target.configFile ?? null,
    capabilities,
    options: Object.fromEntries(given),
  };
  output.result(data, () => {
    const { green, dim } = output.style;
    const shown = (value: unknown) =>
      typeof value === "boolean" ? (value ? green("✔ yes") : dim("– no")) : count(value);
    const sections: Section[] = [
      {
        title: "Database",
        rows: [
          ["backend", backend],
          ["url", url],
          ["from", target.source],
          ["configuration", target.configFile ?? "none"],
        ],
      },
      { title: "Options", rows: given },
      {
        title: "Capabilities",
        rows: Object.entries(capabilities).map(([name, value]) => [name.replaceAll("_", " "), shown(value)]),
      },
    ];
    return output.sections(sections);
  });
}
