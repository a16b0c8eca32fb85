"""The proxy breaks what it is told to break, and nothing else: the other tests rest on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest

from faults.proxy import Proxy, Rule, unanswering_port


class Echo:
    """A server that sends everything back in capitals, and remembers it."""

    def __init__(self) -> None:
        self.heard = b""
        self.ends = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1 << 16):
                self.heard += chunk
                writer.write(chunk.upper())
                await writer.drain()
            self.ends += 1
        except ConnectionError:
            self.ends += 1
        finally:
            writer.close()


@pytest.fixture
async def echo() -> AsyncGenerator[tuple[Echo, Proxy]]:
    echo = Echo()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Proxy(*server.sockets[0].getsockname()) as proxy:
        yield echo, proxy
        proxy.cut()
        await asyncio.sleep(0.01)


async def connected(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_it_passes_everything_on(echo: tuple[Echo, Proxy]) -> None:
    reader, writer = await connected(echo[1])
    sent = b"x" * 1_000_000
    writer.write(sent)
    assert await reader.readexactly(len(sent)) == sent.upper()
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.05)
    assert echo[0].ends == 1, "a close is passed on"
    assert not echo[1].links


async def test_a_delay_holds_every_chunk_and_keeps_the_order(echo: tuple[Echo, Proxy]) -> None:
    echo[1].delay = 0.05
    reader, writer = await connected(echo[1])
    began = time.monotonic()
    writer.write(b"a")
    await asyncio.sleep(0.01)
    writer.write(b"b")
    assert await reader.readexactly(2) == b"AB"
    assert 0.1 <= time.monotonic() - began < 0.5
    writer.close()


async def test_a_black_hole_takes_everything_and_tells_nobody(echo: tuple[Echo, Proxy]) -> None:
    heard, proxy = echo
    reader, writer = await connected(proxy)
    writer.write(b"a")
    await reader.readexactly(1)
    proxy.black_hole()
    writer.write(b"b")
    fresh, other = await connected(proxy)
    other.write(b"c")
    for silent in (reader, fresh):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(silent.read(1), 0.05)
    writer.close()
    await asyncio.sleep(0.02)
    assert (heard.heard, heard.ends) == (b"a", 0)
    proxy.heal()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(fresh.read(1), 0.05)
    reader, writer = await connected(proxy)
    writer.write(b"d")
    assert await reader.readexactly(1) == b"D", "new connections work again"
    writer.close()
    other.close()


async def test_it_cuts_after_so_many_bytes_in_either_direction(echo: tuple[Echo, Proxy]) -> None:
    heard, proxy = echo
    for direction, received in (("to_client", b"ABC"), ("to_server", b"")):
        heard.heard = b""
        reader, writer = await connected(proxy)
        with proxy.rule(Rule(direction, after=3)) as rule:  # type: ignore[arg-type]
            writer.write(b"abcdef")
            got = await reader.read(-1)
            assert rule.fired == 1
        await asyncio.sleep(0.01)
        assert got == received
        assert heard.heard == (b"abcdef" if direction == "to_client" else b"abc")
        writer.close()


async def test_an_answer_is_lost_after_the_server_has_given_it(echo: tuple[Echo, Proxy]) -> None:
    heard, proxy = echo
    reader, writer = await connected(proxy)
    with proxy.rule(Rule("to_server", b"COMMIT", then="lose_answer")) as rule:
        writer.write(b"begin COM")
        assert await reader.readexactly(9) == b"BEGIN COM"
        writer.write(b"MIT end")
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        assert rule.fired == 1
        assert heard.heard == b"begin COMMIT end"
    writer.close()


async def test_a_request_is_lost_before_the_server_has_seen_it(echo: tuple[Echo, Proxy]) -> None:
    heard, proxy = echo
    reader, writer = await connected(proxy)
    with proxy.rule(Rule("to_server", b"COMMIT", then="lose_request")):
        writer.write(b"COMMIT")
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        assert heard.heard == b""
    writer.close()


async def test_a_half_close_leaves_the_other_direction(echo: tuple[Echo, Proxy]) -> None:
    heard, proxy = echo
    reader, writer = await connected(proxy)
    writer.write(b"a")
    assert await reader.readexactly(1) == b"A"
    proxy.half_close("to_client")
    assert await reader.read(1) == b""
    writer.write(b"b")
    await asyncio.sleep(0.05)
    assert heard.heard == b"ab"
    writer.close()


async def test_nobody_answers_at_a_port_whose_queue_is_full() -> None:
    with unanswering_port() as port, pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 0.3)
