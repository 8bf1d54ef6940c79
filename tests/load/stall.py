#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How long users who are being answered wait for their next token while a long prompt comes in.

    stall.py PROGRAM [ROUNDS [PROMPT_TOKENS [USERS [FLAGS OF SERVE...]]]]

Users read streams, four of them. In each round a prompt that no cache knows comes in beside them. Prints the gaps between tokens
with the prompt and without, and the prompt's time to its first token. It fails where the 99th percentile of the gaps is
above 1.5 times their median.
"""
import asyncio
import itertools
import random
import sys
import time

from support import Tally, ask, quantile, start, stop, stream

PROMISED = 1.5


def has_token(event):
    """Not so the first event of a stream and the last."""
    return "moe" not in event and "timings" not in event


async def user(port, number, gaps, over):
    """Reads one answer after the other; (begin, length) of the gap before each token but the first."""
    for turn in itertools.count():
        last = None
        body = {"prompt": f"User {number}, story {turn}:", "max_tokens": 400, "ignore_eos": True}
        async for now, event in stream(port, "/v1/completions", body):
            if over.is_set():
                return
            if not has_token(event):
                continue
            if last is not None:
                gaps.append((last, now - last))
            last = now


def long_prompt(seed, n):
    ids = random.Random(seed)
    return [ids.randrange(300, 4000) for _ in range(n)]


async def time_to_first_token(port, prompt):
    begin = time.monotonic()
    async for now, event in stream(port, "/v1/completions", {"prompt": prompt, "max_tokens": 1, "ignore_eos": True}):
        if has_token(event):
            return begin, now
    raise RuntimeError("no token came")


def describe(what, gaps):
    ms = [1000 * g for g in gaps]
    median, p99 = quantile(ms, 0.5), quantile(ms, 0.99)
    print(f"{what}: {len(ms)} gaps, median {median:.1f} ms, p99 {p99:.1f} ms ({p99 / median:.2f} x), "
          f"max {max(ms):.1f} ms", flush=True)
    return p99 / median


async def main(program, n_round=5, n_prompt=1000, n_user=4, *flags):
    tally, n_user = Tally("stall"), int(n_user)
    server = await start(program, "-np", n_user + 1, *flags)
    alone = []
    for seed in range(3):
        begin, end = await time_to_first_token(server.port, long_prompt(1000 + seed, int(n_prompt)))
        alone.append(end - begin)
    gaps, over, beside = [], asyncio.Event(), []
    users = [asyncio.create_task(user(server.port, i, gaps, over)) for i in range(n_user)]
    await asyncio.sleep(1)
    for seed in range(int(n_round)):
        beside.append(await time_to_first_token(server.port, long_prompt(seed, int(n_prompt))))
        await asyncio.sleep(0.3)
    over.set()
    await asyncio.gather(*users)

    def with_prompt(begin, length):
        return any(begin < b[1] and begin + length > b[0] for b in beside)
    describe("without the prompt", [g for b, g in gaps if not with_prompt(b, g)])
    ratio = describe("while it comes in", [g for b, g in gaps if with_prompt(b, g)])
    waits = [b[1] - b[0] for b in beside]
    print(f"first token of {n_prompt} tokens of prompt: alone {1000 * quantile(alone, 0.5):.0f} ms, "
          f"beside {n_user} users {1000 * quantile(waits, 0.5):.0f} ms", flush=True)
    tally.check(ratio <= PROMISED, f"p99 is {ratio:.2f} times the median while a prompt comes in")
    tally.check(await stop(server) == 0, "the server ended with another code than 0")
    return tally.close()


sys.exit(asyncio.run(main(*sys.argv[1:])))
