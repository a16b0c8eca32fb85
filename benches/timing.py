"""Timed windows, and what a process needs while they last."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any


async def closed_loop(op: Callable[[int], Awaitable[Any]], concurrency: int, seconds: float) -> dict[str, Any]:
    """`concurrency` tasks call `op(i)` back to back until the time is up.

    `least_share` is what the unluckiest task got of an even share; near 0, it was starved.
    """
    counter = itertools.count()
    clock = time.perf_counter
    latencies: list[float] = []
    shares: list[int] = []
    gc.collect()
    processor, began = time.process_time(), clock()
    end = began + seconds

    async def one() -> None:
        done = 0
        while True:
            called = clock()
            if called >= end and latencies:
                shares.append(done)
                return
            await op(next(counter))
            latencies.append(clock() - called)
            done += 1

    if concurrency == 1:
        await one()
    else:
        await asyncio.gather(*(one() for _ in range(concurrency)))
    elapsed, processor = clock() - began, time.process_time() - processor
    count = len(latencies)
    latencies.sort()
    return {
        "ops": count,
        "seconds": elapsed,
        "rate": count / elapsed,
        "cpu_us": processor / count * 1e6,
        "p50_us": latencies[count // 2] * 1e6,
        "p99_us": latencies[min(count - 1, int(count * 0.99))] * 1e6,
        "max_us": latencies[-1] * 1e6,
        "least_share": min(shares) / (count / concurrency),
    }


class Span:
    """Wall and processor time of a block."""

    def __enter__(self) -> Span:
        gc.collect()
        self.processor, self.began = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds, self.processor = time.perf_counter() - self.began, time.process_time() - self.processor

    def of(self, count: int) -> dict[str, Any]:
        """The figures of `count` operations."""
        return {
            "ops": count,
            "seconds": self.seconds,
            "rate": count / self.seconds,
            "cpu_us": self.processor / count * 1e6,
        }


def memory(field: str) -> float:
    """VmRSS or VmHWM (the peak) of this process in MiB; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    return 0.0


def reset_peak() -> None:
    """Lets VmHWM begin anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
