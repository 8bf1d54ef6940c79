// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "convert/hf_config.h"

namespace sw {

/// What a configuration says of the weights that a quantiser left: the key quantization_config.
struct HfQuantization {
  bool scaled = false;  ///< FP8 (E4M3) or I8 with scales
  bool mxfp4 = false;
  bool nvfp4 = false;
  bool int4 = false;
  /// FP8: a scale is for so many rows of so many columns; 0: for a row or a tensor, as its shape says.
  int64_t block_rows = 0, block_cols = 0;

  bool any() const { return scaled || mxfp4 || nvfp4 || int4; }
};

/// Of the methods fp8, mxfp4, modelopt (NVFP4, FP8) and compressed-tensors (integers of 4 and 8 bits, FP8,
/// NVFP4). Throws sw::Error for another method and for a setting that is not known, by name.
HfQuantization read_quantization(const HfConfig& config);

}  // namespace sw
