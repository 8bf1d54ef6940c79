// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/expert_slots.cuh"
#include "kernels/cuda/product/mma_args.h"
#include "kernels/cuda/product/mma_fragment.cuh"
#include "kernels/cuda/product/mma_warpgroup.cuh"
#include "kernels/cuda/warp.cuh"
#include "quant/all_types.h"

/// How a block of the tensor cores' kernels brings weights, as they are stored, and activations into shared
/// memory, some steps ahead.
namespace sw::cuda {

inline constexpr int kMmaThreads = 128, kMmaWarps = kMmaThreads / kWarp;
inline constexpr int kMmaStages = 3;  ///< steps whose activations have room
inline constexpr int kChunkBytes = 16;
inline constexpr int kTokenBytes = 128;  ///< of each token's activations that a warp takes in one step
inline constexpr int kTokenChunks = kTokenBytes / kChunkBytes;

/// Starts a copy of 4 bytes, or of none.
__device__ __forceinline__ void copy_word(void* to_shared, const void* from, bool there) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(to_shared))),
               "l"(__cvta_generic_to_global(from)), "r"(there ? 4 : 0)
               : "memory");
}
/// Sizes of a kernel.
template <class Format, int kTokens_, int kSplit_>
struct MmaPlan {
  static constexpr int kTokens = kTokens_, kSplit = kSplit_;
  static constexpr bool kIsF32 = std::is_same_v<Format, F32>;
  static constexpr int kRowWarps = kMmaWarps / kSplit;
  static constexpr int kRows = 32 * kRowWarps;                     ///< of weights
  static constexpr int kElemBytes = kIsF32 ? 4 : 2;                ///< of activations
  static constexpr int kLaneElems = kTokenBytes / 4 / kElemBytes;  ///< that a lane takes in a step
  static constexpr int kStepDepth = kTokenBytes / kElemBytes * kSplit;

  // Activations: [split][token][kTokenBytes], chunks of a token in the order of chunk_place().
  static constexpr int kTokenStage = kSplit * kTokens * kTokenBytes;

  // Weights: rows of whole blocks, from the multiple of 16 bytes on that is before them.
  static constexpr int kRawDepth = Format::kBlockElems == 256 ? 256 : kStepDepth;
  static constexpr int kRawBytes = kRawDepth / Format::kBlockElems * int{sizeof(typename Format::Block)};
  static constexpr bool kWholeRaw = kRawDepth == Format::kBlockElems;  ///< no stage is cut by the row's end
  static constexpr int kRawSteps = kRawDepth / kStepDepth;
  /// Q4_K and Q5_K rows begin at multiples of 16; others where they like.
  static constexpr int kMostShift = Format::kBlockElems == 256 && kRawBytes % kChunkBytes == 0 ? 0 : 15;
  static constexpr int kRawChunks = (kMostShift + kRawBytes + kChunkBytes - 1) / kChunkBytes;
  /// Odd, so that neighbouring rows begin at different banks.
  static constexpr int kRawPitch = (kRawChunks | 1) * kChunkBytes;
  static constexpr int kRawStage = kRows * kRawPitch;
  static constexpr int kRawStages = kRawSteps > 1 ? 2 : kMmaStages;

  // Scales of the rows' blocks in use, one more than there are: neighbouring rows begin at different banks.
  static constexpr bool kPrepares = Fragment<Format>::kPrepares;
  static constexpr int kScalePitch = Fragment<Format>::kScales > 0 ? Fragment<Format>::kScales + 1 : 0;

  static constexpr int kStageBytes =
      kMmaStages * kTokenStage + kRawStages * kRawStage + kRows * kScalePitch * int{sizeof(uint2)};
  static constexpr int kSumBytes = (kSplit - 1) * kRows * kTokens * int{sizeof(float)};
  static constexpr int kTableBytes = (kRows + kTokens) * int{sizeof(void*)};
  static constexpr size_t kSharedBytes = std::max(kStageBytes, kSumBytes) + kTableBytes;
};

/// Where chunk `c` of a token stands: as the tensor cores of compute capability 9.0 read it, and so that
/// eight lanes that read chunks of eight tokens, or every other chunk of two, never meet in a bank.
__device__ __forceinline__ int chunk_place(int token, int c) { return c ^ (token & 7); }

/// A block's task: rows of weights times rows of activations, and the copies of both.
template <class Plan>
struct MmaBlock {
  const MmaArgs& a;
  Tile tile;
  int n_token;
  int64_t col_begin;            ///< first row of weights; gated: of each matrix
  uint8_t* tokens;              ///< shared memory: kMmaStages stages
  uint8_t* raw;                 ///< kRawStages stages
  uint2* scales;                ///< [kRows, kScalePitch]
  const uint8_t** weight_rows;  ///< [kRows] null beyond the last
  const uint8_t** token_rows;   ///< [kTokens]
  const uint8_t* last_rows[2];  ///< of the matrices: what follows them may not be read

  /// Which matrix and row of it stands at place `i` of the block's rows of weights: a lane of the multiplying
  /// warp has places 8 q + lane / 4, q = 0 .. 3, which are neighbours (gated: two of each matrix).
  __device__ __forceinline__ int64_t weight_row(int i, bool& second) const {
    const int warp = i / 32, q = i % 32 / 8, g = i % 8;
    second = a.gated && q >= 2;
    return col_begin + (a.gated ? 16 * warp + 2 * g + q % 2 : 32 * warp + 4 * g + q);
  }

  __device__ __forceinline__ void find_rows(const uint8_t* first, const uint8_t* second) const {
    for (int i = static_cast<int>(threadIdx.x); i < Plan::kRows; i += kMmaThreads) {
      bool of_second;
      const int64_t r = weight_row(i, of_second);
      weight_rows[i] = r < a.n_out ? (of_second ? second : first) + r * a.row_bytes : nullptr;
    }
    const auto* x = static_cast<const uint8_t*>(a.x);
    for (int i = static_cast<int>(threadIdx.x); i < n_token; i += kMmaThreads) {
      const int64_t m = tile.begin + i, row = a.x_rows ? a.x_rows[m] : m;
      token_rows[i] = x + (tile.matrix * a.x_step + row * a.x_stride) * Plan::kElemBytes;
    }
  }

  /// Each thread has one chunk of every kTogether-th token.
  __device__ __forceinline__ void copy_tokens(int step) const {
    constexpr int kPerToken = Plan::kSplit * kTokenChunks, kTogether = kMmaThreads / kPerToken;
    const int c = static_cast<int>(threadIdx.x) % kPerToken,
              first = static_cast<int>(threadIdx.x) / kPerToken;
    uint8_t* stage =
        tokens + step % kMmaStages * Plan::kTokenStage + c / kTokenChunks * Plan::kTokens * kTokenBytes;
    const auto place = [&](int token) {
      return stage + token * kTokenBytes + chunk_place(token, c % kTokenChunks) * kChunkBytes;
    };
    const int from = step * (Plan::kStepDepth * Plan::kElemBytes) + c * kChunkBytes;
    const int n_bytes = Plan::kIsF32 ? a.n_in * 4 - from : static_cast<int>(bf16_stride(a.n_in)) * 2 - from;
    if (n_bytes >= kChunkBytes && (!Plan::kIsF32 || a.x_aligned)) {
#pragma unroll
      for (int i = 0; i < Plan::kTokens / kTogether; ++i) {
        const int token = first + i * kTogether;
        if (token < n_token) copy_16(place(token), token_rows[token] + from);
      }
      return;
    }
#pragma unroll 1
    for (int token = first; token < n_token;
         token += kTogether) {  // F32 row by row, or beyond the last element
      const uint8_t* row = token_rows[token];
      for (int w = 0; w < kChunkBytes; w += 4)
        copy_word(place(token) + w, w < n_bytes ? row + from + w : row, w < n_bytes);
    }
  }

  /// Four threads have a row, each every fourth chunk of it.
  __device__ __forceinline__ void copy_weights(int index) const {
    constexpr int kLanes = 4, kPasses = (Plan::kRawChunks + kLanes - 1) / kLanes;
    const int lane = static_cast<int>(threadIdx.x) % kLanes, first = static_cast<int>(threadIdx.x) / kLanes;
    uint8_t* stage = raw + index % Plan::kRawStages * Plan::kRawStage + lane * kChunkBytes;
    const int64_t offset = static_cast<int64_t>(index) * Plan::kRawBytes;
    const int left = Plan::kWholeRaw ? Plan::kRawBytes
                                     : static_cast<int>(min(a.row_bytes - offset, int64_t{Plan::kRawBytes}));
#pragma unroll
    for (int pass = 0; pass < Plan::kRowWarps; ++pass) {
      const int i = first + pass * (kMmaThreads / kLanes);
      const uint8_t* row = weight_rows[i];
      if (!row) continue;
      row += offset;
      const int shift = Plan::kMostShift == 0 ? 0 : static_cast<int>(reinterpret_cast<uintptr_t>(row) & 15);
      row -= shift;
      const bool is_last = row + shift - offset == last_rows[0] || row + shift - offset == last_rows[1];
#pragma unroll
      for (int j = 0; j < kPasses; ++j) {
        const int c = lane + j * kLanes, n_bytes = left + shift - c * kChunkBytes;
        if (c >= Plan::kRawChunks) break;
        uint8_t* to = stage + i * Plan::kRawPitch + j * kLanes * kChunkBytes;
        const uint8_t* from = row + c * kChunkBytes;
        // Bytes behind a stage do no harm, but behind a row they must be 0, as what they meet is.
        const bool inside =
            Plan::kMostShift == 0 || (Plan::kWholeRaw && (j + 1) * kLanes * kChunkBytes <= Plan::kRawBytes);
        if (inside || n_bytes >= kChunkBytes || (left == Plan::kRawBytes && !is_last)) {
          copy_16(to, from);
        } else {
          copy_bytes(to, from, n_bytes);
        }
      }
    }
  }

  /// The last chunk of a row, byte by byte.
  static __device__ __forceinline__ void copy_bytes(uint8_t* to, const uint8_t* from, int n_bytes) {
#pragma unroll 1
    for (int i = 0; i < kChunkBytes; ++i) to[i] = i < n_bytes ? from[i] : 0;
  }

  /// Once the weights of `index` are there, before they are read: see Fragment.
  template <class Format>
  __device__ __forceinline__ void prepare(int index) const {
    constexpr int kShare = kMmaThreads / Plan::kRows;
    const int row = static_cast<int>(threadIdx.x) / kShare, thread = static_cast<int>(threadIdx.x) % kShare;
    const auto begin =
        reinterpret_cast<uintptr_t>(weight_rows[row]) + static_cast<uintptr_t>(index) * Plan::kRawBytes;
    Fragment<Format>::template prepare<kShare>(
        raw + index % Plan::kRawStages * Plan::kRawStage + row * Plan::kRawPitch, begin & 15, thread,
        scales + row * Plan::kScalePitch);
    __syncthreads();
  }

  /// Queues the first copies.
  __device__ __forceinline__ void begin(int n_step) const {
    copy_tokens(0);
    copy_weights(0);
    end_copies();
    if (Plan::kRawSteps == 1 && n_step > 1) copy_weights(1);
    end_copies();
  }
  /// Waits for the copies of a step, and queues activations of the next step and weights of a later one. No
  /// warp may still read activations of the step before the last, or weights of the last step.
  __device__ __forceinline__ void advance(int step, int n_step) const {
    wait_copies<1>();
    copies_to_tensor_cores();
    __syncthreads();
    if (step + 1 < n_step) copy_tokens(step + 1);
    end_copies();
    if (Plan::kRawSteps == 1) {
      if (step + 2 < n_step) copy_weights(step + 2);
    } else if (step % Plan::kRawSteps == 0 && step + Plan::kRawSteps < n_step) {
      copy_weights(step / Plan::kRawSteps + 1);
    }
    end_copies();
  }
};

}  // namespace sw::cuda
