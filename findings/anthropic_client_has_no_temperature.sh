#!/bin/bash
# SPDX-License-Identifier: MIT
# anthropic 2.14.0 (Python): messages.create() has no parameter `temperature`; a call that passes it raises TypeError
# before anything is sent. The field is still in the wire format that servers implement, and goes through
# extra_body={"temperature": 0}. Code written for older clients fails at the first call.
#
# Seen where the client's suite ran against a server of the Messages API with temperature 0.
#
# Needs Python 3 with venv and the package index. Exit 0: as described; 1: it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/try.py" <<'PYTHON'
import http.server
import json
import threading

import anthropic

sent = []


class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        sent.append(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
                           "stop_reason": "end_turn", "stop_sequence": None,
                           "usage": {"input_tokens": 1, "output_tokens": 0}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = anthropic.Anthropic(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}")
call = dict(model="m", max_tokens=1, messages=[{"role": "user", "content": "Hi"}])
try:
    client.messages.create(**call, temperature=0)
    direct = "accepted"
except TypeError as error:
    direct = f"TypeError: {error}"
before = len(sent)
client.messages.create(**call, extra_body={"temperature": 0})
print(anthropic.__version__, "|", direct, "|", before, "requests before |", b'"temperature":0' in sent[-1].replace(b" ", b""))
PYTHON

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q anthropic==2.14.0
got=$("$work/venv/bin/python" "$work/try.py")
echo "$got"
[[ $got == "2.14.0 | TypeError: "*"temperature"*" | 0 requests before | True" ]]
