// SPDX-License-Identifier: MIT
#pragma once
#include <limits>

namespace sw {

/// IEEE binary32, as it is.
struct F32 {
  static constexpr int kBlockElems = 1;
  static constexpr float kErrorBound = 0.0f;
  static constexpr float kMaxMagnitude = std::numeric_limits<float>::max();
  struct Block {
    float value;
  };

  static constexpr float at(const Block& block, int) { return block.value; }
  static void encode(const float* x, const float* /*importance*/, Block& block) { block.value = *x; }
};

}  // namespace sw
