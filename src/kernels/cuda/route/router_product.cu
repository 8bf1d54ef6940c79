// SPDX-License-Identifier: MIT
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/product/matvec.cuh"
#include "kernels/cuda/route/router_product.h"

/// A router has few rows, so that each warp has one, and each block norms its tokens anew: the two kernels
/// that this saves would only wait.
namespace sw::cuda {
namespace {

/// Less than what any block may have by a few bytes for the sums.
constexpr size_t kMostRouterBytes = 47 << 10;
constexpr int64_t kMostRouterTokens = 128;

struct RouterArgs {
  const float* x;
  int64_t x_stride;
  const float* norm;
  float eps;
  const uint8_t* weights;
  int64_t row_bytes;
  int n_in, n_out, n_token;
  const float* bias;  ///< [n_out] or null
  float* normed;
  int64_t normed_stride;
  float* logits;
  int64_t logits_stride;
};

/// Quads of a vector that a thread reads before it writes any: the compiler cannot know that they may
/// overlap.
constexpr int kTurn = 8;

/// visit(at, n) for the thread's quads, kTurn at a time: the first n of `at` are quads, the others repeat the
/// first of them, so that a visitor may read and write without a branch. kWhole: all turns are full, which
/// leaves little to compute before the first read.
template <bool kWhole, class Visit>
__device__ __forceinline__ void in_turn(int thread, int n_quad, Visit&& visit) {
  for (int first = thread; first < n_quad; first += kTurn * kNormThreads) {
    int at[kTurn];
#pragma unroll
    for (int i = 0; i < kTurn; ++i) {
      const int q = first + i * kNormThreads;
      at[i] = kWhole || q < n_quad ? q : first;
    }
    visit(at, kWhole ? kTurn : (n_quad - first + kNormThreads - 1) / kNormThreads);
  }
}

/// A block: kTokens tokens, each of which kNormThreads of its threads norm, and a row per warp. Its shared
/// memory holds the tokens.
template <int kTokens, bool kWhole>
struct RouterBlock {
  static constexpr int kThreads = kTokens * kNormThreads, kRows = kThreads / kWarp;

  const RouterArgs& a;
  float4* memory;  ///< [kTokens, n_quad]
  int n_quad, row_block, first_token;

  __device__ RouterBlock(const RouterArgs& a, float4* memory) : a(a), memory(memory), n_quad(a.n_in / 4) {
    const int n_row_block = (a.n_out + kRows - 1) / kRows;
    row_block = static_cast<int>(blockIdx.x) % n_row_block;
    first_token = static_cast<int>(blockIdx.x) / n_row_block * kTokens;
  }
  /// Those beyond the last repeat it.
  __device__ int64_t token(int t) const { return min(first_token + t, a.n_token - 1); }
  __device__ float4* normed(int t) const { return memory + t * n_quad; }
  __device__ int row() const { return row_block * kRows + static_cast<int>(threadIdx.x) / kWarp; }
  /// The token that this thread norms, and its place among those that do.
  __device__ int own_token() const { return static_cast<int>(threadIdx.x) / kNormThreads; }
  __device__ int own_thread() const { return static_cast<int>(threadIdx.x) % kNormThreads; }

  __device__ void read_norm(const int (&at)[kTurn], float4 (&norm)[kTurn]) const {
#pragma unroll
    for (int i = 0; i < kTurn; ++i) norm[i] = reinterpret_cast<const float4*>(a.norm)[at[i]];
  }
  /// The tokens into the memory as they are, and the sums of their squares.
  __device__ void read_tokens(float (&parts)[kTokens][kNormParts]) const {
    const auto* from = reinterpret_cast<const float4*>(a.x + token(own_token()) * a.x_stride);
    float4* to = normed(own_token());
    float4 squares = {};
    in_turn<kWhole>(own_thread(), n_quad, [&](const int(&at)[kTurn], int n) {
      float4 x[kTurn];
#pragma unroll
      for (int i = 0; i < kTurn; ++i) x[i] = from[at[i]];
#pragma unroll
      for (int i = 0; i < kTurn; ++i) {
        add_squares(squares, i < n ? x[i] : float4{});
        to[at[i]] = x[i];
      }
    });
    share_squares(squares, own_thread(), parts[own_token()]);
  }
  /// Norms them where they are; the first block of rows also writes them out. `norm` was read before where
  /// one turn is all.
  __device__ void norm_tokens(const float (&parts)[kTokens][kNormParts], bool one_turn,
                              float4 (&norm)[kTurn]) const {
    const float scale = scale_of(parts[own_token()], a.n_in, a.eps);
    float4* to = normed(own_token());
    auto* out = reinterpret_cast<float4*>(a.normed + token(own_token()) * a.normed_stride);
    in_turn<kWhole>(own_thread(), n_quad, [&](const int(&at)[kTurn], int) {
      if (!one_turn) read_norm(at, norm);
      float4 x[kTurn];
#pragma unroll
      for (int i = 0; i < kTurn; ++i) x[i] = normed_quad(to[at[i]], scale, norm[i]);
#pragma unroll
      for (int i = 0; i < kTurn; ++i) {
        to[at[i]] = x[i];
        if (row_block == 0) out[at[i]] = x[i];
      }
    });
  }
};

/// The lane's quads of a row from quad `from` on.
template <class Format, bool kWhole, int kAhead>
__device__ __forceinline__ void read_weights(const uint8_t* row, int from, int n_in, float4 (&w)[kAhead]) {
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    const int q = kWhole ? from + i * kWarp : min(from + i * kWarp, n_in / 4 - 1);
    w[i] = Decoder<Format>::template quad<true>(row, 4 * q, n_in);
  }
}

/// What does not depend on the tokens is on its way before the kernel ahead has ended.
template <class Format, int kTokens, bool kWhole>
__global__ void __launch_bounds__(kTokens* kNormThreads) router_kernel(const RouterArgs a) {
  constexpr int kAhead = kTokens > 2 ? 8 : 16;  // quads of a row that are on their way at once
  extern __shared__ float4 memory[];
  __shared__ float parts[kTokens][kNormParts];
  const RouterBlock<kTokens, kWhole> block(a, memory);
  const int n_quad = block.n_quad, lane = static_cast<int>(threadIdx.x) % kWarp,
            r = min(block.row(), a.n_out - 1);
  const uint8_t* row = a.weights + r * a.row_bytes;
  float4 w[kAhead], norm[kTurn];
  read_weights<Format, kWhole>(row, lane, a.n_in, w);
  const float bias = a.bias ? a.bias[r] : 0.0f;
  const bool one_turn = n_quad <= kTurn * kNormThreads;
  if (one_turn)
    in_turn<kWhole>(block.own_thread(), n_quad,
                    [&](const int(&at)[kTurn], int) { block.read_norm(at, norm); });
  wait_for_previous();
  let_next_start();

  block.read_tokens(parts);
  __syncthreads();
  block.norm_tokens(parts, one_turn, norm);
  __syncthreads();
  float sum[kTokens] = {};
  for (int from = lane; from < n_quad; from += kAhead * kWarp) {
    if (from != lane) read_weights<Format, kWhole>(row, from, a.n_in, w);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int q = from + i * kWarp;
      if (!kWhole && q >= n_quad) continue;
#pragma unroll
      for (int t = 0; t < kTokens; ++t) sum[t] = add_dot(sum[t], w[i], block.normed(t)[q]);
    }
  }
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {  // lane t writes token t
    const float y = lane_sum(sum[t]);
    if (lane == t && block.row() < a.n_out && block.first_token + t < a.n_token)
      a.logits[block.token(t) * a.logits_stride + r] = a.bias ? y + bias : y;
  }
}

size_t shared_bytes(int64_t n_in, int n_token) { return static_cast<size_t>(n_token * n_in) * sizeof(float); }

template <class Format, int kTokens>
void launch_router(const RouterArgs& args, OpContext& context) {
  using Block = RouterBlock<kTokens, false>;
  const int64_t n_block = int64_t{n_blocks(args.n_out, Block::kRows)} * n_blocks(args.n_token, kTokens);
  auto kernel = router_kernel<Format, kTokens, false>;
  if constexpr (Format::kBlockElems == 1) {
    if (args.n_in % (kTurn * kNormStep) == 0) kernel = router_kernel<Format, kTokens, true>;
  }
  launch_early(kernel, n_blocks(n_block, 1), Block::kThreads, shared_bytes(args.n_in, kTokens), *context.cuda,
               args);
}

bool takes(const RouteDesc& d, const RouteArgs& args) {
  const auto aligned = [](const void* p, int64_t stride) {
    return reinterpret_cast<uintptr_t>(p) % 16 == 0 && stride % 4 == 0;
  };
  return args.x.n_rows() <= kMostRouterTokens && d.router.n_in() % 4 == 0 &&
         shared_bytes(d.router.n_in(), 1) <= kMostRouterBytes && aligned(args.x.data(), args.x.stride()) &&
         aligned(args.normed.data(), args.normed.stride()) && aligned(d.norm, 0) &&
         aligned(d.router.weight.data, 0);
}

}  // namespace

bool norm_and_multiply(const RouteDesc& d, const RouteArgs& args, OpContext& context) {
  if (!takes(d, args)) return false;
  const int64_t n_token = args.x.n_rows();
  count_dense(context.counters, d.router, n_token);
  if (n_token == 0) return true;
  const RouterArgs router{.x = args.x.data(),
                          .x_stride = args.x.stride(),
                          .norm = d.norm,
                          .eps = d.rms_eps,
                          .weights = reinterpret_cast<const uint8_t*>(d.router.weight.data),
                          .row_bytes = static_cast<int64_t>(d.router.weight.row_size_bytes()),
                          .n_in = static_cast<int>(d.router.n_in()),
                          .n_out = static_cast<int>(d.router.n_out()),
                          .n_token = static_cast<int>(n_token),
                          .bias = d.logit_bias,
                          .normed = args.normed.data(),
                          .normed_stride = args.normed.stride(),
                          .logits = args.logits.data(),
                          .logits_stride = args.logits.stride()};
  const auto fits = [&](int tokens) { return shared_bytes(router.n_in, tokens) <= kMostRouterBytes; };
  with_gpu_type(d.router.weight.type, [&]<class Format>() {
    if (n_token == 1 || !fits(2)) {
      launch_router<Format, 1>(router, context);
    } else if (n_token == 2 || !fits(4)) {
      launch_router<Format, 2>(router, context);
    } else {
      launch_router<Format, 4>(router, context);
    }
  });
  return true;
}

}  // namespace sw::cuda
