#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/data/golden/qwen2: a tiny random Qwen2 model and what transformers makes of it in float32.

    make_model_golden.py        needs torch, transformers, safetensors, numpy

Laid out as the other folders there (tests/data/README.md). The tokenizer is a copy of qwen3_moe's.
"""
import json
import pathlib
import shutil

import numpy
import safetensors.numpy
import torch
import transformers

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "data/golden"
OUT = GOLDEN / "qwen2"
N_GREEDY, MARGIN = 32, 5e-3


def make_model(seed):
    torch.manual_seed(seed)
    config = transformers.Qwen2Config(
        vocab_size=520, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, rope_theta=1000000.0, tie_word_embeddings=False,
        use_sliding_window=False, attn_implementation="eager", bos_token_id=500, eos_token_id=503)
    model = transformers.Qwen2ForCausalLM(config).float().eval()
    with torch.no_grad():  # weights large enough that layers and biases matter
        for name, weight in model.named_parameters():
            if name.endswith("norm.weight"):
                weight.copy_(1 + 0.1 * torch.randn_like(weight))
            else:
                weight.copy_((0.3 if name.endswith("bias") else 0.12) * torch.randn_like(weight))
    return model


def trace(model, ids):
    with torch.no_grad():
        out = model(torch.tensor([ids]), output_hidden_states=True, use_cache=False)
    return out.logits[0].numpy(), [h[0].numpy() for h in out.hidden_states]


def greedy(model, prompt):
    """32 ids by argmax, or None where two logits are too close to tell."""
    ids = list(prompt)
    for _ in range(N_GREEDY):
        best = numpy.sort(trace(model, ids)[0][-1])[-2:]
        if best[1] - best[0] < MARGIN:
            return None
        ids.append(int(trace(model, ids)[0][-1].argmax()))
    return ids[len(prompt):]


def main():
    rng = numpy.random.default_rng(1)
    prompt = [int(i) for i in rng.integers(0, 500, 8)]
    model, answer = next((m, a) for m in map(make_model, range(1000)) if (a := greedy(m, prompt)))
    golden = {"greedy.prompt": prompt, "greedy.ids": answer}
    for name, n in (("seq0", 48), ("seq1", 7)):
        ids = [int(i) for i in rng.integers(0, 520, n)]
        logits, hidden = trace(model, ids)
        golden[f"{name}.ids"], golden[f"{name}.logits"] = ids, logits
        layers = []
        hooks = [layer.register_forward_hook(lambda _m, _i, out: layers.append(out[0] if isinstance(out, tuple) else out))
                 for layer in model.model.layers]
        trace(model, ids)
        for hook in hooks:
            hook.remove()
        for k, states in enumerate(layers):
            golden[f"{name}.layer{k}.hidden"] = states.reshape(n, -1).numpy()
        golden[f"{name}.final_norm"] = hidden[-1]
    arrays = {k: numpy.ascontiguousarray(v, dtype=numpy.int32 if isinstance(v, list) else numpy.float32)
              for k, v in golden.items()}
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    safetensors.numpy.save_file(arrays, OUT / "golden.safetensors")
    safetensors.numpy.save_file({k: v.detach().numpy().copy() for k, v in model.state_dict().items()},
                                OUT / "model.safetensors")
    config = model.config.to_dict() | {"architectures": ["Qwen2ForCausalLM"], "torch_dtype": "float32"}
    keep = ("architectures", "model_type", "hidden_act", "hidden_size", "intermediate_size",
            "max_position_embeddings", "max_window_layers", "num_attention_heads", "num_hidden_layers",
            "num_key_value_heads", "rms_norm_eps", "sliding_window", "use_sliding_window",
            "vocab_size", "bos_token_id", "eos_token_id", "tie_word_embeddings", "torch_dtype")
    small = {k: config[k] for k in keep if k in config} | {"rope_theta": 1000000.0}
    (OUT / "config.json").write_text(json.dumps(small, indent=1) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (GOLDEN / "qwen3_moe" / name).exists():
            shutil.copy(GOLDEN / "qwen3_moe" / name, OUT / name)


main()
