#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes small folders with a tiktoken.model and a tokenizer_config.json, as Kimi-K2 has them.

usage: make_tiktoken_fixture.py FOLDER

FOLDER/trained: all bytes and 320 merges, learned from strings of make_pretokenizer_fixture.py. FOLDER/shuffled:
the same tokens and three that cannot be made of others, with their ranks in random order, so that tokens come before
the parts they are made of. What tiktoken makes of both is two columns of tests/data/pretokenizer/mixed.bin. Needs
`tokenizers`.
"""

import base64
import collections
import json
import pathlib
import random
import sys

from make_pretokenizer_fixture import PUBLISHED, make_string

SEED = 7
N_TEXTS = 3000
N_MERGES = 320
# By what is added to the number of ranks; the strings have some of them.
SPECIAL = {0: "[BOS]", 1: "[EOS]", 2: "<|im_end|>", 3: "<|im_start|>", 5: "<think>", 6: "</think>", 254: "[UNK]", 255: "[PAD]"}
NOT_SPECIAL = ("<think>", "</think>")

N_UNMADE = 3


def learn(words):
    """The merged tokens, best first, and words that they leave in many parts."""
    splits = {word: [word[i:i + 1] for i in range(len(word))] for word in words}
    merged = []
    while len(merged) < N_MERGES:
        pairs = collections.Counter()
        for word, parts in splits.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += words[word]
        (left, right), _ = max(pairs.items(), key=lambda item: (item[1], item[0]))
        if left + right not in merged:
            merged.append(left + right)
        for word, parts in splits.items():
            i = 0
            while i + 1 < len(parts):
                if (parts[i], parts[i + 1]) == (left, right):
                    parts[i:i + 2] = [left + right]
                i += 1
    return merged, [word for word, _ in words.most_common() if len(splits[word]) > 3][:N_UNMADE]


def write(folder, tokens):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens)]
    (folder / "tiktoken.model").write_text("".join(lines))
    decoder = {
        str(len(tokens) + i): {
            "content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": text not in NOT_SPECIAL}
        for i, text in SPECIAL.items()}
    config = {
        "added_tokens_decoder": decoder,
        "additional_special_tokens": ["<|im_end|>", "<|im_start|>"],
        "auto_map": {"AutoTokenizer": ["tokenization_kimi.TikTokenTokenizer", None]},
        "bos_token": "[BOS]", "clean_up_tokenization_spaces": False, "eos_token": "[EOS]", "extra_special_tokens": {},
        "model_max_length": 1000000000000000019884624838656, "pad_token": "[PAD]",
        "tokenizer_class": "TikTokenTokenizer", "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")


def main(out):
    rng = random.Random(SEED)
    alphabet = {character: byte for byte, character in bytes_to_characters().items()}
    words = collections.Counter()
    for _ in range(N_TEXTS):
        for piece, _ in PUBLISHED["kimi-k2"].pre_tokenize_str(make_string(rng)):
            words[bytes(alphabet[character] for character in piece)] += 1
    merged, unmade = learn(words)
    tokens = [bytes([byte]) for byte in range(256)] + merged
    write(pathlib.Path(out) / "trained", tokens)
    tokens += unmade
    rng.shuffle(tokens)
    write(pathlib.Path(out) / "shuffled", tokens)


def bytes_to_characters():
    """GPT-2's alphabet: printable Latin-1 stands for itself, the other bytes are U+0100 and up."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + i) for i, byte in enumerate(others)}


if __name__ == "__main__":
    main(sys.argv[1])
