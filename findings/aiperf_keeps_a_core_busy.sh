#!/bin/bash
# SPDX-License-Identifier: MIT
# aiperf 0.13.0 (the load generator): one of its processes, the one that times requests, keeps a core busy for as long as
# a run lasts, also with one client that only waits: it asks in a loop whether there is something to do. On a machine
# with few cores whatever is measured on the same machine is measured beside a busy neighbour, and a fast server loses
# more of its speed to it than a slow one. (With a server that answers one request in 0.6 s: 0.5 to 0.9 of a core here.)
#
# Seen where two servers were compared on two cores: either got hardly more than one.
#
# Needs Python 3 with venv, the package index, Linux. Exit 0: as described; 1: it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/try.py" <<'PYTHON'
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

work, aiperf = sys.argv[1:]
words = {f"w{i}": i for i in range(500)} | {"[UNK]": 500}
tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="[UNK]").save_pretrained(f"{work}/t")
asked = []


class Answer(http.server.BaseHTTPRequestHandler):
    """64 tokens in 0.6 s."""
    def do_POST(self):
        asked.append(time.monotonic())
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for i in range(64):
            time.sleep(0.01)
            delta = {"index": 0, "delta": {"role": "assistant", "content": "w1 "}, "finish_reason": None if i < 63 else "length"}
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
run = subprocess.Popen(
    [aiperf, "profile", "-m", "m", "--url", f"http://127.0.0.1:{server.server_port}", "--endpoint-type", "chat", "--streaming",
     "--concurrency", "1", "--request-count", "20", "--synthetic-input-tokens-mean", "20", "--output-tokens-mean", "64",
     "--tokenizer", f"{work}/t", "--ui", "none", "--artifact-dir", f"{work}/out"],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def seconds_of_cpu():
    """Of each process that aiperf started, by its name."""
    used = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_text().replace("\0", " ").strip()
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if "aiperf" in name:
            used[(folder.name, name[:60])] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


while len(asked) < 5 and run.poll() is None:
    time.sleep(0.1)
before, begin = seconds_of_cpu(), time.monotonic()
while len(asked) < 17 and run.poll() is None:
    time.sleep(0.1)
after, lasted = seconds_of_cpu(), time.monotonic() - begin
code = run.wait()
shares = sorted(((after[p] - before.get(p, after[p])) / lasted, p[1]) for p in after)[::-1]
for share, name in shares[:4]:
    print(f"{share:.2f} of a core: {name}")
busiest, name = shares[0]
print("exit code", code, "| requests", len(asked), "| busiest:", "timing_manager" if "timing_manager" in name else name, "|",
      "more than 0.3 of a core" if busiest > 0.3 else "at most 0.3 of a core")
PYTHON

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q aiperf==0.13.0
got=$("$work/venv/bin/python" "$work/try.py" "$work" "$work/venv/bin/aiperf")
echo "$got"
[[ ${got##*$'\n'} == "exit code 0 | requests "*" | busiest: timing_manager | more than 0.3 of a core" ]]
