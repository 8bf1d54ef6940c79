// SPDX-License-Identifier: MIT
#pragma once
#include <span>

#include "model/model_view.h"
#include "model/placement.h"
#include "model/program.h"

namespace sw {

/// How a program is made.
struct ProgramOptions {
  int experts_max = 0;      ///< most experts per token that a policy may ask for; 0: the model's own number
  bool references = false;  ///< the scalar references instead of the fast kernels, on the CPU
  bool invariant = false;   ///< the same bits for a token in any batch: docs/adr/0010
  bool may_pack = false;    ///< the CPU's weights may be packed as its kernels want them
  bool observe_products = false;  ///< for a ProductObserver
  bool explain = false;           ///< keep the reasons of each choice of a kernel

  /// Whether a program made with these does for one who asks for `wanted`.
  bool serves(const ProgramOptions& wanted) const {
    return experts_max >= wanted.experts_max && references == wanted.references &&
           invariant == wanted.invariant && may_pack == wanted.may_pack &&
           observe_products == wanted.observe_products;
  }
};

/// The program of a model under a placement, its weights where `weights` has them: PlacedModel brings them to
/// the devices. The only reader of an architecture's steps. Starts no thread and takes no device memory.
/// Throws sw::Error where no kernel can run an operation.
Program compile(const ModelView& model, std::span<const DeviceFacts> devices, const Placement& placement,
                const ProgramOptions& options);

}  // namespace sw
