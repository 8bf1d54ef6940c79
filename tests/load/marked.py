#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Many clients with prompts of their own and different routing, some of whom go early.

    marked.py PROGRAM [CLIENTS [REQUESTS OF EACH]]

Every prompt has its client's mark, which the answer gives back. Nobody may get another's mark, and every text must be
the one that its prompt gives alone. The cache is small, so that sequences give their pages back and begin again.
"""
import asyncio
import random
import sys

from support import Tally, ask, raise_file_limit, request_bytes, start, stop

POLICIES = [{}, {"experts": 2}, {"grouped": False}, {"experts_decode": 1}, {"threshold": [1, 0.4]},
            {"mask": {"3": [0, 5, 9]}}, {"experts_prefill": 2}]
SUBJECTS = ["fox", "king", "ship", "cat", "mountain"]
FLAGS = ["--invariant", "-c", 1024]


def mark(client):
    return f"<<{client:04d}>>"


def body_of(client, kind):
    return {"prompt": f"{mark(client)} The tale of the {SUBJECTS[kind % len(SUBJECTS)]} who",
            "max_tokens": 12, "temperature": 0, "echo": True, "moe": POLICIES[(client + kind) % len(POLICIES)]}


async def texts_alone(program, n_client):
    server = await start(program, "-np", 1, *FLAGS)
    texts = {}
    for client in range(n_client):
        for kind in range(len(SUBJECTS)):
            answer = await ask(server.port, "/v1/completions", body_of(client, kind))
            texts[client, kind] = answer.json()["choices"][0]["text"]
    await stop(server)
    return texts


async def leave_early(port, body, seconds):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_bytes("/v1/completions", dict(body, stream=True)))
    await asyncio.sleep(seconds)
    writer.transport.abort()


async def run_client(tally, port, client, n_client, n_request, alone):
    chance = random.Random(client)
    for _ in range(n_request):
        kind = chance.randrange(len(SUBJECTS))
        body = body_of(client, kind)
        if chance.randrange(8) == 0:
            await leave_early(port, body, chance.random() * 0.2)
            continue
        answer = await ask(port, "/v1/completions", body)
        if not tally_status(tally, answer, client):
            continue
        text = answer.json()["choices"][0]["text"]
        foreign = [m for m in range(n_client) if m != client and mark(m) in text]
        tally.check(mark(client) in text and not foreign and text == alone[client, kind],
                    f"client {client}, subject {kind}: {text!r} is not {alone[client, kind]!r}")


def tally_status(tally, answer, client):
    if answer.status == 200:
        return True
    tally.check(False, f"client {client}: {answer.status} {answer.body[:200]!r}")
    return False


async def main(program, n_client=64, n_request=80):
    raise_file_limit()
    n_client, n_request = int(n_client), int(n_request)
    tally = Tally("marked")
    alone = await texts_alone(program, n_client)
    server = await start(program, "-np", 24, *FLAGS)
    await asyncio.gather(*(run_client(tally, server.port, c, n_client, n_request, alone) for c in range(n_client)))
    metrics = (await ask(server.port, "/metrics")).body
    tally.check(b"switchyard:slots_leaked 0" in metrics, "a slot leaked")
    tally.check(await stop(server) == 0, "the server ended with another code than 0")
    return tally.close()


sys.exit(asyncio.run(main(*sys.argv[1:])))
