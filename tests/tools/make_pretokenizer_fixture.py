#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/data/pretokenizer/mixed.bin: mixed strings and what `tokenizers` makes of each of them.

usage: make_pretokenizer_fixture.py OUT [NAME=tokenizer.json...] [ids:NAME=tokenizer.json...] [tiktoken:NAME=FOLDER...]

A column NAME is how a pre-tokenizer of src/tokenizer/pre_tokenizers.inc cuts the strings: those below, and
those of the given files. A column ids:NAME is the ids that a whole tokenizer gives, tiktoken:NAME those of tiktoken
with Kimi-K2's pattern for a folder of make_tiktoken_fixture.py. The column "nfc" (the text in Unicode form C) is
always written. Committed were bailingmoe2 (Ling), llama-bpe (tokenizer "B" of the golden data), qwen2 and ids:qwen3
(Qwen3), deepseek-v3 and ids:deepseek_v3 (DeepSeek-V3), ids: of all in tests/data/sentencepiece, ids:added_tokens of
tests/data/added_tokens/flags.json, and tiktoken: of both in tests/data/tiktoken. Needs `tokenizers` and `tiktoken`.

The file, little endian: u32 number of columns, each u8 length and name; u32 number of strings, each
u16 length and UTF-8; then per column one u32 for each ten strings: FNV-1a 64, its halves xored, over the ten
numbers that come of the strings in the same way, each over the pieces' byte lengths as u32 (for "nfc": over the
bytes; for "ids:": over the ids as u32).

Only characters that Unicode 14 knows are used: that is PCRE2 10.42's version, and the normalizer of
`tokenizers` does not know the order of some newer marks. Of those, punctuation that its Punctuation does not
know (its table is that of Unicode 8) is left out too.
"""

import json
import os
import pathlib
import random
import struct
import sys
import unicodedata

import tiktoken
from tiktoken.load import load_tiktoken_bpe
from tokenizers import Regex, Tokenizer, normalizers
from tokenizers.pre_tokenizers import ByteLevel, Digits, Punctuation, Sequence, Split

# Else tiktoken reads a file that has changed as it was when its path was first read.
os.environ["TIKTOKEN_CACHE_DIR"] = ""
SEED = 20251122
N_STRINGS = 10_000
STRINGS_PER_HASH = 10

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
SPECIAL = """<|endoftext|> <|im_start|> <|im_end|> <think> </think> <tool_call> <|fim_prefix|> <|eot_id|> <unk> <s>
<｜begin▁of▁sentence｜> <｜end▁of▁sentence｜> <｜User｜> <｜Assistant｜> <｜▁pad▁｜> <|im_e <｜User| |>
<|user|> <|left|> </s>""".split()
CODE = [
    "    return self.x\n", "for (int i = 0; i < n; ++i) {\n\t", "#include <vector>\n", "if x != None:\n        ",
    "def f(a, *b, **c) -> int:\n", "SELECT * FROM t WHERE a >= 10;", "</div>\n  <p class=\"x\">", "// TODO\n\n\n",
    "x->y::z<T>&&", "{\"a\": [1, 2.5e-3, null]}", "$HOME/bin:${PATH}", "$$\\frac{1}{2}$$", "a/b//c", "HTTPServerError",
]


def is_punctuation(character):
    pieces = Punctuation("isolated").pre_tokenize_str("a" + character)
    return len(pieces) == 2 and not (character.isascii() and unicodedata.category(character)[0] == "S")


def any_character(rng):
    while True:
        code = rng.choice((rng.randrange(0x250), rng.randrange(0x3000), rng.randrange(0x10000), rng.randrange(0x20000)))
        category = unicodedata.category(chr(code))
        if category not in ("Cn", "Cs") and (category[0] == "P") == is_punctuation(chr(code)):
            return chr(code)


def make_string(rng):
    parts = []
    for _ in range(rng.randrange(1, 9)):
        kind = rng.random()
        if kind < 0.3:
            parts.append(rng.choice(WORDS))
        elif kind < 0.4:
            parts.append(rng.choice(CODE if kind < 0.36 else SPECIAL))
        elif kind < 0.75:
            parts.append(rng.choice(PIECES))
        elif kind < 0.85:
            parts.append("".join(rng.choice(DIGITS) for _ in range(rng.randrange(1, 8))))
        else:
            parts.append("".join(any_character(rng) for _ in range(rng.randrange(1, 4))))
        if rng.random() < 0.3:
            parts.append(" ")
    return "".join(parts)


def split(pattern):
    return Split(Regex(pattern), "isolated")


GPT2 = ByteLevel(add_prefix_space=False, use_regex=True)
BYTES = ByteLevel(add_prefix_space=False, use_regex=False)
# As the models' own tokenizer.json have them.
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
DEEPSEEK_LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝ"
    "Ὗ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎ"
    "ꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
)
KIMI = (
    r"[\p{Han}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+" +
    CONTRACTIONS + "?|" +
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*" +
    CONTRACTIONS + r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
WORD_LIKE = r" ?[^(\s|[.,!?…。，、।۔،])]+"
CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS +
    r"?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS + "?|")
NEWLINES_AND_SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
DEEPSEEK_WORDS = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+")
PUBLISHED = {
    "gpt-2": GPT2,
    "qwen35": Sequence([split(
        CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
        BYTES]),
    "glm4": Sequence([split(
        CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
        BYTES]),
    "gpt-4o": Sequence([split(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS +
        r"?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS +
        r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"), BYTES]),
    "deepseek-llm": Sequence([
        split("[\r\n]"), split(r"\s?[" + DEEPSEEK_LETTERS + "]+"), split("\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+"),
        split(r"\s+$"), split("[一-龥ࠀ-一가-퟿]+"), Digits(individual_digits=True), BYTES]),
    "deepseek-coder": Sequence([
        split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[一-龥ࠀ-一가-퟿]+"),
        Digits(individual_digits=True), BYTES]),
    "falcon": Sequence([
        Punctuation("contiguous"), GPT2, Digits(individual_digits=False), split("[0-9][0-9][0-9]")]),
    "starcoder": Sequence([Digits(individual_digits=True), GPT2]),
    "hunyuan": Sequence([split(
        CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), BYTES]),
    "seed-coder": Sequence([split(
        CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"), BYTES]),
    "tekken": Sequence([split(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
        r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"), BYTES]),
    "kimi-k2": Sequence([split(KIMI), BYTES]),
    "command-r": Sequence([Digits(individual_digits=True), GPT2]),
    "superbpe": Sequence([split(r"\p{N}+"), split(r"(?=(\d{3})+(?!\d))"), BYTES]),
    "bloom": Sequence([split(WORD_LIKE), BYTES]),
    "viking": Sequence([split(WORD_LIKE), Digits(individual_digits=True), BYTES]),
    "jais-2": Sequence([split(
        CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+" +
        "".join(rf"|\s{{{n}}}(?!\S)" for n in (512, 256, 128, 64, 32, 16, 8, 4, "1,2")) + r"|\s{1}"), BYTES]),
    "minicpm5": Sequence([split(r"\p{N}{1,3}"), split(
        CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*" + NEWLINES_AND_SPACES),
        BYTES]),
    "exaone-moe": Sequence([split(
        CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|"
        r"\s*[\r\n]|\s+(?!\S)|\s+"), BYTES]),
    "tiny_aya": Sequence([split(r"\d{1,3}(?=(?:\d{3})*\b)"), split(
        CASED + r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + NEWLINES_AND_SPACES), BYTES]),
    "youtu": Sequence([
        split("[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+"),
        split(CASED + r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + NEWLINES_AND_SPACES), BYTES]),
    "afmoe": Sequence([
        split(r"\p{Nd}{1,510}(?=(?>\p{Nd}{510})*(?:\P{Nd}|$))|\G\p{Nd}{510}"),
        split(r"\A\p{Nd}{1,2}(?=\p{Nd}{3}+\z)"), split(r"\A\p{Nd}{3}|\G\p{Nd}{3}"),
        split(
            r"(?:[\u4E00-\u9FFF\u3040-\u309F\u30A0-\u30FF\u3400-\u4DBF\uf900-\uFAFF\uFF65-\uFF9F\u2F00-\u2FDF]+|"
            r"[\u0E00-\u0E7F]+|[\u0E80-\u0EFF]+|[\u1780-\u17FF]+|[\u1000-\u109F\uAA60-\uAA7F\uA9E0-\uA9FF]+|"
            r"[\uAC00-\uD7AF\u1100-\u11FF]+)"),
        split(DEEPSEEK_WORDS + r"[\r\n]*" + NEWLINES_AND_SPACES), BYTES]),
    "laguna": Sequence([split(r"[^\n]+|[\n]+"), split(
        CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + NEWLINES_AND_SPACES),
        BYTES]),
    "spark2_5": Sequence([
        split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK_WORDS + r"|[\r\n]|\s+(?!\S)|\s+"),
        split(r"\p{N}"), BYTES]),
    "ufakzeka": Sequence([split(
        r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + NEWLINES_AND_SPACES), BYTES]),
    "k2-horizon": Sequence([split(
        CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}|\p{M}|\u200C|\u200D)+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" +
        NEWLINES_AND_SPACES), BYTES]),
    "chameleon": Sequence([
        split("<sentinel:[0-9]+>"), split("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"), split("([\t\n]|    |  )"),
        Digits(individual_digits=True), Punctuation("isolated"), GPT2]),
    # Mainline's own, for files that name no other.
    "default": Sequence([
        split(r"[\p{P}\$\+<=>\^~\|]+"),
        split(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"),
        split(r"\p{N}+"), split("[0-9][0-9][0-9]"), BYTES]),
}


def fnv32(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return (h >> 32) ^ (h & 0xFFFFFFFF)


def hash_numbers(numbers):
    return fnv32(b"".join(struct.pack("<I", n) for n in numbers))


def hash_pieces(pre_tokenizer, text):
    # After ByteLevel each character of a piece stands for one byte.
    return hash_numbers([len(piece) for piece, _ in pre_tokenizer.pre_tokenize_str(text)])


def read_tiktoken(folder):
    ranks = load_tiktoken_bpe(str(folder / "tiktoken.model"))
    named = json.loads((folder / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    texts = {id: f"<|reserved_token_{id}|>" for id in range(len(ranks), len(ranks) + 256)}
    texts |= {int(id): token["content"] for id, token in named.items()}
    special = {text: id for id, text in texts.items()}
    return tiktoken.Encoding("kimi", pat_str=KIMI, mergeable_ranks=ranks, special_tokens=special)


def main(out, named):
    rng = random.Random(SEED)
    strings = [make_string(rng) for _ in range(N_STRINGS)]
    cutters, tokenizers, tiktokens = dict(PUBLISHED), {}, {}
    for argument in named:
        name, path = argument.split("=", 1)
        if name.startswith("ids:"):
            tokenizers[name] = Tokenizer.from_file(path)
        elif name.startswith("tiktoken:"):
            tiktokens[name] = read_tiktoken(pathlib.Path(path))
        else:
            cutters[name] = Tokenizer.from_file(path).pre_tokenizer
    columns = {name: [hash_pieces(cutter, s) for s in strings] for name, cutter in cutters.items()}
    nfc = normalizers.NFC()
    columns["nfc"] = [fnv32(nfc.normalize_str(s).encode()) for s in strings]
    for name, tokenizer in tiktokens.items():
        columns[name] = [hash_numbers(tokenizer.encode(s, allowed_special="all")) for s in strings]
    for name, tokenizer in tokenizers.items():
        columns[name] = [hash_numbers(tokenizer.encode(s, add_special_tokens=False).ids) for s in strings]

    with open(out, "wb") as file:
        file.write(struct.pack("<I", len(columns)))
        for name in columns:
            file.write(struct.pack("<B", len(name)) + name.encode())
        file.write(struct.pack("<I", len(strings)))
        for s in strings:
            data = s.encode()
            file.write(struct.pack("<H", len(data)) + data)
        for hashes in columns.values():
            for at in range(0, len(hashes), STRINGS_PER_HASH):
                file.write(struct.pack("<I", hash_numbers(hashes[at:at + STRINGS_PER_HASH])))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
