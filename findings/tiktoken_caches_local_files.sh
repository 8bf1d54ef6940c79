#!/bin/bash
# SPDX-License-Identifier: MIT
# tiktoken 0.14.0: load_tiktoken_bpe keeps a copy of what it reads under the name that it was given, also of a local
# file, and takes the copy the next time, whatever has become of the file. Two models' "tiktoken.model", each opened by
# that name from its own folder, are one vocabulary: that of the first. The copies outlive the process (they lie in
# data-gym-cache below the temporary folder). TIKTOKEN_CACHE_DIR="" switches it off; a hash, expected_hash, shows it.
#
# Seen where a test's file was made anew and the ids of the old one came back. The Python of Kimi-K2 opens its
# vocabulary this way.
#
# Needs Python 3 with venv and the package index. Exit 0: as described; 1: it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install tiktoken==0.14.0
mkdir "$work/one" "$work/two" "$work/temporary"
echo "YQ== 0" >"$work/one/tiktoken.model"
echo "Yg== 0" >"$work/two/tiktoken.model"
export TMPDIR=$work/temporary

read_model() {
  cd "$work/$1"
  "$work/venv/bin/python" -c 'from tiktoken.load import load_tiktoken_bpe; print(load_tiktoken_bpe("tiktoken.model"))'
}
seen="one: $(read_model one), two: $(read_model two), two without copies: $(TIKTOKEN_CACHE_DIR='' read_model two)"
echo "$seen"
[ "$seen" = "one: {b'a': 0}, two: {b'a': 0}, two without copies: {b'b': 0}" ] || { echo "changed"; exit 1; }
echo "as described"
