"""Fuzzes the core, guided by coverage: `python3 scripts/fuzz.py --seconds 300 filter update`, or `make fuzz`.

The targets are those of cargo-fuzz (`core/fuzz`), and `cargo fuzz run filter` in `core/` runs one on nightly Rust with
a sanitizer. This needs neither: libFuzzer's coverage is a matter of flags that stable Rust has, and what a sanitizer
finds is for `unsafe`, of which the core has next to none. What is learned is kept in `.work/fuzz`; an input that breaks
something is kept in `core/fuzz/artifacts` and shown, and belongs into `core/fuzz/seeds` once it is mended.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import toolchain
from workspace import ROOT, WORK, Failure, run, say, triple

CRATE = ROOT / "core" / "fuzz"
TARGETS = sorted(path.stem for path in (CRATE / "fuzz_targets").glob("*.rs"))
#: As cargo-fuzz sets them.
FLAGS = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Ccodegen-units=1",
]
#: Seconds and megabytes that one input may take.
TIMEOUT, MEMORY = 2, 1024


def build() -> Path:
    """The folder of the built targets."""
    toolchain.check("rust")
    toolchain.check("c++")
    folder = ROOT / "target" / "fuzz"
    say("rust: building the fuzz targets (some minutes the first time)")
    command = ["cargo", "build", "--release", "--locked", "--target", triple(), "--target-dir", folder]
    run(*command, "--manifest-path", CRATE / "Cargo.toml", env={"RUSTFLAGS": " ".join(FLAGS)}, quiet=True)
    return folder / triple() / "release"


def fuzz(binary: Path, seconds: int) -> str:
    """Runs a target; one line about it.

    Raises:
        Failure: if an input broke something.
    """
    name = binary.name
    learned, broken = WORK / "fuzz" / name, CRATE / "artifacts" / name
    for folder in (learned, broken):
        folder.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={seconds}", f"-timeout={TIMEOUT}", f"-rss_limit_mb={MEMORY}", "-max_len=4096"]
    options = [*limits, f"-artifact_prefix={broken}/", f"-dict={CRATE / 'words.dict'}", "-print_final_stats=1"]
    command = [str(binary), *options, str(learned), str(CRATE / "seeds" / name)]
    done = subprocess.run(command, cwd=CRATE, stdin=subprocess.DEVNULL, capture_output=True)
    told = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        raise Failure(f"{name}: {told[-6000:]}")
    stats = dict(re.findall(r"^stat::(\w+):\s+(\d+)", told, re.MULTILINE))
    rate, executed, memory = (stats[key] for key in ("average_exec_per_sec", "number_of_executed_units", "peak_rss_mb"))
    covered = re.findall(r"cov: (\d+)", told)
    return f"{name:9} {executed:>9} inputs, {rate:>7} a second, {covered[-1]:>6} edges, {memory:>4} MB at most"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(TARGETS))
    arguments = parser.parse_args()
    chosen = arguments.targets or TARGETS
    if unknown := [name for name in chosen if name not in TARGETS]:
        parser.error(f"unknown target {unknown[0]}; known are {', '.join(TARGETS)}")
    try:
        folder = build()
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 3
    broken = 0
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as workers:
        for running in [workers.submit(fuzz, folder / name, arguments.seconds) for name in chosen]:
            try:
                print(running.result(), flush=True)
            except Failure as failure:
                print(failure, flush=True)
                broken += 1
    print(f"{len(chosen) - broken} targets held, {broken} did not")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
