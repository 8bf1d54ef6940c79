// SPDX-License-Identifier: MIT
#include "kernels/cuda/dequant.cuh"
#include "kernels/cuda/product/linear.h"
#include "kernels/cuda/queue.h"
#include "kernels/cuda/warp.cuh"

namespace sw {
namespace cuda {
namespace {

constexpr int kEmbedThreads = 256;

/// A block per token, a quad per thread. The same bits as on the CPU.
template <class Format>
__global__ void embed_kernel(const uint8_t* table, int64_t row_bytes, int n_embd, const int32_t* ids,
                             float* out, int64_t out_stride) {
  const int64_t t = blockIdx.x;
  const uint8_t* row = table + ids[t] * row_bytes;
  float* out_row = out + t * out_stride;
  for (int k = 4 * static_cast<int>(threadIdx.x); k < n_embd; k += 4 * kEmbedThreads) {
    const float4 quad = Decoder<Format>::template quad<false>(row, k, n_embd);
    const float values[4] = {quad.x, quad.y, quad.z, quad.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (k + i < n_embd) out_row[k + i] = values[i];
    }
  }
}

void run(const EmbedDesc& d, const EmbedArgs& args, OpContext& context) {
  const int64_t n_token = args.batch.n_token;
  if (n_token == 0) return;
  const auto row_bytes = static_cast<int64_t>(d.table.row_size_bytes());
  with_gpu_type(d.table.type, [&]<class Format>() {
    embed_kernel<Format><<<n_blocks(n_token, 1), kEmbedThreads, 0, context.cuda->stream()>>>(
        reinterpret_cast<const uint8_t*>(d.table.data), row_bytes, static_cast<int>(d.table.shape.n_cols()),
        args.batch.ids, args.out.data(), args.out.stride());
    SW_CUDA_LAUNCHED();
  });
  context.counters.dense_bytes += static_cast<uint64_t>(row_bytes * n_token);
}

}  // namespace
}  // namespace cuda

extern const EmbedKernel cuda_embed;
const EmbedKernel cuda_embed{.name = "cuda_embed", .run = cuda::run, .device = DeviceKind::Cuda};

}  // namespace sw
