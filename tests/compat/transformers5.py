#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each family's tiny checkpoint as transformers 5 saves it, and without each key of its config.

    transformers5.py PROGRAM [MODEL...]    MODEL: a folder of ../shared/data, or of tests/data/golden

What `PROGRAM convert` makes of a folder must give the logits of transformers for the same folder, or be refused in
a line that names what is wrong. Needs torch, transformers 5 and safetensors; exit 77, and a line that says why,
where they or the data are absent.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SHARED = pathlib.Path(os.environ.get("SWITCHYARD_SHARED", pathlib.Path(__file__).resolve().parents[3] / "shared"))
DATA, OWN_DATA = SHARED / "data", pathlib.Path(__file__).resolve().parents[1] / "data/golden"
MODELS = [
    "golden/bailing_moe_v2", "golden/deepseek_v2", "golden/deepseek_v3", "golden/deepseek_v3_yarn",
    "golden/glm4_moe", "golden/gpt_oss", "golden/llama", "golden/llama_llama3rope", "golden/longcat_flash",
    "golden/mixtral", "golden/olmoe", "golden/qwen3", "golden/qwen3_moe", "golden/qwen3_moe_sparse2",
    "golden/qwen3_vl_moe", "golden_next/lfm2_moe", "qwen2"]
TOLERANCE = 2e-4
# Ling 2.0's class is not in transformers: the values of its own configuration_bailing_moe_v2.py.
LING_DEFAULTS = {
    "first_k_dense_replace": 1, "max_position_embeddings": 32768, "moe_intermediate_size": 512, "n_group": 8,
    "norm_topk_prob": True, "num_experts": 256, "num_experts_per_tok": 8, "num_shared_experts": 1,
    "rms_norm_eps": 1e-6, "rope_theta": 600000, "routed_scaling_factor": 1, "topk_group": 4,
    "partial_rotary_factor": None}


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


try:
    import torch
    import transformers
    from safetensors.numpy import load_file
    if int(transformers.__version__.split(".")[0]) < 5:
        skip(f"transformers {transformers.__version__}, wanted 5")
    import numpy
except ImportError as error:
    skip(str(error))

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


class Ours:
    """What the program makes of a folder: logits [T, V], or the line that refuses it."""

    def __init__(self, program, ids, scratch):
        self.program, self.scratch = program, scratch
        self.ids = scratch / "ids.txt"
        self.ids.write_text(" ".join(map(str, ids)))

    def run(self, folder):
        gguf, out = self.scratch / "m.gguf", self.scratch / "out.safetensors"
        for command in (["convert", folder, "-o", gguf, "--outtype", "f32"],
                        ["trace", "-m", gguf, "--ids-file", self.ids, "-o", out, "-t", "1"]):
            done = subprocess.run([self.program, *command], capture_output=True, text=True)
            if done.returncode not in (0, 1):
                sys.exit(f"{command[0]} ended with {done.returncode}: {done.stderr}")
            if done.returncode == 1:
                return None, done.stderr.strip().splitlines()[-1]
        return load_file(out)["logits"], ""


def auto_class(config):
    is_vision = "vision_config" in config
    return transformers.AutoModelForImageTextToText if is_vision else transformers.AutoModelForCausalLM


def logits_of(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].float().numpy()


def theirs_without(folder, weights, ids):
    """The class with this config and the checkpoint's weights; None where they do not fit together."""
    config = transformers.AutoConfig.from_pretrained(folder)
    config._attn_implementation = "eager"
    factory = auto_class(json.loads((folder / "config.json").read_text()))
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in factory.from_config(config, dtype=torch.float32).state_dict().items()}
    if shapes != {name: t.shape for name, t in weights.items()}:
        return None
    model = factory.from_config(config, dtype=torch.float32)
    model.load_state_dict(weights)
    return logits_of(model.eval(), ids)


def keys_of(config):
    """Paths of all keys, and of the members of what says rotation and text."""
    for key, value in config.items():
        yield (key,)
        if key in ("text_config", "rope_scaling", "rope_parameters") and isinstance(value, dict):
            yield from ((key, *rest) for rest in keys_of(value))


def without(config, path):
    copy = json.loads(json.dumps(config))
    at = copy
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return copy


def copy_of(folder, to):
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    for file in folder.iterdir():
        if file.name != "golden.safetensors" and file.is_file():
            (to / file.name).symlink_to(file)
    (to / "config.json").unlink()
    return to


class Family:
    def __init__(self, program, name, scratch):
        self.name, self.scratch = name, scratch
        self.folder = next(folder for folder in (DATA / name, OWN_DATA / name) if folder.exists())
        golden = load_file(self.folder / "golden.safetensors")
        self.ids = golden["seq0.ids"].tolist()
        self.expected = golden["seq0.logits"]
        self.ours = Ours(program, self.ids, scratch)
        self.config = json.loads((self.folder / "config.json").read_text())
        self.is_ling = self.config["architectures"][0].startswith("Bailing")
        self.n_equal, self.refused, self.wrong = 0, [], []
        if not self.is_ling:
            # LongCat's class has rows for identity experts, which nobody reads and checkpoints leave out.
            self.model = auto_class(self.config).from_pretrained(
                self.folder, dtype=torch.float32, attn_implementation="eager",
                ignore_mismatched_sizes="longcat" in name).eval()
            self.restore_experts()

    def restore_experts(self):
        """What did not fit by size was drawn anew: the experts that are there, again."""
        if "longcat" not in self.name:
            return
        stored = load_file(self.folder / "model.safetensors")
        state = self.model.state_dict()
        with torch.no_grad():
            for name, tensor in state.items():
                layer, _, part = name.partition(".mlp.experts.")
                if part not in ("gate_up_proj", "down_proj"):
                    continue
                for e in range(self.config["n_routed_experts"]):
                    of = f"{layer}.mlp.experts.{e}."
                    rows = [stored[of + f"{p}.weight"] for p in (
                        ("gate_proj", "up_proj") if part == "gate_up_proj" else ("down_proj",))]
                    tensor[e] = torch.from_numpy(numpy.concatenate(rows))

    def hold(self, what, got, why, expected, names):
        """`expected`: logits; None where transformers gives none, so that only a refusal or the golden is right."""
        if got is None:
            if any(name in why for name in names):
                self.refused.append(f"{what}: {why}")
            else:
                self.wrong.append(f"{what}: refused without a name: {why}")
            return
        reference = self.expected if expected is None else expected
        error = float(numpy.abs(got - reference).max())
        if error <= TOLERANCE:
            self.n_equal += 1
        else:
            self.wrong.append(f"{what}: logits differ by {error:.3g}"
                              + (" from those with the key; transformers refuses" if expected is None else ""))

    def save_again(self):
        if self.is_ling:
            return
        for fused in (False, True):
            to = copy_of(self.folder, self.scratch / "saved")
            for file in to.iterdir():
                if file.name.startswith("model") or file.name == "generation_config.json":
                    file.unlink()
            self.model.save_pretrained(to, save_original_format=not fused)
            got, why = self.ours.run(to)
            self.hold(f"saved again, {'as held' if fused else 'as published'}", got, why, self.expected, ["tensor"])

    def take_keys_out(self):
        weights = {} if self.is_ling else self.model.state_dict()
        folder = copy_of(self.folder, self.scratch / "without")
        for path in keys_of(self.config):
            what = ".".join(path)
            config = without(self.config, path)
            (folder / "config.json").write_text(json.dumps(config))
            got, why = self.ours.run(folder)
            if self.is_ling:
                self.hold(what, got, why, self.ling_default(config, path[-1], got),
                          [path[-1], *TENSORS, *ALSO.get(path[-1], [])])
                continue
            try:
                expected = theirs_without(folder, weights, self.ids)
            except Exception:  # whatever transformers throws: it gives no logits
                expected = None
            self.hold(what, got, why, expected, [path[-1], *TENSORS, *ALSO.get(path[-1], [])])

    def ling_default(self, config, key, got):
        """Logits of a config that says what the class would."""
        if got is None or key not in LING_DEFAULTS:
            return None
        folder = copy_of(self.folder, self.scratch / "said")
        (folder / "config.json").write_text(json.dumps({**config, key: LING_DEFAULTS[key]}))
        return self.ours.run(folder)[0]


# What else a line may name for a key that is missing: what contradicts the class's value.
ALSO = {"num_key_value_heads": ["key/value head count"], "head_dim": ["rotary_dim"],
        "text_config": ["num_hidden_layers"]}
# Lines that name a tensor instead: its shape, or its being there, contradicts the class's value.
TENSORS = ["by config.json", "the checkpoint lacks a tensor"]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if not DATA.exists():
        skip(f"{DATA} is not there")
    program, names = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:] or MODELS
    n_wrong = 0
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            family = Family(program, name, pathlib.Path(scratch))
            family.save_again()
            family.take_keys_out()
        print(f"{name}: {family.n_equal} equal, {len(family.refused)} refused by name, {len(family.wrong)} wrong",
              flush=True)
        for line in family.refused if os.environ.get("VERBOSE") else []:
            print(f"    refused: {line}")
        for line in family.wrong:
            print(f"    WRONG: {line}")
        n_wrong += len(family.wrong)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}: {n_wrong} wrong")
    sys.exit(1 if n_wrong else 0)


if __name__ == "__main__":
    main()
