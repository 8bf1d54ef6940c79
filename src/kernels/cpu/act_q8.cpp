// SPDX-License-Identifier: MIT
#include "kernels/cpu/act_q8.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace sw {
namespace {

constexpr uint32_t kInfinityBits = 0x7f800000u;

void pack_group(const float* x, int g, ActQ8& block) {
  uint32_t max_bits = 0;  // magnitudes order like their bits, NaN above infinity
  for (int i = 0; i < 32; ++i) max_bits = std::max(max_bits, std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu);
  const float max = std::bit_cast<float>(max_bits);
  const bool finite = max_bits < kInfinityBits, tiny = max < kActQ8Tiny;
  const float inverse = finite && !tiny ? 127.0f / max : 0.0f;
  int sum = 0;
  for (int i = 0; i < 32; ++i) {
    const int q = finite ? static_cast<int>(std::nearbyint(x[i] * inverse)) : 0;
    block.q[act_q8_position(32 * g + i)] = static_cast<int8_t>(q);
    sum += q;
  }
  const float scale = !finite ? std::numeric_limits<float>::quiet_NaN() : tiny ? 0.0f : max / 127.0f;
  block.scale[act_q8_group(g)] = scale;
  block.sum[act_q8_group(g)] = scale * static_cast<float>(sum);
}

}  // namespace

size_t act_q8_bytes(int64_t n_in) { return static_cast<size_t>((n_in + 255) / 256) * sizeof(ActQ8); }

void pack_act_q8(const float* x, int64_t n_in, std::byte* packed) {
  for (int64_t i = 0; i < n_in; i += 256, packed += sizeof(ActQ8)) {
    float values[256] = {};
    std::copy_n(x + i, std::min<int64_t>(256, n_in - i), values);
    ActQ8 block;
    for (int g = 0; g < 8; ++g) pack_group(values + 32 * g, g, block);
    std::memcpy(packed, &block, sizeof block);
  }
}

void decode_act_q8(const std::byte* packed, int64_t n_in, float* x) {
  ActQ8 block;
  for (int64_t i = 0; i < n_in; ++i) {
    const int j = static_cast<int>(i % 256);
    if (j == 0) std::memcpy(&block, packed + static_cast<size_t>(i / 256) * sizeof block, sizeof block);
    x[i] = block.scale[act_q8_group(j / 32)] * static_cast<float>(block.q[act_q8_position(j)]);
  }
}

}  // namespace sw
