#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What Python's jinja2, set up as transformers sets it up, makes of the templates that the tests render.

usage: make_chat_cases.py DATA [SHARED]

DATA is tests/data/chat, SHARED the shared data folder (default ../shared/data beside the checkout). Reads
and rewrites there:

  language.json      [{"template", "variables"?, "text" or "raises": true}]: text and raises are filled in
  own/*.jinja        templates of our own; each with own/NAME.expected.json: the texts, by conversation
  conversations.json the conversations, read only: {name: input of the template}
  expected.json      {digest of a template: {"from": its file, "texts": {conversation: digest or "raises"}}} for
                     every template of SHARED, which are not copied; digest: "FNV-1a 64 in hex, length in bytes"

The clock of strftime_now stands at SOURCE_DATE_EPOCH, by default that of the tests. Needs jinja2 3.1.6.
"""

import datetime
import json
import os
import pathlib
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "1767225600"))  # 2026-01-01


class Generation(jinja2.ext.Extension):
    """{% generation %}, which transformers has for masks."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_support")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _support(self, caller):
        return caller()


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def strftime_now(format):
        return datetime.datetime.fromtimestamp(EPOCH, datetime.timezone.utc).replace(tzinfo=None).strftime(format)

    class Dict:
        def __call__(self, *args, **kwargs):
            return dict(*args, **kwargs)

    class Namespace(jinja2.utils.Namespace):
        """Of transformers 5.24: no attribute begins with an underscore."""

        def __init__(*args, **kwargs):
            for name in dict(*args[1:], **kwargs):
                Namespace.check(name)
            jinja2.utils.Namespace.__init__(*args, **kwargs)

        def __setitem__(self, name, value):
            Namespace.check(name)
            jinja2.utils.Namespace.__setitem__(self, name, value)

        @staticmethod
        def check(name):
            if isinstance(name, str) and name.startswith("_"):
                raise jinja2.exceptions.SecurityError(name)

    env.globals["dict"] = Dict()
    env.globals["namespace"] = Namespace
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


def render(env, template, variables):
    """The text, or None where jinja2 raises."""
    try:
        text = env.from_string(template).render(**variables)
        text.encode("utf-8")
        return text
    except Exception:  # noqa: BLE001 -- whatever Python raises
        return None


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def digest(text):
    if text is None:
        return "raises"
    data = text.encode("utf-8")
    return f"{fnv1a(data):016x} {len(data)}"


def shared_templates(shared):
    """Every different template below the shared folder, and the first file that holds it."""
    paths = sorted((shared / "chat_templates").glob("*.jinja"))
    templates = {path.read_bytes().decode(): path for path in paths}
    for path in sorted(shared.rglob("*tokenizer_config.json")):
        template = json.loads(path.read_bytes()).get("chat_template")
        if template:
            templates.setdefault(template, path)
    return {template: str(path.relative_to(shared)) for template, path in templates.items()}


def write(path, value, indent=1):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")


def main():
    data = pathlib.Path(sys.argv[1]).resolve()
    shared = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else data.parents[3] / "shared" / "data"
    env = environment()

    cases = json.loads((data / "language.json").read_text())
    for case in cases:
        case.pop("text", None)
        case.pop("raises", None)
        text = render(env, case["template"], case.get("variables", {}))
        case.update({"raises": True} if text is None else {"text": text})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (data / "language.json").write_text(f"[\n{lines}\n]\n")

    conversations = json.loads((data / "conversations.json").read_text())
    for path in sorted((data / "own").glob("*.jinja")):
        texts = {name: render(env, path.read_text(), c) for name, c in conversations.items()}
        write(path.with_suffix(".expected.json"), texts)

    expected = {
        digest(template): {
            "from": path,
            "texts": {c: digest(render(env, template, variables)) for c, variables in conversations.items()},
        }
        for template, path in shared_templates(shared).items()
    }
    write(data / "expected.json", expected)


if __name__ == "__main__":
    main()
