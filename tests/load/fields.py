#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every numeric field of every request with values that do not belong there: never a 500, and always its name.

    fields.py PROGRAM

The fields and their ranges are those of the server's own /openapi.json. A value that the schema refuses must be a 400
with `param`; one that it allows is answered, or is a 400 with `param` too where only the model can tell.
"""
import asyncio
import sys

from support import Tally, ask, start, stop

# What a request needs besides; answers are short, however many tokens are asked for.
BASE = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1},
    "/v1/completions": {"prompt": "Once", "max_tokens": 1},
    "/v1/embeddings": {"input": "Once"},
    "/v1/messages": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1},
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "Hi"}]},
    "/v1/responses": {"input": "Once", "max_output_tokens": 1},
    "/tokenize": {"content": "Once"},
    "/detokenize": {"tokens": [1]},
    "/apply-template": {"messages": [{"role": "user", "content": "Hi"}]},
}
ANY = [-1, 0, 2 ** 31, 2 ** 53, 1e308, None, "text", [1]]
# Numbers within other fields, with what they stand in.
WITHIN = {
    "moe": [lambda v: {"experts": v}, lambda v: {"experts_prefill": v}, lambda v: {"experts_decode": v},
            lambda v: {"threshold": [v, 0.5]}, lambda v: {"threshold": [1, v]}, lambda v: {"mask": {"3": [v]}},
            lambda v: {"mask": {str(v): [1]}}, lambda v: {"experts": [[0, v, 4]]}],
    "logit_bias": [lambda v: {"5": v}, lambda v: {str(v): 1}],
}


def kind(schema):
    """"integer" or "number", for fields that may be null too; None for others."""
    types = schema.get("type") or []
    return next((t for t in ("integer", "number") if t in ([types] if isinstance(types, str) else types)), None)


def values_for(schema):
    low, high = schema.get("minimum"), schema.get("maximum")
    return ANY + ([low - 1] if low is not None else []) + ([high + 1] if high is not None else [])


def allowed(schema, value):
    """Whether the schema takes the value; null is the same as absent."""
    if value is None:
        return True
    if isinstance(value, (str, list)):
        return False
    if kind(schema) == "integer" and value != int(value):
        return False
    return schema.get("minimum", value) <= value <= schema.get("maximum", value)


async def check(tally, port, path, field, value, refused):
    body = dict(BASE[path])
    body[field] = value
    answer = await ask(port, path, body)
    said = f"{path} {field}={str(value)[:40]}: {answer.status} {answer.body[:200]!r}"
    named = answer.status == 400 and (answer.json()["error"]["param"] or "").startswith(field)
    tally.check(named or (answer.status == 200 and not refused), said)


async def main(program):
    tally = Tally("fields")
    server = await start(program, "-c", 64, "-np", 2)
    api = (await ask(server.port, "/openapi.json")).json()
    for path, operations in api["paths"].items():
        if "requestBody" not in operations.get("post", {}):
            continue
        schema = operations["post"]["requestBody"]["content"]["application/json"]["schema"]
        for field, one in schema["properties"].items():
            if kind(one):
                for value in values_for(one):
                    needed = field in schema.get("required", []) and value is None
                    await check(tally, server.port, path, field, value, needed or not allowed(one, value))
            for put in WITHIN.get(field, []):
                for value in ANY:
                    await check(tally, server.port, path, field, put(value), False)
    tally.check(tally.passed + tally.failed >= 600, "fewer than 600 cases")
    tally.check(await stop(server) == 0, "the server ended with another code than 0")
    return tally.close()


sys.exit(asyncio.run(main(*sys.argv[1:])))
