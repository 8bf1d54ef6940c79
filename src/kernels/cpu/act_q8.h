// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>

/// Activations as 8-bit integers, shared by the integer matrix-product kernels: packed once, read by every
/// row of every matrix whose kernel names the same `pack` function, whatever the weight format.
namespace sw {

/// 256 activations in 8 groups of 32: x = scale * q with scale = max|x| / 127, q rounded to nearest even.
///
/// The order lets a kernel multiply by eight scales at once: q is eight vectors of 32 bytes, four of the
/// even groups and four of the odd ones, and in each of them 32-bit lane 4 h + c holds four values of half
/// h of group 2 c (or 2 c + 1). Adding the four vectors lane by lane so never mixes groups.
struct ActQ8 {
  float scale[8];  ///< of the groups 0 2 4 6 1 3 5 7
  float sum[8];    ///< scale * (sum of q) of each group, for formats with a minimum; same order
  int8_t q[256];
};
static_assert(sizeof(ActQ8) == 320);

/// Where group `g` stands in scale and sum.
constexpr int act_q8_group(int g) { return g % 2 * 4 + g / 2; }
/// Where activation `i` of 256 stands in q.
constexpr int act_q8_position(int i) {
  const int group = i / 32, half = i / 16 % 2, vector = i / 4 % 4;
  return group % 2 * 128 + vector * 32 + half * 16 + group / 2 * 4 + i % 4;
}

/// Groups weaker than this count as zero: 127 / max|x| must stay finite.
inline constexpr float kActQ8Tiny = 0x1p-100f;

/// Of one packed row; a row that is not a multiple of 256 is filled up with zeros.
size_t act_q8_bytes(int64_t n_in);
/// A group that holds NaN or infinity gets the scale NaN: every product with it is NaN.
void pack_act_q8(const float* x, int64_t n_in, std::byte* packed);
/// The activations that a packed row stands for.
void decode_act_q8(const std::byte* packed, int64_t n_in, float* x);

/// Gives the same bytes as pack_act_q8; only on x86-64.
void pack_act_q8_avx2(const float* x, int64_t n_in, std::byte* packed);

}  // namespace sw
