"""The run: who takes part, whether their answers are equal, and the rounds in which they are timed.

Every contender has a process of its own, started once. In each repetition all of them run once and the order turns, so
that a drift of the machine hits all alike.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from farm_db import FarmDbError

from . import expected
from .backends import Unavailable, find
from .contract import Target
from .data import canonical, digest, resource
from .expected import WRITE_BASE
from .processes import Contender, Failed, contenders
from .serving import measure_http
from .workloads import STREAM, WORKLOADS, Workload

BACKENDS = ("sqlite", "postgres", "mysql", "mongodb")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Run:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.started = time.time()
        #: What others do on this machine is in every figure, and more in those of contenders with threads.
        self.load_before = os.getloadavg()[0]
        if self.load_before > 0.5:
            say(f"note: the machine is busy (load {self.load_before:.1f}): take the figures as a look only")
        found, self.missing = contenders(options.languages)
        self.contenders = [
            one for one in found if one.backend in options.backends and (not options.only or one.name in options.only)
        ]

        #: The versions of the databases that were measured.
        self.databases: dict[str, str] = {}

    def go(self) -> None:
        for name in self.options.backends:
            with tempfile.TemporaryDirectory(prefix="farm-db-bench-") as folder:
                try:
                    backend = Backend(self, name, Path(folder))
                except Unavailable as error:
                    self.missing[name] = str(error)
                    say(f"[{name}] is left out: {error}")
                    continue
                backend.go()


class Backend:
    """One database of the run."""

    def __init__(self, run: Run, name: str, folder: Path) -> None:
        self.options = run.options
        self.module = find(name)
        self.name = name
        self.all = [one for one in run.contenders if one.backend == name]
        self.reads: dict[str, Target] = {}
        self.writes: dict[str, Target] = {}
        for form in self.module.FORMS:
            self.reads[form] = self.module.place(folder, "read", form)
            self.writes[form] = self.module.place(folder, "write", form)
        run.databases[name] = self.module.version()

    def go(self) -> None:
        try:
            self.fill()
            try:
                self.start()
                self.check_reads()
                self.measure([one for one in WORKLOADS if not one.writes])
                if any(one.writes and one.group in self.options.groups for one in WORKLOADS):
                    self.check_writes()
                    self.measure([one for one in WORKLOADS if one.writes])
            finally:
                for one in self.all:
                    if one.process:
                        one.process.quit()
            if "stream" in self.options.groups:
                self.stream()
            if "http" in self.options.groups:
                measure_http(self, [one for one in self.all if one.language == "python" and one.takes("http")])
        finally:
            for target in (*self.reads.values(), *self.writes.values()):
                self.module.drop(target)

    # Taking part.

    def fill(self) -> None:
        """The databases in every form that somebody needs."""
        options = self.options
        began = time.monotonic()
        for form in dict.fromkeys(one.form for one in self.all):
            try:
                self.module.seed(self.reads[form], form, options.rows, options.users)
                self.module.create(self.writes[form], form)
            except FarmDbError as error:  # its tables are made by farm_db itself
                for one in self.all:
                    if one.form == form:
                        self.exclude(one, f"{type(error).__name__}: {error}", error.code)
        say(f"[{self.name}] {options.rows} resources, {options.users} users in {time.monotonic() - began:.1f} s")

    def start(self) -> None:
        for one in self.all:
            if one.excluded or (one.groups and not one.groups - {"http"}):
                continue
            one.process = one.start(self.options.verbose)
            try:
                one.call("open", target=self.reads[one.form].to_dict(), pool=self.options.pool)
            except Failed as error:
                self.exclude(one, str(error), error.code)

    def running(self) -> list[Contender]:
        return [one for one in self.all if one.process and one.process.alive and not one.excluded]

    def exclude(self, one: Contender, reason: str, code: str = "") -> None:
        """Takes a contender out, by name. What farm_db does not support yet is not an error of the run."""
        one.unavailable = code == "unsupported"
        one.excluded = reason
        what = "is not available" if one.unavailable else "takes no part"
        say(f"[{self.name}] {one.language} {one.name} {what}: {reason}")

    def check_reads(self) -> None:
        chance = random.Random(1)
        ids = [chance.randrange(self.options.rows) for _ in range(25)]
        wanted = expected.reads(self.options.rows, ids)
        for one in self.running():
            try:
                answer = one.call("check_reads", ids=ids)
                typed = one.language == "python"
                parts = {
                    part: digest(rows if typed else [canonical(row, typed=False) for row in rows])
                    for part, rows in answer["parts"].items()
                }
                wrong = [part for part, found in parts.items() if found != wanted[part]]
                if wrong:
                    raise Failed(f"unequal rows in {', '.join(wrong)}")
                one.notes.append(f"returns {answer['kind']}")
            except Exception as error:  # whatever is wrong with an answer, the others go on
                self.exclude(one, f"reads: {type(error).__name__}: {error}")

    def check_writes(self) -> None:
        wanted = expected.writes()
        writers = [one for one in self.running() if any(it.writes and one.takes(it.group) for it in WORKLOADS)]
        for one in writers:
            target = self.writes[one.form]
            try:
                self.module.reset(target, one.form, WRITE_BASE)
                one.call("open", target=target.to_dict(), pool=self.options.pool)
                answer = one.call("check_writes", base=WRITE_BASE)
                if digest(self.module.read_back(target)) != wanted:
                    raise Failed("the rows that it wrote differ")
                if not answer["duplicate"]:
                    raise Failed("it accepted a taken e-mail")
                one.notes.append(f"a duplicate is {answer['duplicate']}")
            except Exception as error:
                self.exclude(one, f"writes: {type(error).__name__}: {error}")

    # Rounds.

    def measure(self, workloads: list[Workload]) -> None:
        for workload in workloads:
            if workload.group in self.options.groups and not (workload.servers_only and self.name == "sqlite"):
                languages = [workload.language] if workload.language else self.options.languages
                who = [one for one in self.running() if one.takes(workload.group) and one.language in languages]
                self.rounds(workload.id, who, self.options.reps, self.window(workload))

    def window(self, workload: Workload) -> Callable[[Contender, int, float], dict[str, Any]]:
        def one_window(one: Contender, rep: int, seconds: float) -> dict[str, Any]:
            parameters = dict(workload.parameters)
            if workload.writes:
                self.module.reset(self.writes[one.form], one.form, WRITE_BASE)
                parameters["base"] = WRITE_BASE
            if workload.op == "get":
                parameters["rows"] = self.options.rows
            if workload.op in ("get", "update", "transaction"):
                parameters["seed"] = 100 + rep
            if workload.op != "create_many":
                parameters["seconds"] = seconds
            answer = one.call(workload.op, **parameters)
            if workload.op == "create_many":
                self.check_created(one, parameters["count"])
            return answer

        return one_window

    def check_created(self, one: Contender, count: int) -> None:
        rows = self.module.read_back(self.writes[one.form], WRITE_BASE)
        if len(rows) != count or rows[-1] != canonical(resource(WRITE_BASE + count - 1)):
            raise Failed(f"{len(rows)} rows were written, or the last one differs")

    def rounds(
        self,
        cell: str,
        who: list[Contender],
        reps: int,
        window: Callable[[Contender, int, float], dict[str, Any]],
        seconds: float | None = None,
    ) -> None:
        """Every repetition each contender once, after a warm-up that does not count."""
        if not who:
            return
        seconds = seconds or self.options.seconds
        live = list(who)
        # What is done once and takes long is not warmed up for a single look.
        slow = cell in ("create_10000", "find_10000") or cell.startswith("http")
        first = 0 if reps == 1 and slow else -1
        for rep in range(first, reps):
            turn = rep % len(live) if live else 0
            for one in live[turn:] + live[:turn]:
                try:
                    # V8 needs longer than CPython until it is warm.
                    warm_up = min(seconds, 0.5 if one.language == "node" else 0.15)
                    answer = window(one, rep, seconds if rep >= 0 else warm_up)
                except Exception as error:  # one contender's trouble must not end the run
                    one.failures[cell] = str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
                    one.cells.pop(cell, None)
                    live.remove(one)
                    say(f"  ! {one.language} {one.name}, {cell}: {one.failures[cell]}")
                    continue
                if rep >= 0:
                    one.cells.setdefault(cell, []).append(answer)
        rates = [
            f"{one.label} {statistics.median(rep['rate'] for rep in one.cells[cell]):.0f}"
            for one in who
            if one.cells.get(cell)
        ]
        say(f"[{cell}] {', '.join(rates)}")

    def stream(self) -> None:
        """Each in a fresh process, so that the growth of its memory can be seen."""
        users = self.options.users

        def window(one: Contender, rep: int, seconds: float) -> dict[str, Any]:
            if rep < 0:
                return {}
            process = one.start(self.options.verbose)
            try:
                process.call("open", target=self.reads[one.form].to_dict(), pool=2)
                answer = process.call("stream", timeout=200)
            finally:
                process.quit()
            if answer["ops"] != users or answer["sum"] != users * (users - 1) // 2:
                raise Failed(f"it streamed {answer['ops']} rows with the sum {answer['sum']}")
            return answer

        who = [one for one in self.all if one.language == "python" and one.takes("stream") and not one.excluded]
        self.rounds(STREAM.id, who, self.options.stream_reps, window)
