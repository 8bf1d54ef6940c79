#!/bin/bash
# SPDX-License-Identifier: MIT
# aiperf 0.13.0: with HF_HUB_OFFLINE=1 in the environment, --tokenizer /path/of/a/folder is refused: "Repo id must be in
# the form 'repo_name' or 'namespace/repo_name'". The same folder is taken without the variable, and transformers itself
# loads it with the variable too. So on a machine without network, where one sets it, a local tokenizer does not help.
#
# Seen where a load was made with a tokenizer that no hub has.
#
# Needs Python 3 with venv and the package index. Exit 0: as described; 1: it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/try.py" <<'PYTHON'
import http.server
import json
import os
import subprocess
import sys
import threading

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

work, aiperf = sys.argv[1:]
words = {f"w{i}": i for i in range(500)} | {"[UNK]": 500}
tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
folder = f"{work}/tokenizer"
PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="[UNK]").save_pretrained(folder)


class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {"index": 0, "message": {"role": "assistant", "content": "w1 w2"}, "finish_reason": "stop"}
        body = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice],
                           "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()


def run(**environment):
    done = subprocess.run(
        [aiperf, "profile", "-m", "m", "--url", f"http://127.0.0.1:{server.server_port}", "--endpoint-type", "chat",
         "--concurrency", "1", "--request-count", "3", "--synthetic-input-tokens-mean", "20",
         "--output-tokens-mean", "2", "--tokenizer", folder, "--ui", "none", "--artifact-dir", f"{work}/out"],
        capture_output=True, text=True, env=dict(os.environ, COLUMNS="400", **environment))
    said = " ".join((done.stdout + done.stderr).split())
    return f"exit code {done.returncode}" + (", Repo id must be" if "Repo id must be in the form" in said else "")


os.environ.pop("HF_HUB_OFFLINE", None)
loads = "import sys, transformers as t; print(len(t.AutoTokenizer.from_pretrained(sys.argv[1])('w1 w2').input_ids))"
offline = subprocess.run([sys.executable, "-c", loads, folder], capture_output=True, text=True,
                         env=dict(os.environ, HF_HUB_OFFLINE="1"))
print("online:", run(), "| offline:", run(HF_HUB_OFFLINE="1"), "| transformers offline:", offline.stdout.strip(), "tokens")
PYTHON

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q aiperf==0.13.0
got=$("$work/venv/bin/python" "$work/try.py" "$work" "$work/venv/bin/aiperf")
echo "$got"
[[ ${got##*$'\n'} == "online: exit code 0 | offline: exit code 1, Repo id must be | transformers offline: 2 tokens" ]]
