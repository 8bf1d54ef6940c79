// SPDX-License-Identifier: MIT
#include "base/error.h"
#include "kernels/variants/all.h"

namespace sw {
namespace {

constexpr const MatmulKernel* kMatmulKernels[] = {
#define SW_VARIANT(name, isa) &name,
#include "kernels/variants/matmul.inc"
#undef SW_VARIANT
};

constexpr const VectorKernel* kVectorKernels[] = {
#define SW_VARIANT(name, isa) &name,
#include "kernels/variants/vector.inc"
#undef SW_VARIANT
};

/// Null where this machine can run `isa` and the caller allows it.
const char* isa_refusal(Isa isa, Isa limit) {
  if (!cpu_has(isa)) return "this CPU lacks its instruction set";
  if (isa > limit) return "above the instruction set allowed";
  return nullptr;
}

}  // namespace

const MatmulKernel& choose_matmul(const MatmulDesc& desc, Isa limit, std::string* why) {
  std::string refusals;
  for (const MatmulKernel* kernel : kMatmulKernels) {
    const char* refusal = isa_refusal(kernel->isa, limit);
    if (!refusal) refusal = kernel->refuses(desc);
    if (!refusal && kernel->layout && !desc.may_pack) refusal = "the weights stay as stored";
    if (!refusal) {
      if (why) *why = std::string(kernel->name) + (refusals.empty() ? "" : " (not " + refusals + ")");
      return *kernel;
    }
    refusals += (refusals.empty() ? "" : "; ") + std::string(kernel->name) + ": " + refusal;
  }
  SW_ASSERT(!"the reference accepts everything");
  __builtin_unreachable();
}

size_t matrix_bytes(const MatmulKernel& kernel, const MatmulDesc& desc) {
  if (kernel.layout) return kernel.layout->size_bytes(desc.weight, desc.n_out, desc.n_in);
  return row_bytes(desc.weight, desc.n_in) * static_cast<size_t>(desc.n_out);
}

std::vector<std::byte> laid_out(const MatmulKernel& kernel, const WeightView& from) {
  if (!kernel.layout) return {from.data, from.data + from.size_bytes()};
  const int64_t n_out = from.shape.n_rows();
  std::vector<std::byte> packed(kernel.layout->size_bytes(from.type, n_out, from.shape.n_cols()));
  kernel.layout->pack(from, 0, n_out, packed.data());
  return packed;
}

const VectorKernel& choose_vector(Isa limit) {
  for (const VectorKernel* kernel : kVectorKernels) {
    if (!isa_refusal(kernel->isa, limit)) return *kernel;
  }
  SW_ASSERT(!"the reference runs everywhere");
  __builtin_unreachable();
}

}  // namespace sw
