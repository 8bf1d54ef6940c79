// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/allow_shared.h"
#include "kernels/cuda/product/mma_launch.h"
#include "kernels/cuda/product/mma_tiles.cuh"

namespace sw::cuda {

/// Kernel of a shape; calls f.operator()<Plan>(kernel) or returns false where there is none.
template <class Format, class F>
bool with_mma_kernel(MmaShape shape, F&& f) {
  constexpr int kOf64 = std::is_same_v<Format, F32> ? 2 : 3;  // in F32 it has twice the sums
  const auto is = [&](int tokens, int split) { return shape == MmaShape{tokens, split}; };
  if (is(64, 1)) {
    f.template operator()<MmaPlan<Format, 64, 1>>(mma_kernel<Format, 64, 1, kOf64>);
  } else if (is(64, 2)) {
    f.template operator()<MmaPlan<Format, 64, 2>>(mma_kernel<Format, 64, 2, kOf64>);
  } else if (is(16, 4)) {
    f.template operator()<MmaPlan<Format, 16, 4>>(mma_kernel<Format, 16, 4, 5>);
  } else if constexpr (!std::is_same_v<Format, F32>) {
    if (!is(128, 1)) return false;
    f.template operator()<MmaPlan<Format, 128, 1>>(mma_kernel<Format, 128, 1, 2>);
  } else {
    return false;
  }
  return true;
}

template <class Format>
size_t mma_shared_bytes_of(MmaShape shape) {
  size_t bytes = SIZE_MAX;
  with_mma_kernel<Format>(shape, [&]<class Plan>(auto) { bytes = Plan::kSharedBytes; });
  return bytes;
}

template <class Format>
void launch_mma_of(const MmaArgs& args, MmaShape shape, OpContext& context) {
  const bool known = with_mma_kernel<Format>(shape, [&]<class Plan>(auto kernel) {
    const int64_t n_tile =
        args.tiles ? args.n_tile : args.n_tile * ((args.n_row + Plan::kTokens - 1) / Plan::kTokens);
    const unsigned blocks = n_blocks(n_tile * mma_columns(args, Plan::kRows), 1);
    allow_shared(kernel, Plan::kSharedBytes, *context.cuda);
    launch_early(kernel, blocks, kMmaThreads, Plan::kSharedBytes, *context.cuda, args);
  });
  SW_ASSERT(known);
}

#define SW_MMA_FORMAT(name)                            \
  template size_t mma_shared_bytes_of<name>(MmaShape); \
  template void launch_mma_of<name>(const MmaArgs&, MmaShape, OpContext&);

}  // namespace sw::cuda
