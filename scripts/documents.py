"""Writes the tables of docs/backends.md, docs/errors.md and docs/configuration.md from the core's own tables.

`--check` writes nothing and fails where they differ. The tables stand between `<!-- begin NAME -->` and
`<!-- end NAME -->`; everything around them is written by hand.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "core" / "src"
ERRORS = CORE / "error" / "mod.rs"
OPTIONS = CORE / "config" / "option_table.rs"
BACKENDS = {
    "ALL": "every",
    "SQL": "SQLite, PostgreSQL, MySQL",
    "SQLITE": "SQLite",
    "SERVERS": "PostgreSQL, MySQL, MongoDB",
    "SQL_SERVERS": "PostgreSQL, MySQL",
    "POSTGRES": "PostgreSQL",
    "MYSQL": "MySQL",
    "MONGODB": "MongoDB",
}
TITLES = {
    "every": "Every database",
    "pool": "The pool",
    "SQLite, PostgreSQL, MySQL": "SQL",
    "SQLite": "SQLite",
    "PostgreSQL, MySQL, MongoDB": "Servers",
    "PostgreSQL, MySQL": "SQL servers",
    "PostgreSQL": "PostgreSQL",
    "MySQL": "MySQL and MariaDB",
    "MongoDB": "MongoDB",
}

Row = list[str]


def table(head: Row, rows: list[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def errors() -> str:
    """The table of errors."""
    entry = re.compile(r'^    (\w+), "(\w+)", (true|false), (\d+), "([^"]*)";$', re.MULTILINE)
    rows = [
        [f"`{code}`", f"`{name}Error`", "yes" if retryable == "true" else "no", status, meaning]
        for name, code, retryable, status, meaning in entry.findall(ERRORS.read_text())
    ]
    return table(["code", "Python", "retryable", "HTTP", "meaning"], rows)


def kind(text: str) -> str:
    """What an option takes, in words."""
    if text == "Kind::Truth":
        return "true or false"
    if text in ("Kind::Text", "Kind::Secret"):
        return "text"
    if text == "Kind::Texts":
        return "texts"
    if text == "Kind::Urls":
        return "urls"
    if text.startswith(("Kind::Choice", "Kind::Mode")):
        return ", ".join(f"`{word}`" for word in re.findall(r'"([^"]+)"', text.split("yes:")[0]))
    if text.startswith(("count", "Kind::Count")):
        return "number" + (", -1 for no limit" if "unlimited: true" in text else "")
    return "time" + (", 0 for none" if "optional_span" in text or "unlimited: true" in text else "")


def options() -> str:
    """The tables of options, one a kind of database."""
    entry = re.compile(
        r'^    (known\((\w+), |pool\()"(\w+)", &\[([^\]]*)\], (.+), "([^"]*)"\),$',
        re.MULTILINE,
    )
    groups: dict[str, list[Row]] = {}
    for call, backends, name, aliases, takes, meaning in entry.findall(OPTIONS.read_text()):
        group = "pool" if call.startswith("pool") else BACKENDS[backends]
        others = ", ".join(f"`{alias}`" for alias in re.findall(r'"(\w+)"', aliases))
        groups.setdefault(group, []).append([f"`{name}`", others, kind(takes), meaning.replace("`", "")])
    listed = sum(map(len, groups.values()))
    written = len(re.findall(r"^    (?:known|pool)\(", OPTIONS.read_text().split("pub const OPTIONS")[1], re.MULTILINE))
    if listed != written:
        raise SystemExit(f"error: {written} options are in {OPTIONS.name}, {listed} could be read")
    head = ["option", "also", "takes", "meaning"]
    return "\n\n".join(f"### {TITLES[group]}\n\n{table(head, rows)}" for group, rows in groups.items())


def backends() -> str:
    """What each backend declares, one line a fact."""
    facts = re.findall(
        r"^    /// (.+)\n    (\w+): \w+,$", (CORE / "backend" / "capabilities.rs").read_text(), re.MULTILINE
    )
    declared = {
        folder.name: dict(
            re.findall(
                r"^    (\w+): ([\w:]+),$",
                (folder / "mod.rs").read_text().split("Capabilities = Capabilities {")[1].split("};")[0],
                re.MULTILINE,
            )
        )
        for folder in sorted((CORE / "backends").iterdir())
        if folder.is_dir() and "Capabilities = Capabilities {" in (folder / "mod.rs").read_text()
    }
    word = {"true": "yes", "false": "no", "i64::MAX": "no limit"}
    rows = [
        [f"`{name}`", *(word.get(own[name], own[name].replace("_", " ")) for own in declared.values()), meaning]
        for meaning, name in facts
    ]
    return table(["fact", *declared, "meaning"], rows)


PARTS = {
    "docs/backends.md": {"capabilities": backends},
    "docs/errors.md": {"errors": errors},
    "docs/configuration.md": {"options": options},
}


def rendered(path: Path, parts: dict[str, str]) -> str:
    text = path.read_text()
    for name, content in parts.items():
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        text, found = pattern.subn(lambda match, content=content: f"{match[1]}{content}\n{match[2]}", text)
        if found != 1:
            raise SystemExit(f"error: {path} has {found} places for {name}")
    return text


def outdated(write: bool) -> list[str]:
    """The documents that differ from the core's tables; with `write` they are corrected."""
    found = []
    for name, parts in PARTS.items():
        path = ROOT / name
        text = rendered(path, {part: make() for part, make in parts.items()})
        if text != path.read_text():
            found.append(name)
            if write:
                path.write_text(text)
    return found


def main() -> int:
    check = "--check" in sys.argv[1:]
    for name in outdated(write=not check):
        print(f"{name} {'is out of date: python3 scripts/documents.py' if check else 'written'}")
        if check:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
