#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The real clients of OpenAI and Anthropic against `PROGRAM serve`: every endpoint that they have.

    openai_clients.py PROGRAM

Needs the packages below; without them it makes an environment in a temporary folder from the package index. Exit 77,
and a line that says why, where that cannot be reached.
"""
import asyncio
import sys
import time

from packages import need
from serving import Server

need("openai==3.57.0", "anthropic==2.14.0")
import anthropic  # noqa: E402
import openai  # noqa: E402

KEY = "a key of the test"
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
    one = client.models.retrieve("story")
    check(one.id == "story" and one.object == "model" and isinstance(one.created, int), "models.retrieve")
    raises(openai.NotFoundError, lambda: client.models.retrieve("a/b c"), "models.retrieve: unknown")


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


def openai_raw(client):
    """What the parsed answers hide: headers, and request ids also where an answer is streamed or an error."""
    raw = client.chat.completions.with_raw_response.create(model="story", messages=MESSAGES, **GREEDY)
    check(raw.headers["x-request-id"] == raw.parse()._request_id, "raw: request id")
    check(raw.headers["content-type"] == "application/json", "raw: content type")
    with client.completions.with_streaming_response.create(model="story", prompt="Once", stream=True, **GREEDY) as raw:
        check(raw.headers["x-request-id"].startswith("req_"), "raw stream: request id")
        check(raw.headers["content-type"] == "text/event-stream", "raw stream: content type")
        check(list(raw.iter_lines())[-2:] == ["data: [DONE]", ""], "raw stream: the end")
    error = raises(openai.BadRequestError, lambda: client.chat.completions.create(model="story", messages=[]), "no message")
    check(error.request_id.startswith("req_") and error.param == "messages", "error: request id, param")
    raw = client.embeddings.with_raw_response.create(model="story", input="a fox")
    check(raw.headers["x-request-id"].startswith("req_") and len(raw.parse().data) == 1, "raw embeddings")
    raw = client.responses.with_raw_response.create(model="story", input="Hi", max_output_tokens=4)
    check(raw.headers["x-request-id"].startswith("req_") and raw.parse().output_text, "raw responses")


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


def anthropic_streams(client):
    """Every event that the client knows of a stream of text, in its order, and the ids of requests."""
    arguments = {"model": "story", "messages": MESSAGES, "max_tokens": 8, "extra_body": {"temperature": 0}}
    raw = client.messages.with_raw_response.create(**arguments)
    check(raw.headers["request-id"] == raw.parse()._request_id, "messages raw: request id")
    raw = client.messages.with_raw_response.count_tokens(model="story", messages=MESSAGES, system="Be kind.")
    check(raw.headers["request-id"].startswith("req_") and raw.parse().input_tokens > 8, "count_tokens raw")
    kinds = []
    for event in client.messages.create(stream=True, **arguments):
        if not kinds or kinds[-1] != event.type:
            kinds.append(event.type)
    check(kinds == ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
                    "message_stop"], f"messages: events {kinds}")
    with client.messages.stream(system=[{"type": "text", "text": "Be kind."}], **arguments) as stream:
        check(stream.request_id.startswith("req_"), "messages stream: request id")
        final = stream.get_final_message()
        check(final.stop_reason == "max_tokens" and final.content[0].text, "messages stream: final")
    check(client.models.list().data[0].id == "story", "anthropic models.list")
    check(client.models.retrieve("story").id == "story", "anthropic models.retrieve")


def anthropic_errors(client, url):
    arguments = {"model": "story", "messages": MESSAGES, "max_tokens": 8}
    error = raises(anthropic.BadRequestError, lambda: client.messages.create(**dict(arguments, messages=[
        MESSAGES[0], {"role": "sistem", "content": "x"}], system="Be kind.")), "unknown role")
    check(error.body["error"]["param"] == "messages[1].role" and error.request_id.startswith("req_"), "unknown role: param")
    check(error.body["type"] == "error" and error.body["error"]["type"] == "invalid_request_error", "error: form")
    raises(anthropic.AuthenticationError, lambda: anthropic.Anthropic(base_url=url, api_key="wrong").messages.create(
        **arguments), "wrong key")
    raises(anthropic.BadRequestError, lambda: client.messages.count_tokens(model="story", messages=[]), "count_tokens: none")


async def openai_async(url):
    """The endpoints of the async clients."""
    client = openai.AsyncOpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0)
    check([m.id async for m in client.models.list()] == ["story"], "async models")
    check((await client.models.retrieve("story")).id == "story", "async models.retrieve")
    check(len((await client.embeddings.create(model="story", input="a fox")).data[0].embedding) == 256, "async embeddings")
    text = (await client.completions.create(model="story", prompt="Once", **GREEDY)).choices[0].text
    chunks = await client.completions.create(model="story", prompt="Once", stream=True, logprobs=0, **GREEDY)
    check("".join([c.choices[0].text async for c in chunks]) == text, "async completions stream")
    arguments = {"model": "story", "input": "Tell me a story.", "temperature": 0, "max_output_tokens": 8}
    whole = (await client.responses.create(**arguments)).output_text
    events = [e async for e in await client.responses.create(stream=True, **arguments)]
    check("".join(e.delta for e in events if e.type == "response.output_text.delta") == whole, "async responses stream")
    check([e.sequence_number for e in events] == list(range(len(events))), "responses: numbers of events")
    check(events[0].type == "response.created" and events[-1].type == "response.incomplete", "responses: first and last")
    try:
        await client.chat.completions.create(model="story", messages=MESSAGES, top_p=2)
        check(False, "async error")
    except openai.BadRequestError as error:
        check(error.param == "top_p", "async error: param")
    claude = anthropic.AsyncAnthropic(base_url=url, api_key=KEY)
    check((await claude.messages.count_tokens(model="story", messages=MESSAGES)).input_tokens > 4, "async count_tokens")
    answer = await claude.messages.create(model="story", messages=MESSAGES, max_tokens=4)
    check(answer.content[0].text and answer.usage.output_tokens == 4, "async messages")
    await client.close()
    await claude.close()


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
    await client.close()
    await claude.close()


LONG = 50000  # tokens


def busy(url):
    """A server with one place and room for one more to wait: what both clients do with 429, and with silence."""
    client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
    claude = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)
    long = {"model": "story", "max_tokens": LONG, "extra_body": {"ignore_eos": True}}
    running = client.completions.create(prompt="Once", stream=True, **long)
    next(iter(running))
    waiting = client.completions.create(prompt="Twice", stream=True, **long)
    error = raises(openai.RateLimitError, lambda: client.chat.completions.create(model="story", messages=MESSAGES), "429")
    check(error.code == "queue_full" and int(error.response.headers["retry-after"]) >= 1, "429: code, Retry-After")
    raises(anthropic.RateLimitError, lambda: claude.messages.create(model="story", messages=MESSAGES, max_tokens=4),
           "messages: 429")
    leave(waiting)
    raises(openai.APITimeoutError, lambda: client.with_options(timeout=0.3).completions.create(
        prompt="Once", stream=False, **long), "timeout")
    # The client waits as long as Retry-After says and tries again; meanwhile the places get free.
    patient = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=5)
    waiting = client.completions.create(prompt="Twice", stream=True, **long)
    began = time.monotonic()
    answer = asyncio.run(free_later(running, waiting, lambda: patient.completions.with_raw_response.create(
        model="story", prompt="Once", max_tokens=2)))
    check(answer.status_code == 200 and answer.retries_taken >= 1, f"retries on 429: {answer.retries_taken}")
    check(time.monotonic() - began > 0.9, "retries: as late as Retry-After says")


def leave(stream):
    stream.close()
    time.sleep(0.5)  # a step sees it


async def free_later(running, waiting, call):
    task = asyncio.create_task(asyncio.to_thread(call))
    await asyncio.sleep(0.6)
    running.close()
    waiting.close()
    return await task


def main():
    flags = ["--alias", "story", "--invariant"]
    with Server(sys.argv[1], *flags, "--api-key", KEY, "--parallel", "4") as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0)
        for test in (openai_models, openai_chat, openai_logprobs, openai_completions, openai_embeddings, openai_responses,
                     openai_raw):
            test(client)
            print(f"{test.__name__}: passed")
        claude = anthropic.Anthropic(base_url=server.url, api_key=KEY, max_retries=0)
        openai_errors(client, server.url)
        anthropic_messages(claude)
        anthropic_streams(claude)
        anthropic_errors(claude, server.url)
        print("errors, anthropic: passed")
        asyncio.run(openai_async(server.url))
        asyncio.run(many_at_once(server.url))
        print("async, many_at_once: passed")
    # Room for answers that last as long as the test needs them, on any machine.
    with Server(sys.argv[1], *flags, "--parallel", "1", "--queue", "1", "-c", str(2 * LONG)) as server:
        busy(server.url)
        print("busy: passed")
    print(f"{PASSED} checks passed: openai {openai.__version__}, anthropic {anthropic.__version__}")


if __name__ == "__main__":
    main()
