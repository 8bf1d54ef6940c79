#!/bin/bash
# SPDX-License-Identifier: MIT
# Adds an architecture, a weight format and a kernel variant to a copy of the tree, each by one file (in
# src/ here) and one line in its list, as CONTRIBUTING.md tells; then builds and runs them.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
copy=$work/tree
build=$copy/build/release
export CCACHE_BASEDIR=$copy  # as in scripts/lib.sh: what another copy has compiled need not be compiled again
export SWITCHYARD_SHARED=$work/none

# quietly NAME COMMAND...: shows the command's output only where it fails.
quietly() {
  local name=$1 began=$SECONDS
  shift
  "$@" >"$work/log" 2>&1 || { tail -n 60 "$work/log" && echo "extend: failed: $name" && exit 1; }
  echo "extend: $name ($((SECONDS - began)) s)"
}

# expect TEXT COMMAND...: the command's output must hold TEXT.
expect() {
  local text=$1
  shift
  "$@" >"$work/log" 2>&1 || { cat "$work/log" && echo "extend: failed: $*" && exit 1; }
  grep -qF -- "$text" "$work/log" || { cat "$work/log" && echo "extend: no '$text' in the output of: $*" && exit 1; }
}

mkdir "$copy"
cp -r "$root"/{CMakeLists.txt,cmake,include,src,tests,web} "$copy"

# The three additions: a file each, and these lines. A kernel stands before those it should be chosen over.
cp -r "$root"/tests/extend/src "$copy"
echo 'SW_ARCH(kToyMoe)' >>"$copy/src/arch/all.inc"
echo 'SW_TYPE(TOY8, 250)' >>"$copy/src/quant/types.inc"
sed -i 's/^SW_VARIANT(ref_matmul,/SW_VARIANT(lanes_f32, Isa::Scalar)\n&/' "$copy/src/kernels/variants/matmul.inc"

quietly "configure" cmake -S "$copy" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release
quietly "build" cmake --build "$build" --target switchyard test_quant
quietly "test_quant" "$build/tests/test_quant"

program=$build/bin/switchyard
# Every kernel beside the references, in every format that it takes: nothing but the lists tells it which.
expect "lanes_f32 F32" "$program" selftest -m "$root/models/fable-ling-Q4_K_M.gguf"
expect "ref_matmul TOY8" "$program" selftest -m "$root/models/fable-ling-Q4_K_M.gguf"
model=$copy/tests/data/golden/bailing_moe_v2
cd "$work"

# The architecture: the same weights under its name give the same bytes.
cp -r "$model" toy
sed -i 's/"BailingMoeV2ForCausalLM"/"ToyMoeForCausalLM"/' toy/config.json
echo '5 7 11 13 17 19 23 29' >ids
for name in ling:"$model" toy:toy; do
  quietly "convert ${name%%:*}" "$program" convert "${name#*:}" -o "${name%%:*}.gguf" --outtype f32
  quietly "trace ${name%%:*}" "$program" trace -m "${name%%:*}.gguf" --ids-file ids --hidden --out "${name%%:*}.safetensors"
done
# What stands behind the header, which names the model.
values() { tail -c "+$((9 + $(od -An -t u8 -N 8 "$1")))" "$1"; }
cmp <(values ling.safetensors) <(values toy.safetensors) || { echo "extend: the two architectures differ" && exit 1; }
expect toymoe "$program" info toy.gguf

# The format: written, listed and run.
quietly "quantize" "$program" quantize toy.gguf toy-toy8.gguf F16 --tensor-type 'ffn_.*_exps=TOY8'
expect TOY8 "$program" info toy-toy8.gguf
quietly "trace TOY8" "$program" trace -m toy-toy8.gguf --ids-file ids --out toy8.safetensors

# The kernel: the best one that a processor without AVX2 has for F32 weights.
export SW_ISA=scalar
expect lanes_f32 "$program" version
quietly "trace with lanes_f32" "$program" trace -m toy.gguf --ids-file ids --out lanes.safetensors
echo "extend: an architecture, a format and a kernel variant were added"
