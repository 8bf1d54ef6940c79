#!/bin/bash
# SPDX-License-Identifier: MIT
# nvcc 13.0.88: a pointer that a kernel reads from a table in global memory is taken to point to global memory
# itself: what it points to is read by ld.global. Read the table's entry by __ldg instead, and the very same pointer
# is generic: ld, which is slower. __builtin_assume(__isGlobal(p)) does not change that, nor does going to the
# global address space and back by __cvta_generic_to_global and __cvta_global_to_generic: both are optimised away.
# Only the conversion in inline assembly makes it ld.global again.
#
# Seen where each expert's weights are found through a table: reading an entry by one 16-byte __ldg made every load of
# weights generic, and decoding on an H200 3 % slower.
#
# Needs Python 3 with venv and the package index; no GPU. Exit 0: as described; 1: it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 \
  nvidia-cuda-runtime==13.0.88
nvcc=$(find "$work/venv" -path '*/bin/nvcc' -type f)
"$nvcc" --version | tail -n 1

cat >"$work/table.cu" <<'CUDA'
struct alignas(16) Entry { const float* data; long long n; };
#define KERNEL(name) extern "C" __global__ void name(const Entry* table, float* out)

__device__ __forceinline__ const float* by_ldg(const Entry* entry) {
  return reinterpret_cast<const float*>(__ldg(reinterpret_cast<const ulonglong2*>(entry)).x);
}

KERNEL(plain) { out[threadIdx.x] = table[blockIdx.x].data[threadIdx.x]; }
KERNEL(ldg) { out[threadIdx.x] = by_ldg(table + blockIdx.x)[threadIdx.x]; }
KERNEL(ldg_assume) {
  const float* p = by_ldg(table + blockIdx.x);
  __builtin_assume(__isGlobal(p));
  out[threadIdx.x] = p[threadIdx.x];
}
KERNEL(ldg_convert) {
  const float* p = by_ldg(table + blockIdx.x);
  p = static_cast<const float*>(__cvta_global_to_generic(__cvta_generic_to_global(p)));
  out[threadIdx.x] = p[threadIdx.x];
}
KERNEL(ldg_assembly) {
  size_t global;
  asm("cvta.to.global.u64 %0, %1;" : "=l"(global) : "l"(by_ldg(table + blockIdx.x)));
  out[threadIdx.x] = static_cast<const float*>(__cvta_global_to_generic(global))[threadIdx.x];
}
CUDA
"$nvcc" -O3 -arch=sm_90 -ptx "$work/table.cu" -o "$work/table.ptx"

# Each kernel's load of the float.
seen=$(awk '/\.entry/ { sub(/\(.*/, "", $3); kernel = $3 } $1 ~ /^ld\.(global\.)?f32$/ { print kernel, $1 }' "$work/table.ptx")
echo "$seen"
expected='plain ld.global.f32
ldg ld.f32
ldg_assume ld.f32
ldg_convert ld.f32
ldg_assembly ld.global.f32'
[ "$seen" = "$expected" ] || { echo "changed"; exit 1; }
echo "as described"
