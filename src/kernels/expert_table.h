// SPDX-License-Identifier: MIT
#pragma once
#include <span>
#include <vector>

#include "kernels/matmul.h"
#include "quant/weight.h"

namespace sw {

/// Where one matrix of one expert is, as kernels read it: one load of 16 bytes.
struct alignas(16) ExpertMatrix {
  const std::byte* data = nullptr;  ///< rows on the table's device; null: that expert is not there
  Type type = Type::F32;
};
static_assert(sizeof(ExpertMatrix) == 16);

/// A format that experts of a stack have, and the CPU's product bound to it; a GPU's operations bring their
/// own.
struct ExpertFormat {
  Type type = Type::F32;
  const MatmulKernel* matmul = nullptr;
};

/// One of the matrices of a layer's experts, [n_expert, n_out, n_in] by way of a table: each expert's has its
/// own address and format. An expert that is not on this device adds nothing here; it is absent in all of the
/// layer's stacks.
///
/// The table may be rewritten between two steps, as experts come and go: recorded steps stay valid. What
/// stands below it here must still hold then, and there must be no `even`.
struct ExpertStack {
  int64_t n_expert = 0;  ///< of the model
  int64_t n_out = 0, n_in = 0;
  const ExpertMatrix* table = nullptr;  ///< [n_expert] in the device's memory: read while an operation runs
  /// Where all experts are here, of one format, each right behind the one before: the first one's rows. Then
  /// an address follows from the id, and nobody has to wait for the table.
  const std::byte* even = nullptr;
  const float* bias = nullptr;  ///< [n_expert, n_out], added to the product; or null

  // What binding and planning know of the table.
  std::vector<ExpertFormat> formats = {};  ///< of the experts that are here
  int64_t n_here = 0;                      ///< experts that are here, at most

  /// Reads the table.
  bool has(int32_t id) const { return id >= 0 && id < n_expert && table[id].data; }
  /// The matrix of an expert that is here. Reads the table.
  WeightView matrix(int32_t id) const { return {table[id].type, {n_out, n_in}, table[id].data, {}}; }
  /// The question that choose_matmul() answers of the experts of a format.
  MatmulDesc product(Type type, bool may_pack) const {
    return {.weight = type, .n_in = n_in, .n_out = n_out, .may_pack = may_pack};
  }
  /// The biases of an expert, or null.
  const float* bias_of(int32_t id) const { return bias ? bias + id * n_out : nullptr; }
  /// The CPU's product that is bound to a format; null where none is.
  const MatmulKernel* kernel(Type type) const {
    for (const ExpertFormat& format : formats) {
      if (format.type == type) return format.matmul;
    }
    return nullptr;
  }
  /// Likewise, of a format that occurs.
  const MatmulKernel& matmul(Type type) const {
    const MatmulKernel* bound = kernel(type);
    if (bound) return *bound;
    assert_failed("the format of an expert was known when its operation was bound", __FILE__, __LINE__);
  }
};

/// The stack of `experts` [n_expert], matrices of one shape and any formats on one device; an empty view for
/// each expert that is not there, but not for all. `table` gets what the device must hold, and the stack
/// points at it: unless the device is the CPU, copy it there and point ExpertStack::table at the copy.
ExpertStack list_experts(std::span<const WeightView> experts, std::vector<ExpertMatrix>& table);

}  // namespace sw
