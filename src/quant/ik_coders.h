// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "quant/ik_codebooks.h"

/// How the encoders of ik_llama.cpp's formats choose the codes of a sub-block, once its step is given. A
/// coder has
///   kShifts     2 where a sub-block may shift its values, else 1
///   kEnds       what the weight of largest magnitude may be meant to become, for first guesses
///   kWindow     scales to either side that are tried at a time
///   kMoves      how often, and
///   kRounds     between how many times that the factor is made anew
///   values()    the value of each weight's code, for the least sum of w (x inv_step - value)^2
///   codes()     those codes; of weights that share one, at the first
/// The loops over weights are inner loops with nothing between them, so that compilers use vectors.
namespace sw {

/// A codebook's values and the middles between them.
template <class Codes>
struct Steps {
  static constexpr int kSize = Codes::kSize;
  float value[kSize] = {}, middle[kSize] = {}, shift = Codes::value(0, true) - Codes::value(0, false);

  constexpr Steps() {
    for (int q = 0; q < kSize; ++q) value[q] = Codes::value(q, false);
    for (int q = 0; q + 1 < kSize; ++q) middle[q] = 0.5f * (value[q] + value[q + 1]);
  }
};

/// Every weight has a code of its own: the nearest value's.
template <class Codes, int kElems>
struct ScalarCoder {
  static constexpr int kShifts = 2;
  static constexpr int kWindow = 3, kMoves = 4, kRounds = 3;
  static constexpr Steps<Codes> kSteps = {};
  static constexpr float kFirst = kSteps.value[0], kLast = kSteps.value[Codes::kSize - 1];
  // The fewer the values, the more is cut off.
  static constexpr float kCut = Codes::kSize > 8 ? 0.06f : Codes::kSize > 4 ? 0.12f : 0.25f;
  static constexpr float kEnds[] = {kFirst, kFirst*(1 + kCut), kFirst*(1 + 2 * kCut),
                                    kLast,  kLast*(1 + kCut),  kLast*(1 + 2 * kCut)};

  static void values(const float* x, const float* /*w*/, float inv_step, int shifted, float* v) {
    const float shift = shifted ? kSteps.shift : 0.0f;
    float t[kElems];
    for (int i = 0; i < kElems; ++i) t[i] = x[i] * inv_step - shift;
    for (int i = 0; i < kElems; ++i) v[i] = kFirst;
    for (int q = 0; q + 1 < Codes::kSize; ++q) {
      const float middle = kSteps.middle[q], next = kSteps.value[q + 1];
      for (int i = 0; i < kElems; ++i) v[i] = t[i] > middle ? next : v[i];
    }
    for (int i = 0; i < kElems; ++i) v[i] += shift;
  }
  static void codes(const float* x, const float* /*w*/, float inv_step, int shifted, uint16_t* code) {
    const float shift = shifted ? kSteps.shift : 0.0f;
    for (int i = 0; i < kElems; ++i) {
      const float t = x[i] * inv_step - shift;
      int q = 0;
      while (q + 1 < Codes::kSize && t > kSteps.middle[q]) ++q;
      code[i] = static_cast<uint16_t>(q);
    }
  }
};

/// Pairs of weights share a code.
template <class Codes, int kElems>
struct PairCoder {
  static constexpr int kShifts = 1;
  static constexpr int kWindow = 3, kMoves = 4, kRounds = 3;
  static constexpr float kEnds[] = {-63, -72, 47, 54, 28, -23};

  static void values(const float* x, const float* w, float inv_step, int /*shifted*/, float* v) {
    float code[kElems / 2];
    choose(x, w, inv_step, code);
    for (int i = 0; i < kElems; ++i) v[i] = Codes::value(static_cast<int>(code[i / 2]), i % 2);
  }
  static void codes(const float* x, const float* w, float inv_step, int /*shifted*/, uint16_t* code) {
    float chosen[kElems / 2];
    choose(x, w, inv_step, chosen);
    for (int i = 0; i < kElems / 2; ++i) code[2 * i] = static_cast<uint16_t>(chosen[i]);
  }

 private:
  static void choose(const float* x, const float* w, float inv_step, float (&code)[kElems / 2]) {
    constexpr int kPairs = kElems / 2;
    float t0[kPairs], t1[kPairs], w0[kPairs], w1[kPairs], least[kPairs];
    for (int i = 0; i < kPairs; ++i) {
      t0[i] = x[2 * i] * inv_step;
      t1[i] = x[2 * i + 1] * inv_step;
      w0[i] = w[2 * i];
      w1[i] = w[2 * i + 1];
    }
    for (int q = 0; q < Codes::kSize; ++q) {
      const float v0 = Codes::value(q, 0), v1 = Codes::value(q, 1), number = static_cast<float>(q);
      for (int i = 0; i < kPairs; ++i) {
        const float d0 = t0[i] - v0, d1 = t1[i] - v1;
        const float error = w0[i] * d0 * d0 + w1[i] * d1 * d1;
        const bool better = q == 0 || error < least[i];
        least[i] = better ? error : least[i];
        code[i] = better ? number : code[i];
      }
    }
  }
};

/// Codes of four bits; of four weights that share a word (IQ4_KSS), the codes have an even number of ones.
template <class Codes>
struct EvenCoder {
  static constexpr int kElems = 32, kShifts = 2, kWindow = 3, kMoves = 4, kRounds = 3;
  static constexpr auto& kEnds = ScalarCoder<Codes, kElems>::kEnds;

  static void values(const float* x, const float* w, float inv_step, int shifted, float* v) {
    float code[kElems];
    choose(x, w, inv_step, shifted, code);
    for (int i = 0; i < kElems; ++i) v[i] = Codes::value(static_cast<int>(code[i]), shifted);
  }
  static void codes(const float* x, const float* w, float inv_step, int shifted, uint16_t* code) {
    float chosen[kElems];
    choose(x, w, inv_step, shifted, chosen);
    for (int i = 0; i < kElems; ++i) code[i] = static_cast<uint16_t>(chosen[i]);
  }

 private:
  /// The best codes with an even and with an odd number of ones.
  struct Best {
    float code[2][kElems], error[2][kElems];

    Best(const float* x, const float* w, float inv_step, int shifted) {
      for (int odd = 0; odd < 2; ++odd) {
        std::fill_n(code[odd], kElems, static_cast<float>(odd));
        std::fill_n(error[odd], kElems, std::numeric_limits<float>::infinity());
      }
      for (int q = 0; q < Codes::kSize; ++q) {
        const float v = Codes::value(q, shifted), number = static_cast<float>(q);
        const int odd = std::popcount(static_cast<unsigned>(q)) % 2;
        float *least = error[odd], *best = code[odd];
        for (int i = 0; i < kElems; ++i) {
          const float diff = x[i] * inv_step - v, e = w[i] * diff * diff;
          best[i] = e < least[i] ? number : best[i];
          least[i] = e < least[i] ? e : least[i];
        }
      }
    }
  };

  static void choose(const float* x, const float* w, float inv_step, int shifted, float (&code)[kElems]) {
    const Best best(x, w, inv_step, shifted);
    for (int first = 0; first < kElems / 2; first += 2) {
      const int word[] = {first, first + 1, first + 16, first + 17};
      int n_odd = 0, cheapest = word[0];
      // Of choosing the other kind of code for weight i.
      const auto cost = [&](int i) { return std::abs(best.error[1][i] - best.error[0][i]); };
      for (const int i : word) {
        const int odd = best.error[1][i] < best.error[0][i];
        n_odd += odd;
        code[i] = best.code[odd][i];
        if (cost(i) < cost(cheapest)) cheapest = i;
      }
      if (n_odd % 2) code[cheapest] = best.code[best.error[1][cheapest] >= best.error[0][cheapest]][cheapest];
    }
  }
};

}  // namespace sw
