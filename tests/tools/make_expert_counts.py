#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/data/golden/expert_counts: the golden models' logits with every number of experts per token.

    make_expert_counts.py          with transformers 5.23: every architecture but
    make_expert_counts.py LING     with transformers 4.57: LongCat and BailingMoeV2

Needs torch, transformers, safetensors, numpy, and the models (../shared/data/golden beside the checkout, or
$SWITCHYARD_SHARED). LING is the folder models/ of https://github.com/inclusionAI/Ling-V2, the original Python of
BailingMoeV2, which runs with transformers before 5 alone. LongCat's class of 5.23 cannot load a checkpoint (it wants
weights for identity experts). In 4.57 routers with groups may select from groups that they dropped: they give those
experts the score 0, which is more than a score with a negative bias; 5.23 gives them -inf.

Each model is loaded anew with a changed num_experts_per_tok, from 1 to the most that its groups hold, and reads seq0
of its golden.safetensors in float32, or seq1 where the choice of experts would hang on a rounding error. With its own
number of experts it must give the logits stored there. One file a model: `ids` i32, what was read; `nN.logits` f32
[positions, columns] with N experts; `positions` and `columns` i32 say which: the last tokens, and every fourth logit,
which are more than the hidden state has values.
"""
import argparse
import importlib
import json
import os
import pathlib
import sys

import numpy
import safetensors.numpy
import torch
import transformers

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("SWITCHYARD_SHARED", REPOSITORY.parent / "shared"))
OUT = REPOSITORY / "tests/data/golden/expert_counts"
N_POSITION, COLUMN_STEP = 4, 4
WITH_OLDER = ("bailing_moe_v2", "longcat_flash")  # model types
AGREES = 2e-5  # with the stored logits, at the model's own number of experts
DECISIVE = 1e-6  # the least distance of scores between selected and not


class Gaps:
    """While it lasts, torch.topk notes the least distance between the last value that it takes and the next."""

    def __enter__(self):
        self.least, self.originals = float("inf"), (torch.topk, torch.Tensor.topk)

        def topk(values, k, *args, **kwargs):
            if k < values.shape[-1]:
                best = values.sort(dim=-1, descending=True).values
                self.least = min(self.least, (best[..., k - 1] - best[..., k]).min().item())
            return self.originals[0](values, k, *args, **kwargs)

        torch.topk = torch.Tensor.topk = topk
        return self

    def __exit__(self, *_):
        torch.topk, torch.Tensor.topk = self.originals


def classes(architecture, ling):
    """Those of the config and of the model."""
    if architecture != "BailingMoeV2ForCausalLM":
        return transformers.AutoConfig, getattr(transformers, architecture)
    sys.path.insert(0, str(ling.resolve().parent))
    config, model = (importlib.import_module(f"{ling.resolve().name}.{kind}_bailing_moe_v2")
                     for kind in ("configuration", "modeling"))
    return config.BailingMoeV2Config, model.BailingMoeV2ForCausalLM


def load(folder, architecture, ling, key, n_used):
    """The model with n_used experts per token, as `key` of its config says."""
    config_class, model_class = classes(architecture, ling)
    config = config_class.from_pretrained(folder)
    setattr(getattr(config, "text_config", config), key, n_used)
    model = model_class.from_pretrained(folder, config=config, attn_implementation="eager", dtype=torch.float32)
    used = {module.top_k for module in model.modules() if hasattr(module, "top_k")}
    assert used == {n_used}, f"{folder.name} has routers of {used} experts where {n_used} were asked for"
    return model.eval()


def logits(model, ids):
    with torch.no_grad(), Gaps() as gaps:
        out = model(torch.from_numpy(ids).long()[None], use_cache=False).logits[0].numpy()
    return out, gaps.least


def experts(config):
    """Which key holds the number of experts per token, and the most there can be; None for a dense model."""
    first = lambda *keys: next((key for key in keys if key in config), None)
    key = first("num_experts_per_tok", "moe_topk")
    if key is None:
        return None
    n_expert = config[first("num_experts", "n_routed_experts", "num_local_experts")] + config.get("zero_expert_num", 0)
    n_group = config.get("n_group", 1)
    return key, n_expert // n_group * config["topk_group"] if n_group > 1 else n_expert


def run(folder, sequence, ling):
    """What the file of a model holds, and the least gap."""
    config = json.loads((folder / "config.json").read_text())
    text_config = config.get("text_config", config)
    key, most = experts(text_config)
    golden = safetensors.numpy.load_file(folder / "golden.safetensors")
    ids, stored = golden[f"{sequence}.ids"], golden[f"{sequence}.logits"]
    positions = numpy.arange(len(ids) - N_POSITION, len(ids), dtype=numpy.int32)
    columns = numpy.arange(0, stored.shape[1], COLUMN_STEP, dtype=numpy.int32)
    arrays, least = {"ids": ids, "positions": positions, "columns": columns}, float("inf")
    for n in range(1, most + 1):
        got, gap = logits(load(folder, config["architectures"][0], ling, key, n), ids)
        least = min(least, gap)
        if n == text_config[key]:
            off = numpy.abs(got - stored).max()
            assert off <= AGREES, f"{folder.name} is {off} off its golden logits"
        arrays[f"n{n}.logits"] = numpy.ascontiguousarray(got[numpy.ix_(positions, columns)])
    print(f"{folder.name}, {sequence}: 1 to {most} experts, {off:.1e} off the stored logits, least gap {least:.1e}")
    return arrays, least


def make(folder, ling):
    for sequence in ("seq0", "seq1"):
        arrays, least = run(folder, sequence, ling)
        if least >= DECISIVE:
            safetensors.numpy.save_file(arrays, OUT / f"{folder.name}.safetensors")
            return
    raise SystemExit(f"{folder.name}: no sequence with decisive selections")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ling", type=pathlib.Path, nargs="?")
    ling = parser.parse_args().ling
    transformers.logging.set_verbosity_error()
    OUT.mkdir(parents=True, exist_ok=True)
    older = transformers.__version__ < "5"
    for path in sorted((SHARED / "data/golden").glob("*/config.json")):
        config = json.loads(path.read_text())
        if experts(config.get("text_config", config)) and (config["model_type"] in WITH_OLDER) == older:
            make(path.parent, ling)


main()
