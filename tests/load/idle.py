#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Connections that do nothing beside streams.

    idle.py PROGRAM [IDLE [STREAMS]]
"""
import asyncio
import sys

from support import Tally, ask, raise_file_limit, read_answer, request_bytes, start, stop, stream

BODY = {"prompt": "Once upon a time", "max_tokens": 32, "temperature": 0}


async def text_of_stream(port):
    return "".join([e["choices"][0]["text"] async for _, e in stream(port, "/v1/completions", BODY) if e["choices"]])


async def main(program, n_idle=1000, n_stream=64):
    raise_file_limit()
    tally = Tally("idle")
    server = await start(program, "-np", int(n_stream), "-c", 8192, "--invariant")
    expected = (await ask(server.port, "/v1/completions", BODY)).json()["choices"][0]["text"]
    before_mib = server.resident_mib()
    idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(int(n_idle))]
    texts = await asyncio.gather(*(text_of_stream(server.port) for _ in range(int(n_stream))))
    for text in texts:
        tally.check(text == expected, f"{text!r} is not {expected!r}")
    print(f"resident: {before_mib:.0f} MiB before, {server.resident_mib():.0f} MiB with {n_idle} idle connections")
    for reader, writer in idle:
        writer.write(request_bytes("/health"))
        tally.check((await read_answer(reader)).status == 200, "an idle connection was lost")
        writer.close()
    tally.check(await stop(server) == 0, "the server ended with another code than 0")
    return tally.close()


sys.exit(asyncio.run(main(*sys.argv[1:])))
