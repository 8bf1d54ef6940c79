#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/data/pretokenizer/mixed.bin: mixed strings and how `tokenizers` cuts each of them.

usage: make_pretokenizer_fixture.py OUT NAME=tokenizer.json...

NAME is the pre-tokenizer's name in src/tokenizer/pre_tokenizers.inc. The column "gpt-2" (a plain
ByteLevel) and the column "nfc" (the text in Unicode form C) are always written. Needs `tokenizers`.

The file, little endian: u32 number of columns, each u8 length and name; u32 number of strings, each
u16 length and UTF-8; then per column one u32 a string: FNV-1a 64, its halves xored, over the pieces'
byte lengths as u32 (for "nfc": over the bytes).

Only characters that Unicode 14 knows are used: that is PCRE2 10.42's version.
"""

import random
import struct
import sys
import unicodedata

from tokenizers import Tokenizer, normalizers, pre_tokenizers

SEED = 20251122
N_STRINGS = 10_000

WORDS = """the The cat don't I'll WE'RE they've 'tis it's O'Neil naïve café señor Größe I'M you'd y'all
foo_bar x=1; f(x) -> [a, b] http://a.b/c?d=e#f user@example.com 3.14 1,000,000 0xFF ３１４ ²³ Ⅷ ½ ٣٤٥ १२३
Привет Ελληνικά שלום العربية हिन्दी ไทย 中文字 日本語テキスト ひらがな カタカナ 한국어 조합 汉字123 ﷺ""".split()
PIECES = [
    "'s", "'S", "'ſ", "'t", "'RE", "'ve", "'lL", "'d", "'M", "’s", "''", "'", "ſ", "K", "İ", "ı", "ß", "ŉ",
    "\n", "\n\n", "\n\n\n", "\r\n", "\r", " \n", "\n ", "\t", "\t\t", "\v", "\f", " ", "  ", "   ", "    ",
    "\u00a0", "\u0085", "\u1680", "\u180e", "\u2003", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000",
    "\u200b", "\u200d", "\ufeff", "\u00ad", "\u0000", "\u001f", "\u007f",
    "😀", "👩‍👩‍👧", "🏳️‍🌈", "👍🏽", "🇩🇪", "❤️", "☃", "e\u0301", "a\u0323\u0307", "\u0301", "o\u0302\u0323",
    "\u1100\u1161\u11a8", "\u212b", "\u0344", "\u2126", "ﬁ", "，", "。", "《", "》", "¿", "—", "…", "€", "©",
    "!!", "...", "?!", "()", "{}", "<|x|>", "</s>", "#", "@", "_", "__", "\\", "/", "`", "~", "^", "$", "+", "|",
]
DIGITS = "0123456789"


def any_character(rng):
    while True:
        code = rng.choice((rng.randrange(0x250), rng.randrange(0x3000), rng.randrange(0x10000), rng.randrange(0x20000)))
        if unicodedata.category(chr(code)) not in ("Cn", "Cs"):
            return chr(code)


def make_string(rng):
    parts = []
    for _ in range(rng.randrange(1, 9)):
        kind = rng.random()
        if kind < 0.35:
            parts.append(rng.choice(WORDS))
        elif kind < 0.75:
            parts.append(rng.choice(PIECES))
        elif kind < 0.85:
            parts.append("".join(rng.choice(DIGITS) for _ in range(rng.randrange(1, 8))))
        else:
            parts.append("".join(any_character(rng) for _ in range(rng.randrange(1, 4))))
        if rng.random() < 0.3:
            parts.append(" ")
    return "".join(parts)


def fnv32(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return (h >> 32) ^ (h & 0xFFFFFFFF)


def hash_pieces(pre_tokenizer, text):
    # After ByteLevel each character of a piece stands for one byte.
    lengths = [len(piece) for piece, _ in pre_tokenizer.pre_tokenize_str(text)]
    return fnv32(b"".join(struct.pack("<I", n) for n in lengths))


def main(out, named):
    rng = random.Random(SEED)
    strings = [make_string(rng) for _ in range(N_STRINGS)]
    cutters = {"gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)}
    for argument in named:
        name, path = argument.split("=", 1)
        cutters[name] = Tokenizer.from_file(path).pre_tokenizer
    columns = {name: [hash_pieces(cutter, s) for s in strings] for name, cutter in cutters.items()}
    nfc = normalizers.NFC()
    columns["nfc"] = [fnv32(nfc.normalize_str(s).encode()) for s in strings]

    with open(out, "wb") as file:
        file.write(struct.pack("<I", len(columns)))
        for name in columns:
            file.write(struct.pack("<B", len(name)) + name.encode())
        file.write(struct.pack("<I", len(strings)))
        for s in strings:
            data = s.encode()
            file.write(struct.pack("<H", len(data)) + data)
        for hashes in columns.values():
            file.write(struct.pack(f"<{len(hashes)}I", *hashes))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
