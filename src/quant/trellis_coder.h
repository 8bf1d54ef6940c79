// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "quant/trellis.h"

namespace sw {

/// The coder (ik_coders.h) of the trellis formats: the code of a group of weights is the one whose values are
/// nearest, or nearly so. Looking at all of up to 65536 would take too long, so the codes are in buckets by
/// where their values lie, and only the buckets around a group are searched. With kMagnitudes the codes stand
/// for magnitudes, and steps are positive.
template <class Codes, bool kMagnitudes>
struct TrellisCoder {
  static constexpr int kElems = 32;
  static constexpr bool kPairsOfSets = Codes::kSize == Codes::kSecondSet;
  static constexpr int kShifts = kPairsOfSets ? 2 : 1;
  // Few, since each try is slow.
  static constexpr int kWindow = kPairsOfSets ? 3 : 1, kMoves = 1, kRounds = 1;
  static constexpr float kEnds[] = {88, 105, kMagnitudes ? 96 : -88, kMagnitudes ? 114 : -105};

  static void values(const float* x, const float* w, float inv_step, int second, float* v);
  static void codes(const float* x, const float* w, float inv_step, int second, uint16_t* code);
};

}  // namespace sw
