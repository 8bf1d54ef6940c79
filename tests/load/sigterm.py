#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SIGTERM at a random moment under load, again and again.

    sigterm.py PROGRAM [TIMES]

The exit code is 0, and no answer is cut in silence: each is refused, or comes to its end as HTTP has it, with what ends
a stream, or with an error that says that the server stops. In every eighth trial a second signal follows at once, which
must end the program by that signal within a second.
"""
import asyncio
import random
import signal
import sys
import time

from support import Tally, read_chunks, read_head, request_bytes, start

N_CLIENT = 8


class Seen:
    def __init__(self):
        self.ended, self.refused, self.cut, self.over = 0, 0, [], False


async def ask_until_over(port, seen, chance):
    while not seen.over:
        body = {"prompt": "Once", "max_tokens": chance.choice([1, 10, 60]), "ignore_eos": True, "stream": True}
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            seen.refused += 1
            return
        writer.write(request_bytes("/v1/completions", body))
        head = await read_head(reader)
        if head is None:  # the server closed its doors before it read a byte
            seen.refused += 1
            return
        status, headers = head
        chunks = [chunk async for chunk in read_chunks(reader, headers)]
        text = b"".join(c for c in chunks if c)
        whole = bool(chunks) and chunks[-1] is None
        writer.close()
        if whole and status == 503 and "retry-after" in headers:
            seen.refused += 1
            await asyncio.sleep(0.01)
        elif whole and status == 200 and (text.endswith(b"data: [DONE]\n\n") or b'"code":"stopping"' in text):
            seen.ended += 1
        else:
            seen.cut.append((status, text[-200:]))


async def trial(tally, program, number):
    chance = random.Random(number)
    server = await start(program, "-np", 4, "-t", 1)
    seen = Seen()
    clients = [asyncio.create_task(ask_until_over(server.port, seen, random.Random(100 * number + i)))
               for i in range(N_CLIENT)]
    await asyncio.sleep(chance.random() * 0.4)
    begin = time.monotonic()
    server.process.terminate()
    twice = number % 8 == 7
    if twice:
        await asyncio.sleep(0.02)
        server.process.terminate()
    code = await asyncio.to_thread(server.process.wait, 60)
    seconds = time.monotonic() - begin
    seen.over = True
    await asyncio.gather(*clients)
    if twice:
        # It may have come to its end between the two.
        tally.check(code in (0, -signal.SIGTERM) and seconds < 1, f"trial {number}: code {code} after {seconds:.2f} s")
    else:
        tally.check(code == 0 and not seen.cut, f"trial {number}: code {code}, cut: {seen.cut}")
    return seen.ended


async def main(program, times=500):
    tally = Tally("sigterm")
    ended = 0
    for number in range(int(times)):
        ended += await trial(tally, program, number)
    tally.check(ended > 0, "no answer came to its end")
    print(f"{ended} answers came to their end")
    return tally.close()


sys.exit(asyncio.run(main(*sys.argv[1:])))
