// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/matmul.h"

namespace sw {

/// Sees the inputs of all matrix products on the CPU whose operations were bound with
/// BindOptions::observe_products. Those products take their activations as f32, as they are.
class ProductObserver {
 public:
  virtual ~ProductObserver() = default;
  /// Once for every product of a matrix, whose first byte is args.weights: input(args, t), t < args.n_token,
  /// are its inputs [n_in]. Called by several threads at a time, but for one matrix by one alone.
  virtual void on_product(const MatmulArgs& args) = 0;
  /// The input of token `t`.
  static const float* input(const MatmulArgs& args, int64_t t);
};

/// While it lives, all observed products of the process are shown to `observer`. One at a time, and none
/// while a pass is under way.
class Observation {
 public:
  explicit Observation(ProductObserver& observer);
  ~Observation();
  Observation(const Observation&) = delete;
  Observation& operator=(const Observation&) = delete;
};

/// The product kernel that shows its inputs, in the best variant up to `limit`.
const MatmulKernel& observed_matmul(Isa limit);

}  // namespace sw
