// SPDX-License-Identifier: MIT
#include "kernels/cuda/few/product.h"
#include "kernels/cuda/product/linear.h"
#include "kernels/cuda/product/matvec.cuh"
#include "kernels/cuda/product/tiles.h"
#include "kernels/cuda/queue.h"

namespace sw::cuda {
namespace {

constexpr int kMostMatvecTokens = kMostFewTokens;

struct MatvecArgs {
  const uint8_t* weights;
  int64_t row_bytes, n_out;
  int n_in, n_token;
  const float* x;
  int64_t x_stride;
  float* out;
  int64_t out_stride;
  bool add;
  const float* bias;  ///< [n_out] or null
};

template <class Format, int kTokens>
__global__ void __launch_bounds__(kMatvecThreads) matvec_kernel(MatvecArgs a) {
  const int64_t r = matvec_row(blockIdx.x);
  if (r >= a.n_out) return;
  const uint8_t* rows[] = {a.weights + r * a.row_bytes};
  float sum[1][kTokens];
  row_products<Format>(rows, a.n_in, a.x, a.x_stride, a.n_token, sum);
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {  // lane t writes token t
    if (threadIdx.x % kWarp != t || t >= a.n_token) continue;
    float& out = a.out[t * a.out_stride + r];
    const float y = a.bias ? sum[0][t] + a.bias[r] : sum[0][t];
    out = a.add ? out + y : y;
  }
}

template <class Format, int kTokens>
void launch_matvec(const MatvecArgs& args, OpContext& context) {
  matvec_kernel<Format, kTokens>
      <<<n_blocks(args.n_out, kMatvecWarps), kMatvecThreads, 0, context.cuda->stream()>>>(args);
  SW_CUDA_LAUNCHED();
}

void multiply_exact(const Linear& linear, TensorView<const float> x, TensorView<float> out,
                    const LinearOptions& options, OpContext& context) {
  const MatvecArgs args{.weights = reinterpret_cast<const uint8_t*>(linear.weight.data),
                        .row_bytes = static_cast<int64_t>(linear.weight.row_size_bytes()),
                        .n_out = linear.n_out(),
                        .n_in = static_cast<int>(linear.n_in()),
                        .n_token = static_cast<int>(x.n_rows()),
                        .x = x.data(),
                        .x_stride = x.stride(),
                        .out = out.data(),
                        .out_stride = out.stride(),
                        .add = options.add,
                        .bias = options.bias};
  with_gpu_type(linear.weight.type, [&]<class Format>() {
    if (args.n_token == 1) {
      launch_matvec<Format, 1>(args, context);
    } else if (args.n_token == 2) {
      launch_matvec<Format, 2>(args, context);
    } else if (args.n_token <= 4) {
      launch_matvec<Format, 4>(args, context);
    } else {
      launch_matvec<Format, kMostMatvecTokens>(args, context);
    }
  });
}

template <class Format, int kTokens>
__global__ void __launch_bounds__(kMatvecThreads)
    heads_matvec_kernel(const uint8_t* weights, int64_t row_bytes, int64_t n_row, int n_out, int n_in,
                        int n_token, HeadRows x, HeadRows out) {
  const int64_t r = matvec_row(blockIdx.x);
  if (r >= n_row) return;
  const int64_t head = r / n_out;
  const uint8_t* rows[] = {weights + r * row_bytes};
  float sum[1][kTokens];
  row_products<Format>(rows, n_in, x.data + head * x.head_stride, x.token_stride, n_token, sum);
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {  // lane t writes token t
    if (threadIdx.x % kWarp == t && t < n_token)
      out.data[t * out.token_stride + head * out.head_stride + r % n_out] = sum[0][t];
  }
}

template <class Format, int kTokens>
void launch_heads_matvec(const Linear& stack, int64_t n_token, const HeadRows& x, const HeadRows& out,
                         OpContext& context) {
  const int64_t n_head = stack.weight.shape[0], n_out = stack.weight.shape[1], n_row = n_head * n_out;
  heads_matvec_kernel<Format, kTokens>
      <<<n_blocks(n_row, kMatvecWarps), kMatvecThreads, 0, context.cuda->stream()>>>(
          reinterpret_cast<const uint8_t*>(stack.weight.data),
          static_cast<int64_t>(stack.weight.row_size_bytes()), n_row, static_cast<int>(n_out),
          static_cast<int>(stack.n_in()), static_cast<int>(n_token), x, out);
  SW_CUDA_LAUNCHED();
}

/// x of a product of many tokens in bf16; nothing where the product reads f32.
TensorView<const uint16_t> many_in_bf16(const Linear& linear, TensorView<const float> x,
                                        const LinearOptions& options, OpContext& context) {
  if (!wants_bf16(linear.weight.type, options.row_invariant) || !options.x_bf16.empty())
    return options.x_bf16;
  SW_ASSERT(options.room);
  const TensorView<uint16_t> rounded(options.room, x.n_rows(), x.n_cols(), bf16_stride(x.n_cols()));
  round_to_bf16(x, 1, 0, rounded, context);
  return rounded;
}

/// One matrix per head, many tokens.
void multiply_many_heads(const Linear& stack, TensorView<const float> x, int64_t head_stride,
                         const HeadRows& out, bool row_invariant, uint16_t* room, OpContext& context) {
  TiledProduct product{.weight = stack.weight,
                       .x = x,
                       .out = {out.data, x.n_rows(), stack.weight.shape[1], out.token_stride},
                       .row_invariant = row_invariant,
                       .x_step = head_stride,
                       .out_step = out.head_stride};
  if (wants_bf16(stack.weight.type, row_invariant)) {
    SW_ASSERT(room);
    const int64_t n_head = stack.weight.shape[0], stride = bf16_stride(x.n_cols());
    const TensorView<uint16_t> rounded(room, n_head * x.n_rows(), x.n_cols(), stride);
    round_to_bf16(x, n_head, head_stride, rounded, context);
    product.x_bf16 = rounded.rows(0, x.n_rows());
    product.x_step = x.n_rows() * stride;
  }
  multiply_tiles(product, context);
}

}  // namespace

int64_t linear_room(const Linear& linear, int64_t n_token, bool row_invariant) {
  if (linear.empty() || n_token <= kMostMatvecTokens || !wants_bf16(linear.weight.type, row_invariant))
    return 0;
  const int64_t n_head = linear.weight.shape.n_dims() == 3 ? linear.weight.shape[0] : 1;
  return n_head * n_token * bf16_stride(linear.n_in());
}

bool norms_input(const Linear& linear, int64_t n_token, bool row_invariant, const OpContext& context) {
  return !row_invariant && can_multiply_few(linear, n_token, context);
}

void linear(const Linear& linear, TensorView<const float> x, TensorView<float> out,
            const LinearOptions& options, OpContext& context) {
  check_input(linear, x);
  count_dense(context.counters, linear, x.n_rows());
  if (x.n_rows() == 0) return;
  SW_ASSERT(!options.norm.weight || norms_input(linear, x.n_rows(), options.row_invariant, context));
  if (norms_input(linear, x.n_rows(), options.row_invariant, context)) {
    multiply_few({.linear = linear,
                  .n_token = x.n_rows(),
                  .x = x.data(),
                  .x_stride = x.stride(),
                  .norm = options.norm,
                  .out = out.data(),
                  .out_stride = out.stride(),
                  .add = options.add,
                  .bias = options.bias},
                 context);
  } else if (x.n_rows() <= kMostMatvecTokens) {
    multiply_exact(linear, x, out, options, context);
  } else {
    multiply_tiles({.weight = linear.weight,
                    .x = x,
                    .x_bf16 = many_in_bf16(linear, x, options, context),
                    .out = out.rows(0, x.n_rows()),
                    .add = options.add,
                    .bias = options.bias,
                    .row_invariant = options.row_invariant},
                   context);
  }
}

void linear_heads(const Linear& stack, int64_t n_token, const HeadRows& x, const HeadRows& out,
                  bool row_invariant, uint16_t* room, OpContext& context) {
  const TensorView<const float> x_rows(x.data, n_token, stack.n_in(), x.token_stride);
  check_input(stack, x_rows);
  SW_ASSERT(stack.weight.shape.n_dims() == 3 && x.head_stride % 4 == 0);
  count_dense(context.counters, stack, n_token);
  if (n_token == 0) return;
  if (norms_input(stack, n_token, row_invariant, context)) {
    multiply_few({.linear = stack,
                  .n_token = n_token,
                  .x = x.data,
                  .x_stride = x.token_stride,
                  .x_step = x.head_stride,
                  .out = out.data,
                  .out_stride = out.token_stride,
                  .out_step = out.head_stride},
                 context);
    return;
  }
  if (n_token > kMostMatvecTokens) {
    multiply_many_heads(stack, x_rows, x.head_stride, out, row_invariant, room, context);
    return;
  }
  with_gpu_type(stack.weight.type, [&]<class Format>() {
    if (n_token == 1) {
      launch_heads_matvec<Format, 1>(stack, n_token, x, out, context);
    } else {
      launch_heads_matvec<Format, kMostMatvecTokens>(stack, n_token, x, out, context);
    }
  });
}

}  // namespace sw::cuda
