#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a tokenizer.json of plain bytes with added tokens of all flags: single_word, lstrip, rstrip, normalized.

usage: make_added_tokens_fixture.py OUT

The added tokens are pieces of the strings of make_pretokenizer_fixture.py, whose column ids:added_tokens of
tests/data/pretokenizer/mixed.bin is what `tokenizers` makes of them.
"""

import json
import sys

from make_tiktoken_fixture import bytes_to_characters

# Text, and the flags that it has: w single_word, l lstrip, r rstrip, n normalized, s special.
TOKENS = [
    ("the", "w"), ("cat", "wr"), ("The", "wl"), ("x", "w"), ("foo", "w"), ("12", "w"), ("7", "wlr"), ("é", "wn"),
    ("self", "wn"), ("O", "wnr"), ("_", "w"), ("'s", "wl"), ("中文", "w"), ("한국어", "wn"), ("<think>", "wlr"),
    ("</think>", "ws"), ("<|im_end|>", "srl"), ("<|im_start|>", "sr"), ("\n", "r"), ("\t", "nr"), ("  ", "w"),
    ("e", "wr"), ("á̃", "n"), ("don", "n"), ("Größe", "wnl"), ("ſ", "w"), ("²", "w"), ("Ⅷ", "w"), ("\u200d", "w"),
]


def main(out):
    vocab = {character: byte for byte, character in sorted(bytes_to_characters().items())}
    new = [text for text, _ in TOKENS if text not in vocab]
    added = [
        {"id": vocab[text] if text in vocab else len(vocab) + new.index(text), "content": text,
         "single_word": "w" in flags, "lstrip": "l" in flags, "rstrip": "r" in flags, "normalized": "n" in flags,
         "special": "s" in flags} for text, flags in TOKENS]
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocab, "merges": []}}
    with open(out, "w", encoding="utf-8") as file:
        json.dump(tokenizer, file, ensure_ascii=False, indent=0)


if __name__ == "__main__":
    main(sys.argv[1])
