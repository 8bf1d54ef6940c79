#!/bin/bash
# SPDX-License-Identifier: MIT
# transformers 5.24.0: add_bos_token and add_eos_token of tokenizer_config.json have no effect where the folder has a
# tokenizer.json, whatever the tokenizer's class; from_pretrained drops them before it makes the tokenizer. In 4.57.1
# LlamaTokenizerFast obeys both: the same folder begins a text with BOS there, and does not in 5.24.0. No warning is
# given, and tokenizer.add_bos_token reads False afterwards. Passing the flag as an argument still works.
#
# Seen where a folder of a DeepSeek kind has the flags and a tokenizer.json whose post_processor adds nothing: prompts
# that are not made by a chat template lose their BOS with the new version.
#
# Needs Python 3 with venv and the package index. Exit 0: as described; 1: it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/try.py" <<'PYTHON'
import json, pathlib, sys
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

transformers.logging.set_verbosity_error()
folder = pathlib.Path(sys.argv[1])
folder.mkdir()
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens(["<s>", "</s>"])
tokenizer.save(str(folder / "tokenizer.json"))
config = {"tokenizer_class": "LlamaTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
          "add_bos_token": True, "add_eos_token": True}
(folder / "tokenizer_config.json").write_text(json.dumps(config))
(folder / "config.json").write_text(json.dumps({"model_type": "llama"}))

read = transformers.AutoTokenizer.from_pretrained(folder)
told = transformers.AutoTokenizer.from_pretrained(folder, add_bos_token=True, add_eos_token=True)
print(transformers.__version__, "file:", "".join(read.convert_ids_to_tokens(read.encode("a"))),
      "argument:", "".join(told.convert_ids_to_tokens(told.encode("a"))))
PYTHON

seen=
for versions in "4.57.1 0.22.1" "5.24.0 0.23.3"; do
  read -r transformers tokenizers <<<"$versions"
  python3 -m venv "$work/$transformers"
  "$work/$transformers/bin/pip" -q install "transformers==$transformers" "tokenizers==$tokenizers" 2>/dev/null
  seen+=$("$work/$transformers/bin/python" "$work/try.py" "$work/model-$transformers" 2>/dev/null)$'\n'
done
printf '%s' "$seen"
expected='4.57.1 file: <s>a</s> argument: <s>a</s>
5.24.0 file: a argument: <s>a</s>
'
[ "$seen" = "$expected" ] || { echo "changed"; exit 1; }
echo "as described"
