#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes small tokenizer.json of SentencePiece's kinds to tests/data/sentencepiece, trained on a text.

usage: make_sentencepiece_fixture.py OUT_FOLDER TEXT...

prepend.json    BPE, bytes as fallback, the normalizer marks spaces and puts one in front (Llama 2, Mixtral, Phi-3)
metaspace.json  BPE, bytes as fallback, Metaspace "first" that keeps words together (Llama 2 of today)
words.json      BPE without bytes, Metaspace "always" that splits words; unknown tokens
unigram.json    unigram, Metaspace; unknown tokens
unigram_bytes.json  unigram with bytes as fallback, the normalizer marks spaces

make_pretokenizer_fixture.py takes them as ids:prepend=... and so on. Committed was TEXT = the first 300 kB of
the held-out stories. Needs `tokenizers`.
"""

import json
import sys

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

MARK = "\u2581"
SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
LLAMA_NORMALIZER = [normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)]
LLAMA_DECODER = [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]


def words_of(lines):
    """Lines with spaces marked, so that training sees what encoding will see."""
    for line in lines:
        yield from (MARK + word for word in line.split())


def finish(tokenizer, special=SPECIAL):
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in special])
    tokenizer.add_special_tokens([AddedToken("<|user|>", rstrip=True), AddedToken("<|left|>", lstrip=True)])
    return tokenizer


def bpe(lines, with_bytes):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=with_bytes, fuse_unk=True))
    special = SPECIAL + (BYTES if with_bytes else [])
    trainer = trainers.BpeTrainer(vocab_size=1200, special_tokens=special, limit_alphabet=120, show_progress=False)
    tokenizer.train_from_iterator(words_of(lines), trainer)
    # Bytes stand in the vocabulary alone.
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = []
    # Runs of spaces are tokens, as Llama has them.
    vocab, merges = data["model"]["vocab"], data["model"]["merges"]
    for n in (2, 4, 8):
        if MARK * n not in vocab:
            vocab[MARK * n] = len(vocab)
            merges.append([MARK * (n // 2), MARK * (n // 2)])
    return Tokenizer.from_str(json.dumps(data))


def unigram(lines, with_bytes):
    tokenizer = Tokenizer(models.Unigram())
    trainer = trainers.UnigramTrainer(
        vocab_size=1000, special_tokens=SPECIAL, unk_token="<unk>", max_piece_length=12, show_progress=False)
    tokenizer.train_from_iterator(words_of(lines), trainer)
    vocab = [tuple(entry) for entry in json.loads(tokenizer.to_str())["model"]["vocab"]]
    if with_bytes:
        vocab += [(byte, -20.0) for byte in BYTES]
    return Tokenizer(models.Unigram(vocab, unk_id=0, byte_fallback=with_bytes))


def main(out, texts):
    lines = []
    for path in texts:
        with open(path, encoding="utf-8") as file:
            lines += file.read(300_000).splitlines()

    prepend = bpe(lines, True)
    prepend.normalizer = normalizers.Sequence(LLAMA_NORMALIZER)
    prepend.decoder = decoders.Sequence(LLAMA_DECODER)
    metaspace = bpe(lines, True)
    metaspace.pre_tokenizer = pre_tokenizers.Metaspace(MARK, prepend_scheme="first", split=False)
    metaspace.decoder = decoders.Sequence(LLAMA_DECODER)
    words = bpe(lines, False)
    words.pre_tokenizer = pre_tokenizers.Metaspace(MARK, prepend_scheme="always", split=True)
    words.decoder = decoders.Metaspace(MARK, prepend_scheme="always", split=True)
    plain = unigram(lines, False)
    plain.pre_tokenizer = pre_tokenizers.Metaspace(MARK, prepend_scheme="always", split=True)
    plain.decoder = decoders.Metaspace(MARK, prepend_scheme="always", split=True)
    with_bytes = unigram(lines, True)
    with_bytes.normalizer = normalizers.Sequence(LLAMA_NORMALIZER)
    with_bytes.decoder = decoders.Sequence(LLAMA_DECODER)
    made = {"prepend": prepend, "metaspace": metaspace, "words": words, "unigram": plain, "unigram_bytes": with_bytes}
    for name, tokenizer in made.items():
        finish(tokenizer).save(f"{out}/{name}.json", pretty=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
