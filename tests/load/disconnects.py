#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients that go at any moment and in any way; nothing may stay behind.

    disconnects.py PROGRAM [NUMBER]

They go after connecting, within headers, within the body, while they wait for a place, within their prompt, within the
answer and at its last chunk; by closing (FIN), by a reset (RST), and by ending their sending side only. Afterwards the
server has as many threads and file descriptors as before, no page and no slot in use, and gives the same text.
"""
import asyncio
import random
import socket
import struct
import sys
import time

from support import Tally, ask, quantile, raise_file_limit, request_bytes, start, stop

PHASES = ["accept", "headers", "body", "queued", "prefill", "decode", "last chunk"]
WAYS = ["FIN", "RST", "half-close"]
N_CLIENT = 24
REFERENCE = {"prompt": "The fox", "max_tokens": 12, "temperature": 0}


def body_for(phase, chance):
    if phase == "prefill":
        prompt = [chance.randrange(300, 4000) for _ in range(chance.randrange(200, 900))]
    else:
        prompt = "Once upon a time"
    return {"prompt": prompt, "max_tokens": 3 if phase == "last chunk" else 200, "ignore_eos": True,
            "n": 1 + chance.randrange(2), "stream": phase in ("decode", "last chunk") or chance.random() < 0.5}


def bytes_for(phase, request, chance):
    head = request.index(b"\r\n\r\n") + 4
    if phase == "accept":
        return b""
    if phase == "headers":
        return request[:chance.randrange(1, head)]
    if phase == "body":
        return request[:chance.randrange(head, len(request))]
    return request


async def wait_in(phase, reader, chance):
    """Until the request has come as far as it shall."""
    if phase in ("queued", "prefill"):
        await asyncio.sleep(chance.random() * 0.05)
    elif phase == "decode":
        for _ in range(chance.randrange(1, 6)):
            await asyncio.wait_for(reader.read(1000), 60)
    elif phase == "last chunk":
        got = b""
        while b'"timings"' not in got:
            more = await asyncio.wait_for(reader.read(1000), 60)
            if not more:
                return
            got += more


async def go(writer, way):
    if way == "FIN":
        writer.close()
    elif way == "RST":
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()
    else:
        if writer.can_write_eof():
            writer.write_eof()
        await asyncio.sleep(0.02)
        writer.close()


async def one(port, number):
    chance = random.Random(number)
    phase, way = PHASES[number % len(PHASES)], WAYS[number // len(PHASES) % len(WAYS)]
    request = request_bytes("/v1/completions", body_for(phase, chance))
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(bytes_for(phase, request, chance))
        await writer.drain()
        await wait_in(phase, reader, chance)
        await go(writer, way)
    except ConnectionError:
        pass


async def eventually(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if await condition():
            return True
        await asyncio.sleep(0.02)
    return await condition()


async def main(program, number=10000):
    raise_file_limit()
    tally = Tally("disconnects")
    server = await start(program, "-np", 4, "--invariant")
    port = server.port

    async def idle():
        now = (await ask(port, "/v1/moe")).json()["server"]
        return now["n_running"] == 0 and now["n_waiting"] == 0 and now["kv_cache_usage"] == 0

    async def all_closed():
        return server.n_file() <= n_file
    text = (await ask(port, "/v1/completions", REFERENCE)).json()["choices"][0]["text"]
    n_thread, n_file, before_mib = server.n_thread(), server.n_file(), None
    freed = []
    async def client():
        for n in numbers:
            await one(port, n)
            tally.check(server.process.poll() is None, f"the server ended at {n}")
    for part in range(10):  # and each time all that they had must be free again
        numbers = iter(range(part * int(number) // 10, (part + 1) * int(number) // 10))
        await asyncio.gather(*(client() for _ in range(N_CLIENT)))
        begin = time.monotonic()
        tally.check(await eventually(idle), "a sequence or a page is still in use")
        freed.append(time.monotonic() - begin)
        if before_mib is None:
            before_mib = server.resident_mib()
    tally.check(await eventually(all_closed), f"{server.n_file()} file descriptors, {n_file} before")
    tally.check(server.n_thread() == n_thread, f"{server.n_thread()} threads, {n_thread} before")
    tally.check(server.resident_mib() < before_mib + 32, f"{before_mib:.0f} MiB, now {server.resident_mib():.0f}")
    tally.check(b"switchyard:slots_leaked 0" in (await ask(port, "/metrics")).body, "a slot leaked")
    again = (await ask(port, "/v1/completions", REFERENCE)).json()["choices"][0]["text"]
    tally.check(again == text, f"{again!r} is not {text!r}")
    tally.check(await stop(server) == 0, "the server ended with another code than 0")
    print(f"all free again after {1000 * quantile(freed, 0.5):.0f} ms (median), {1000 * max(freed):.0f} ms (max)")
    return tally.close()


sys.exit(asyncio.run(main(*sys.argv[1:])))
