"""A TCP proxy that breaks its wires on command.

It runs on the loop of the test. What was done to a connection stays done: a connection that has lost bytes never
passes any again, even when the proxy is healed, because its two ends no longer agree.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

Direction = Literal["to_server", "to_client"]
DIRECTIONS: tuple[Direction, Direction] = ("to_server", "to_client")


@dataclass
class Rule:
    """What is waited for in the bytes of a direction, and what happens then.

    Attributes:
        pattern: Acts when these bytes pass; without it when `after` bytes have passed.
        after: How many bytes may still pass, over all connections.
        then: `"lose_answer"` passes the pattern on, waits until the server answers, swallows that and cuts: the server
            has done it, the client does not know. `"lose_request"` cuts before the pattern is passed on. `"cut"` passes
            and cuts.
        times: How often it acts; None for ever.
    """

    direction: Direction
    pattern: bytes = b""
    after: int = 0
    then: Literal["lose_answer", "lose_request", "cut"] = "cut"
    times: int | None = 1
    fired: int = 0

    @property
    def armed(self) -> bool:
        return self.times is None or self.fired < self.times


class Link:
    """One connection through the proxy: two transports, one a side."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        #: By the direction in which they are written to.
        self.ends: dict[Direction, asyncio.Transport] = {}
        self.early: list[bytes] = []
        #: The last bytes of each direction, where a pattern may have begun.
        self.tails: dict[Direction, bytes] = {"to_server": b"", "to_client": b""}
        self.swallows = proxy.swallows_new
        self.cuts_at_answer = False
        self.delayed: dict[Direction, asyncio.Queue[bytes | None]] = {}

    def received(self, direction: Direction, chunk: bytes) -> None:
        """Bytes on their way in a direction."""
        if self.swallows:
            return
        if self.cuts_at_answer and direction == "to_client":
            self.cut()
            return
        for rule in self.proxy.rules:
            if rule.direction == direction and rule.armed and self._applies(rule, direction, chunk):
                return
        self.tails[direction] = (self.tails[direction] + chunk)[-256:]
        self.pass_on(direction, chunk)

    def _applies(self, rule: Rule, direction: Direction, chunk: bytes) -> bool:
        """Whether the rule has taken care of the chunk."""
        if rule.pattern:
            tail = self.tails[direction][-(len(rule.pattern) - 1) :] if len(rule.pattern) > 1 else b""
            if rule.pattern not in tail + chunk:
                return False
        elif len(chunk) <= rule.after:
            rule.after -= len(chunk)
            return False
        rule.fired += 1
        if rule.then == "lose_answer":
            self.cuts_at_answer = True
            self.pass_on(direction, chunk)
        elif rule.then == "lose_request":
            self.cut()
        else:
            self.pass_on(direction, chunk if rule.pattern else chunk[: rule.after])
            self.close()
        return True

    def pass_on(self, direction: Direction, chunk: bytes) -> None:
        """Writes to the other side, after the proxy's delay."""
        if self.proxy.delay or direction in self.delayed:
            self._queue(direction).put_nowait(chunk)
        else:
            self._write(direction, chunk)

    def _write(self, direction: Direction, chunk: bytes) -> None:
        self.proxy.passed[direction] += len(chunk)
        if self.proxy.record is not None and direction == "to_client":
            self.proxy.record += chunk
        end = self.ends.get(direction)
        if end is None:
            self.early.append(chunk)
        elif not end.is_closing():
            end.write(chunk)

    def _queue(self, direction: Direction) -> asyncio.Queue[bytes | None]:
        if direction not in self.delayed:
            self.delayed[direction] = asyncio.Queue()
            self.proxy.background(self._pass_slowly(direction, self.delayed[direction]))
        return self.delayed[direction]

    async def _pass_slowly(self, direction: Direction, queue: asyncio.Queue[bytes | None]) -> None:
        while (chunk := await queue.get()) is not None:
            await asyncio.sleep(self.proxy.delay)
            if not self.swallows:
                self._write(direction, chunk)

    def ended(self, direction: Direction) -> None:
        """One side has closed: the other is told, unless nothing passes."""
        if not self.swallows:
            end = self.ends.get(direction)
            if end is not None and not end.is_closing():
                end.close()

    def cut(self) -> None:
        """Resets both sides; what is still in buffers is lost."""
        self.swallows = True
        for end in self.ends.values():
            _reset(end)

    def close(self) -> None:
        """Closes both sides after what was passed on has been sent."""
        self.swallows = True
        for end in self.ends.values():
            end.close()


def _reset(end: asyncio.Transport) -> None:
    with suppress(OSError):
        raw = end.get_extra_info("socket")
        # Without lingering a close sends RST instead of FIN.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.abort()


class _Side(asyncio.Protocol):
    """One side of a link."""

    def __init__(self, link: Link, incoming: Direction) -> None:
        self.link = link
        self.incoming = incoming

    def data_received(self, data: bytes) -> None:
        self.link.received(self.incoming, data)

    def eof_received(self) -> bool:
        # True keeps our own writing side open: in a black hole nobody sees that the other has gone.
        if self.link.swallows:
            return True
        self.link.ended(self.incoming)
        return False

    def connection_lost(self, _: Exception | None) -> None:
        self.link.ended(self.incoming)


class _Client(_Side):
    """The side of the client, which opens the other one."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(Link(proxy), "to_server")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        proxy = self.link.proxy
        proxy.accepted += 1
        proxy.links.add(self.link)
        self.link.ends["to_client"] = transport
        if not self.link.swallows:
            proxy.background(self._open())

    async def _open(self) -> None:
        link = self.link
        try:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(lambda: _Side(link, "to_client"), *link.proxy.server)
        except OSError:
            link.cut()
            return
        link.ends["to_server"] = transport
        for chunk in link.early:
            transport.write(chunk)
        link.early.clear()
        if link.ends["to_client"].is_closing():
            transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if not self.link.swallows:
            self.link.proxy.links.discard(self.link)


class Proxy:
    """`async with Proxy(host, port) as proxy`: listens on `proxy.port`, passes everything on until told otherwise."""

    def __init__(self, host: str, port: int) -> None:
        self.server = (host, port)
        self.port = 0
        #: Seconds that each chunk waits.
        self.delay = 0.0
        self.swallows_new = False
        self.rules: list[Rule] = []
        self.links: set[Link] = set()
        #: Connections that were ever accepted, and the bytes that were passed on.
        self.accepted = 0
        self.passed: dict[Direction, int] = {"to_server": 0, "to_client": 0}
        #: What comes from the server, where somebody wants to know.
        self.record: bytearray | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: _Client(self), "127.0.0.1", 0, backlog=1024)
        self.port = int(self._listener.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._listener
        self._listener.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # The transports' last callbacks.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def background(self, work: object) -> None:
        """Runs a coroutine until the proxy ends."""
        task = asyncio.ensure_future(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def black_hole(self, *, old: bool = True, new: bool = True) -> None:
        """From now on nothing passes and nobody is told: bytes are taken and dropped, no FIN, no RST."""
        self.swallows_new = new
        if old:
            for link in self.links:
                link.swallows = True

    def heal(self) -> None:
        """New connections work again, and no rule is left."""
        self.swallows_new = False
        self.delay = 0.0
        self.rules.clear()

    def cut(self) -> None:
        """Resets every connection."""
        for link in list(self.links):
            link.cut()
        self.links.clear()

    def half_close(self, direction: Direction) -> None:
        """Sends FIN in one direction only; the other one goes on."""
        for link in self.links:
            end = link.ends.get(direction)
            if end is not None and end.can_write_eof():
                end.write_eof()

    @contextmanager
    def rule(self, rule: Rule) -> Generator[Rule]:
        """A rule for a block."""
        self.rules.append(rule)
        try:
            yield rule
        finally:
            if rule in self.rules:
                self.rules.remove(rule)


@contextmanager
def unanswering_port() -> Generator[int]:
    """A port whose SYNs are dropped: the queue of those who want to connect is full and nobody accepts them."""
    listener = socket.socket()
    waiting: list[socket.socket] = []
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            waiting.append(one)
        yield int(listener.getsockname()[1])
    finally:
        for one in [*waiting, listener]:
            one.close()
