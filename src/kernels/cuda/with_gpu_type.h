// SPDX-License-Identifier: MIT
#pragma once
#include "base/error.h"
#include "quant/all_types.h"
#include "quant/type.h"

namespace sw::cuda {

/// sw::with_type() for the formats that GPUs read; operations with others have been refused.
template <class F>
decltype(auto) with_gpu_type(Type type, F&& f) {
  switch (type) {
#define SW_GPU_TYPE(name) \
  case Type::name:        \
    return f.template operator()<name>();
#include "kernels/gpu_types.inc"
#undef SW_GPU_TYPE
    default:
      assert_failed("type is one of kernels/gpu_types.inc", __FILE__, __LINE__);
  }
}

}  // namespace sw::cuda
