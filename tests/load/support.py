# SPDX-License-Identifier: MIT
"""What the load tests share: a running server, and a client that sees every byte and moment of an answer."""
import asyncio
import json
import pathlib
import resource
import sys
import time

sys.path.append(str(pathlib.Path(__file__).parents[1] / "support"))
from serving import Server  # noqa: E402


async def start(program, *flags):
    """A server that is ready."""
    return await asyncio.to_thread(lambda: Server(program, *flags).wait_until_ready())


async def stop(server):
    """Its exit code after SIGTERM."""
    return await asyncio.to_thread(server.stop)


class Answer:
    def __init__(self, status, headers, body, complete):
        self.status, self.headers, self.body, self.complete = status, headers, body, complete

    def json(self):
        return json.loads(self.body)


def request_bytes(path, body=None, headers=()):
    data = b"" if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", "Host: localhost", *headers]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, "", ""]).encode() + data


async def read_head(reader):
    """Status and headers; None where the server went before."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return int(head[0].split()[1]), {k.lower(): v for k, v in (h.split(": ", 1) for h in head[1:] if h)}


async def read_chunks(reader, headers):
    """The pieces of a body; the last is None where the body came to its end as HTTP has it."""
    try:
        if "content-length" in headers:
            yield await reader.readexactly(int(headers["content-length"]))
            yield None
        while headers.get("transfer-encoding") == "chunked":
            size = int(await reader.readline() or b"x", 16)
            data = (await reader.readexactly(size + 2))[:-2]
            if size == 0:
                yield None
                return
            yield data
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        return


async def read_answer(reader):
    head = await read_head(reader)
    if head is None:
        return Answer(0, {}, b"", False)
    status, headers = head
    chunks = [chunk async for chunk in read_chunks(reader, headers)]
    complete = bool(chunks) and chunks[-1] is None
    return Answer(status, headers, b"".join(c for c in chunks if c), complete)


async def ask(port, path, body=None, headers=()):
    """One request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        writer.write(request_bytes(path, body, headers))
        await writer.drain()
        return await read_answer(reader)
    finally:
        writer.close()


async def stream(port, path, body):
    """(seconds, event) of each event of a streamed answer, as it comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        writer.write(request_bytes(path, dict(body, stream=True)))
        status, headers = await read_head(reader)
        if status != 200:
            raise RuntimeError(f"status {status}")
        rest = b""
        async for chunk in read_chunks(reader, headers):
            now, rest = time.monotonic(), rest + (chunk or b"")
            *events, rest = rest.split(b"\n\n")
            for event in events:
                if event.startswith(b"data: ") and event != b"data: [DONE]":
                    yield now, json.loads(event[6:])
    finally:
        writer.close()


def raise_file_limit(wanted=16384):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, limit[1]), limit[1]))


def quantile(values, share):
    """The smallest of the values that so large a share is not above."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


class Tally:
    """Counts, and keeps what failed first for people to read."""

    def __init__(self, name):
        self.name, self.passed, self.failed = name, 0, 0

    def check(self, condition, what):
        if condition:
            self.passed += 1
            return
        self.failed += 1
        if self.failed <= 10:
            print(f"{self.name}: {what}", flush=True)

    def close(self):
        """The line that ends a part, and its exit code."""
        print(f"{self.name}: {self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0
