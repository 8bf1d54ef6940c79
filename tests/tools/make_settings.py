#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/data/golden/settings: golden models with a setting changed, and what transformers makes of them.

    make_settings.py [CASE...]          needs torch, transformers 5.24, safetensors, numpy

Each case takes a golden model (tests/data/golden, or ../shared/data/golden beside the checkout, or that of
$SWITCHYARD_SHARED), lays some keys over its config, adds random biases where the setting asks for them, and reads
the first tokens of seq0 in float32, all at once. CASE.safetensors holds `ids` i32; `logits` f32 [positions, columns];
`positions` and `columns` i32, which say which logits; `w:NAME` the tensors added. cases.json says of each case the
model and the keys, each with its whole value; a dot leads into an object.

A case whose logits are those of the unchanged model shows nothing, and is an error (but for those of SAME).
"""
import copy
import functools
import json
import os
import pathlib
import shutil
import sys
import tempfile

import numpy
import safetensors.numpy
import torch
import transformers

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("SWITCHYARD_SHARED", REPOSITORY.parent / "shared"))
GOLDEN = REPOSITORY / "tests/data/golden"
OUT = GOLDEN / "settings"
N_POSITION, COLUMN_STEP = 4, 4
DIFFERS = 1e-3  # from the unchanged model, or the setting is not in force
BIAS = 0.3

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
LONGROPE = {"rope_type": "longrope", "original_max_position_embeddings": 32,
            "long_factor": [1.0, 1.5, 2.0, 3.0, 4.5, 6.0, 9.0, 14.0],
            "short_factor": [1.0, 1.0, 1.1, 1.1, 1.2, 1.3, 1.4, 1.6]}
WINDOWS = {"sliding_attention": "s", "full_attention": "f"}


def layer_types(kinds):
    names = {short: name for name, short in WINDOWS.items()}
    return [names[kind] for kind in kinds]


# name: (model, keys of the config, words that a parameter's name must hold to get a random bias)
CASES = {
    "mixtral_window": ("mixtral", {"sliding_window": 12}, ()),
    "qwen2_window": ("qwen2", {"use_sliding_window": True, "sliding_window": 12, "max_window_layers": 1}, ()),
    "qwen3_layer_types": ("qwen3", {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1,
                                    "layer_types": layer_types("sfs")}, ()),
    "qwen3_window": ("qwen3", {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 2}, ()),
    "qwen3_moe_window": ("qwen3_moe", {"use_sliding_window": True, "sliding_window": 12}, ()),
    "gpt_oss_order": ("gpt_oss", {"layer_types": layer_types("fss")}, ()),
    "gpt_oss_full": ("gpt_oss", {"layer_types": layer_types("fff")}, ()),
    "olmoe_clip": ("olmoe", {"clip_qkv": 0.5}, ()),
    "llama_bias": ("llama", {"attention_bias": True, "mlp_bias": True}, ("bias",)),
    "llama_mlp_bias": ("llama", {"mlp_bias": True}, ("bias",)),
    "qwen3_bias": ("qwen3", {"attention_bias": True}, ("bias",)),
    "qwen3_moe_bias": ("qwen3_moe", {"attention_bias": True}, ("bias",)),
    "olmoe_bias": ("olmoe", {"attention_bias": True, "clip_qkv": 0.7}, ("bias",)),
    "qwen3_vl_moe_bias": ("qwen3_vl_moe", {"text_config.attention_bias": True}, ("bias",)),
    "llama_linear": ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 4.0}}, ()),
    "llama_yarn": ("llama", {"rope_scaling": YARN}, ()),
    "llama_yarn_fields": ("llama", {"rope_scaling": YARN | {"beta_fast": 16.0, "beta_slow": 2.0, "truncate": False,
                                                            "attention_factor": 0.9}}, ()),
    "qwen2_yarn": ("qwen2", {"rope_scaling": YARN}, ()),
    "qwen3_moe_yarn_mscale": ("qwen3_moe", {"rope_scaling": YARN | {"mscale": 0.7, "mscale_all_dim": 0.3}}, ()),
    "mixtral_yarn_truncate": ("mixtral", {"head_dim": 16, "rope_scaling": YARN | {"truncate": False}}, ()),
    "glm4_moe_yarn": ("glm4_moe", {"rope_scaling": YARN}, ()),
    "lfm2_moe_yarn": ("lfm2_moe", {"rope_parameters": YARN | {"rope_theta": 10000.0}}, ()),
    "olmoe_llama3": ("olmoe", {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                                "high_freq_factor": 4.0,
                                                "original_max_position_embeddings": 32}}, ()),
    "llama_dynamic": ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 4.0}}, ()),
    "llama_longrope_long": ("llama", {"rope_scaling": LONGROPE}, ()),
    "llama_longrope_short": ("llama", {"rope_scaling": LONGROPE, "n_token": 32}, ()),
    "glm4_moe_longrope": ("glm4_moe", {"rope_scaling": LONGROPE | {
        "factor": 6.0, "long_factor": LONGROPE["long_factor"][4:], "short_factor": LONGROPE["short_factor"][4:]}}, ()),
    "deepseek_v3_longrope": ("deepseek_v3", {"rope_scaling": LONGROPE | {
        "attention_factor": 1.3, "long_factor": LONGROPE["long_factor"][4:],
        "short_factor": LONGROPE["short_factor"][4:]}}, ()),
}
# Dynamic scaling changes nothing in a context as long as these.
SAME = {"llama_dynamic"}


def find_model(name):
    folders = (GOLDEN / name, SHARED / "data/golden" / name, SHARED / "data/golden_next" / name)
    return next(folder for folder in folders if (folder / "model.safetensors").exists())


def overlaid(config, keys):
    """With keys replaced; a dot leads into an object."""
    changed = copy.deepcopy(config)
    for key, value in keys.items():
        *path, last = key.split(".")
        functools.reduce(dict.__getitem__, path, changed)[last] = value
    return changed


def load(folder, config_json):
    """The model of a folder with another config; biases that the checkpoint lacks are random."""
    model_class = getattr(transformers, config_json["architectures"][0])
    with tempfile.TemporaryDirectory() as temp:
        for file in folder.glob("*.safetensors*"):
            if file.name != "golden.safetensors":
                shutil.copy(file, temp)
        (pathlib.Path(temp) / "config.json").write_text(json.dumps(config_json))
        model, said = model_class.from_pretrained(temp, attn_implementation="eager", dtype=torch.float32,
                                                  output_loading_info=True)
    return model.eval(), sorted(said["missing_keys"])


def logits(model, ids):
    with torch.no_grad():
        return model(torch.from_numpy(ids).long()[None], use_cache=False).logits[0].numpy()


def fill_biases(model, names):
    generator = torch.Generator().manual_seed(7)
    parameters, added = dict(model.named_parameters()), {}
    for name in names:
        with torch.no_grad():
            parameters[name].copy_(BIAS * torch.randn(parameters[name].shape, generator=generator))
        added[name] = parameters[name].detach().numpy().copy()
    return added


def make(name, model_name, keys, biases):
    folder = find_model(model_name)
    config = json.loads((folder / "config.json").read_text())
    n_token = keys.get("n_token", 48)
    keys = {key: value for key, value in keys.items() if key != "n_token"}
    ids = safetensors.numpy.load_file(folder / "golden.safetensors")["seq0.ids"][:n_token]
    model, missing = load(folder, overlaid(config, keys))
    assert all(any(word in tensor for word in biases) for tensor in missing), f"{name}: {missing} are missing"
    added = fill_biases(model, missing)
    got = logits(model, ids)
    plain = logits(load(folder, config)[0], ids)
    differs = numpy.abs(got - plain).max()
    assert differs == 0 if name in SAME else differs > DIFFERS, f"{name}: {differs} off {model_name}"
    positions = numpy.arange(n_token - N_POSITION, n_token, dtype=numpy.int32)
    columns = numpy.arange(0, got.shape[1], COLUMN_STEP, dtype=numpy.int32)
    arrays = {"ids": ids, "positions": positions, "columns": columns,
              "logits": numpy.ascontiguousarray(got[numpy.ix_(positions, columns)])}
    arrays |= {f"w:{tensor}": values for tensor, values in added.items()}
    (OUT / f"{name}.safetensors").write_bytes(safetensors.numpy.save(arrays))
    print(f"{name}: {differs:.1e} off {model_name}, {len(added)} tensors added")
    return {"model": model_name, "config": keys}


def main():
    transformers.logging.set_verbosity_error()
    OUT.mkdir(parents=True, exist_ok=True)
    listed = OUT / "cases.json"
    cases = json.loads(listed.read_text()) if listed.exists() else {}
    for name in sys.argv[1:] or CASES:
        cases[name] = make(name, *CASES[name])
        listed.write_text(json.dumps(dict(sorted(cases.items())), indent=1) + "\n")


main()
