// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "kernels/layout.h"
#include "quant/weight.h"

namespace sw {

/// What a matrix product is asked to do; a variant accepts or refuses it before the weights are placed.
struct MatmulDesc {
  Type weight = Type::F32;
  int64_t n_in = 0;       ///< a multiple of the format's block
  int64_t n_out = 0;      ///< only sizes depend on it
  bool may_pack = false;  ///< the weights may be placed in a PackedLayout; else they stay as stored
};

/// One call: out[t, r] = sum_i W[r, i] * x[t, i] for rows [row_begin, row_end) and n_token tokens.
/// Each element's bits depend on its weight row and its activation row alone, never on how many tokens
/// or rows a call has: prefill, decode and any u-batch agree.
struct MatmulArgs {
  Type weight = Type::F32;
  int64_t n_in = 0;
  const std::byte* weights = nullptr;  ///< the matrix's first byte, in the kernel's layout
  /// Multiples of the layout's row_group; row_end may also be the matrix's number of rows.
  int64_t row_begin = 0, row_end = 0;
  const std::byte* acts = nullptr;    ///< packed activation rows, act_bytes(n_in) each
  const int32_t* act_rows = nullptr;  ///< which packed row is token t's; null: row t
  int64_t n_token = 0;
  float* out = nullptr;  ///< out[t * out_stride + r], r counted from row 0 of the matrix
  int64_t out_stride = 0;

  /// The packed activation row of token `t`; `act_bytes` is the kernel's act_bytes(n_in).
  const std::byte* act(int64_t t, size_t act_bytes) const {
    return acts + act_bytes * static_cast<size_t>(act_rows ? act_rows[t] : t);
  }
};

/// A matrix-product kernel: one weight format (or a family) on one instruction set, for any number of tokens.
/// Activations are packed once (quantized to 8 bits, or left as f32) and then read by every weight row. A
/// matrix has one layout, so a kernel that wants other code for decode than for prefill branches on n_token
/// itself.
struct MatmulKernel {
  const char* name = nullptr;  ///< "avx2_k"
  Isa isa = Isa::Scalar;
  const PackedLayout* layout = nullptr;  ///< of the weights that run() reads; null: as stored
  /// Null where the kernel can do it, else why not ("only Q4_K weights"). choose_matmul() minds the
  /// instruction set and may_pack.
  const char* (*refuses)(const MatmulDesc&) = nullptr;
  size_t (*act_bytes)(int64_t n_in) = nullptr;  ///< of one packed activation row, a multiple of 64
  void (*pack)(const float* x, int64_t n_in, std::byte* packed) = nullptr;
  void (*run)(const MatmulArgs&) = nullptr;
};

/// The first variant of variants/matmul.inc that this machine can run (up to `limit`) and that accepts. The
/// same answer for the same question: placing weights and binding an operation may both ask. `why`, if given,
/// gets one line: the kernel chosen and why each better one was refused.
const MatmulKernel& choose_matmul(const MatmulDesc& desc, Isa limit, std::string* why = nullptr);

/// Bytes of the matrix that `desc` describes, in the layout that `kernel` reads.
size_t matrix_bytes(const MatmulKernel& kernel, const MatmulDesc& desc);

/// A copy of `from`, a matrix as stored, in the layout that `kernel` reads. For tests and measurements: one
/// thread, new memory.
std::vector<std::byte> laid_out(const MatmulKernel& kernel, const WeightView& from);

}  // namespace sw
