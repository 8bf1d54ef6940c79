#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The real clients of OpenAI and Anthropic against `PROGRAM serve`: every endpoint that they have.

    openai_clients.py PROGRAM

Needs the packages below; without them it makes an environment in a temporary folder from the package index. Exit 77,
and a line that says why, where that cannot be reached.
"""
import asyncio
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

PACKAGES = ["openai==3.57.0", "anthropic==2.14.0"]
KEY = "a key of the test"


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def run_in_environment():
    """Runs this file again where the packages are."""
    if os.environ.get("CLIENTS_INSTALLED"):
        skip("the clients cannot be imported")
    with tempfile.TemporaryDirectory() as folder:
        python = pathlib.Path(folder, "bin/python")
        for command in ([sys.executable, "-m", "venv", folder], [python, "-m", "pip", "-q", "install", *PACKAGES]):
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
            if done.returncode != 0:
                skip("cannot install " + ", ".join(PACKAGES))
        environment = dict(os.environ, CLIENTS_INSTALLED="1")
        sys.exit(subprocess.run([str(python), *sys.argv], env=environment).returncode)


try:
    import anthropic
    import openai
except ImportError:
    run_in_environment()

PASSED = 0


def check(condition, what):
    global PASSED
    if not condition:
        raise AssertionError(what)
    PASSED += 1


def raises(kind, call, what):
    try:
        call()
    except kind as error:
        check(True, what)
        return error
    raise AssertionError(f"{what}: nothing was raised")


MESSAGES = [{"role": "user", "content": "Tell me a story about a fox."}]
GREEDY = {"temperature": 0, "max_tokens": 16}


def openai_models(client):
    models = client.models.list().data
    check(models[0].id == "story", "models.list")


def openai_chat(client):
    whole = client.chat.completions.create(model="story", messages=MESSAGES, **GREEDY)
    text = whole.choices[0].message.content
    check(text and whole.choices[0].finish_reason == "length", "chat")
    check(whole.usage.completion_tokens == 16 and whole._request_id.startswith("req_"), "chat: usage, request id")
    chunks = list(client.chat.completions.create(
        model="story", messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **GREEDY))
    check("".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text, "chat stream: text")
    check(chunks[0].choices[0].delta.role == "assistant", "chat stream: role")
    check([c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length", "chat stream: finish")
    check(chunks[-1].usage.completion_tokens == 16 and not chunks[-1].choices, "chat stream: usage")
    # This helper raises where an answer ends by its length.
    with client.chat.completions.stream(model="story", messages=MESSAGES, stop=[text[5:9]], **GREEDY) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion().choices[0].message.content
        check(final == text[:text.index(text[5:9])], "chat stream helper")
    several = client.chat.completions.create(model="story", messages=MESSAGES, n=3, seed=5, max_tokens=8)
    check(len({c.message.content for c in several.choices}) == 3, "chat: n")
    stopped = client.chat.completions.create(model="story", messages=MESSAGES, stop=[text[5:9]], **GREEDY)
    check(stopped.choices[0].message.content == text[:text.index(text[5:9])], "chat: stop")
    check(stopped.choices[0].finish_reason == "stop", "chat: finish_reason stop")
    moe = client.chat.completions.create(model="story", messages=MESSAGES, extra_body={"moe": {"experts": 2}}, **GREEDY)
    check(moe.model_extra["moe"]["experts_decode"] == 2, "chat: moe echoed")


def openai_logprobs(client):
    answer = client.chat.completions.create(model="story", messages=MESSAGES, logprobs=True, top_logprobs=4, **GREEDY)
    content = answer.choices[0].logprobs.content
    check(len(content) == 16 and len(content[0].top_logprobs) == 4, "logprobs")
    check(all(t.token == t.top_logprobs[0].token and t.logprob <= 0 for t in content), "logprobs: greedy is the best")
    n_streamed = 0
    for chunk in client.chat.completions.create(model="story", messages=MESSAGES, logprobs=True, stream=True, **GREEDY):
        if chunk.choices and chunk.choices[0].logprobs:
            n_streamed += len(chunk.choices[0].logprobs.content)
    check(n_streamed == 16, "logprobs in a stream")


def openai_completions(client):
    whole = client.completions.create(model="story", prompt="Once upon a time", logprobs=3, **GREEDY)
    check("".join(whole.choices[0].logprobs.tokens) == whole.choices[0].text, "completions: logprobs")
    text = "".join(c.choices[0].text for c in client.completions.create(
        model="story", prompt="Once upon a time", stream=True, **GREEDY))
    check(text == whole.choices[0].text, "completions stream")
    two = client.completions.create(model="story", prompt=["Once upon a time", "The king"], **GREEDY)
    check([c.index for c in two.choices] == [0, 1] and two.choices[0].text == text, "completions: two prompts")


def openai_embeddings(client):
    plain = client.embeddings.create(model="story", input=["a fox", "a ship"], encoding_format="float")
    packed = client.embeddings.create(model="story", input=["a fox", "a ship"])  # the client asks for base64
    check(len(plain.data) == 2 and len(plain.data[0].embedding) == 256, "embeddings")
    check(all(abs(a - b) < 1e-6 for p, q in zip(plain.data, packed.data) for a, b in zip(p.embedding, q.embedding)),
          "embeddings: base64")
    check(abs(sum(x * x for x in plain.data[0].embedding) - 1) < 1e-4, "embeddings: length 1")


def openai_responses(client):
    whole = client.responses.create(model="story", input="Tell me a story.", temperature=0, max_output_tokens=16)
    check(whole.output_text and whole.status == "incomplete", "responses")
    events = list(client.responses.create(
        model="story", input=[{"role": "user", "content": "Tell me a story."}], temperature=0, max_output_tokens=16,
        stream=True))
    check("".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text,
          "responses stream")
    with client.responses.stream(model="story", input="Tell me a story.", temperature=0) as stream:
        for _ in stream:
            pass
        check(stream.get_final_response().output_text.startswith(whole.output_text), "responses stream helper")


def openai_errors(client, url):
    error = raises(openai.BadRequestError, lambda: client.chat.completions.create(
        model="story", messages=MESSAGES, temperature=-1), "bad field")
    check(error.param == "temperature" and error.code == "invalid_value", "bad field: param")
    error = raises(openai.NotFoundError, lambda: client.chat.completions.create(model="other", messages=MESSAGES),
                   "unknown model")
    check(error.code == "model_not_found", "unknown model: code")
    raises(openai.AuthenticationError, lambda: openai.OpenAI(base_url=url + "/v1", api_key="wrong").models.list(),
           "wrong key")
    error = raises(openai.BadRequestError, lambda: client.completions.create(model="story", prompt=[5] * 2000),
                   "prompt too long")
    check(error.code == "context_length_exceeded", "prompt too long: code")
    stream = client.completions.create(model="story", prompt="Once", stream=True, max_tokens=900,
                                       extra_body={"ignore_eos": True, "timeout_s": 0.2})
    raises(openai.APIError, lambda: list(stream), "an error within a stream")


def anthropic_messages(client):
    # This client has no argument for the temperature any more.
    arguments = {"model": "story", "messages": MESSAGES, "max_tokens": 16, "extra_body": {"temperature": 0}}
    whole = client.messages.create(**arguments)
    check(whole.content[0].type == "text" and whole.stop_reason == "max_tokens", "messages")
    check(whole.usage.output_tokens == 16 and whole._request_id.startswith("req_"), "messages: usage, request id")
    with client.messages.stream(**arguments) as stream:
        check("".join(stream.text_stream) == whole.content[0].text, "messages stream: text")
        check(stream.get_final_message().usage.output_tokens == 16, "messages stream: usage")
    raw = [event.type for event in client.messages.create(stream=True, **arguments)]
    check(raw[0] == "message_start" and raw[-1] == "message_stop", "messages: raw events")
    counted = client.messages.count_tokens(model="story", messages=MESSAGES)
    check(counted.input_tokens == whole.usage.input_tokens + whole.usage.cache_read_input_tokens, "count_tokens")
    word = whole.content[0].text[4:8]
    stopped = client.messages.create(stop_sequences=[word], **arguments)
    check(stopped.stop_reason == "stop_sequence" and stopped.stop_sequence == word, "messages: stop sequence")
    raises(anthropic.BadRequestError, lambda: client.messages.create(**dict(arguments, extra_body={"temperature": -1})), "bad field")
    raises(anthropic.NotFoundError, lambda: client.messages.create(**dict(arguments, model="other")), "unknown model")


async def many_at_once(url):
    """32 clients at one time, half of them with two experts: each gets its own answer, and some go early."""
    client = openai.AsyncOpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0)

    async def one(i, experts):
        answer = await client.chat.completions.create(
            model="story", messages=[{"role": "user", "content": f"Tell me a story about number {i % 4}."}],
            extra_body={"moe": {"experts": experts}}, **GREEDY)
        return answer.choices[0].message.content

    async def leaves(i):
        stream = await client.completions.create(model="story", prompt=f"Once {i}", stream=True, max_tokens=500)
        async for _ in stream:
            break
        await stream.close()

    alone = {(i, k): await one(i, k) for i in range(4) for k in (2, 4)}
    wanted = [(i % 4, 2 + 2 * (i % 2)) for i in range(32)]
    answers = await asyncio.gather(*(one(i, k) for i, k in wanted), *(leaves(i) for i in range(8)))
    check(answers[:32] == [alone[w] for w in wanted], "async: everybody gets what they get alone")
    stream = await client.chat.completions.create(model="story", messages=MESSAGES, stream=True, **GREEDY)
    check("".join([c.choices[0].delta.content or "" async for c in stream]), "async stream")
    claude = anthropic.AsyncAnthropic(base_url=url, api_key=KEY)
    async with claude.messages.stream(model="story", messages=MESSAGES, max_tokens=8) as stream:
        check([t async for t in stream.text_stream], "async messages stream")


def wait_until_ready(url, process):
    for _ in range(600):
        if process.poll() is not None:
            raise AssertionError("the server ended early")
        try:
            urllib.request.urlopen(url + "/ready", timeout=1)
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not get ready")


def main():
    process = subprocess.Popen(
        [sys.argv[1], "serve", "--port", "0", "--api-key", KEY, "--alias", "story", "--invariant", "--parallel", "4"],
        stderr=subprocess.PIPE, text=True)
    try:
        url = re.search(r"http://[0-9.:]+", process.stderr.readline()).group()
        log = tempfile.TemporaryFile("w")
        threading.Thread(target=lambda: [log.write(line) for line in process.stderr], daemon=True).start()
        wait_until_ready(url, process)
        client = openai.OpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0)
        for test in (openai_models, openai_chat, openai_logprobs, openai_completions, openai_embeddings, openai_responses):
            test(client)
            print(f"{test.__name__}: passed")
        openai_errors(client, url)
        print("openai_errors: passed")
        anthropic_messages(anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0))
        print("anthropic_messages: passed")
        asyncio.run(many_at_once(url))
        print("many_at_once: passed")
    finally:
        process.terminate()
        code = process.wait(timeout=60)
    check(code == 0, f"the server ended with {code}")
    print(f"{PASSED} checks passed: openai {openai.__version__}, anthropic {anthropic.__version__}")


if __name__ == "__main__":
    main()
