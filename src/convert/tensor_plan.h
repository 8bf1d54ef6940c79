// SPDX-License-Identifier: MIT
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "arch/rearrange.h"
#include "convert/checkpoint.h"
#include "quant/type.h"

namespace sw {

/// A tensor of the file to be made and where its values come from.
struct PlannedTensor {
  std::string name = {};
  Type type = Type::F32;
  Shape shape = {};
  std::vector<CheckpointRows> parts = {};  ///< one, or one per expert, to be stacked
  std::vector<float> computed = {};        ///< the values, where there are no parts
  Rearranged from = {};                    ///< how a lone part is stored
  int64_t head_rows = 0;  ///< not 0: each head's so many rows go from rotary halves to neighbours

  uint64_t size_bytes() const {
    return row_bytes(type, shape.n_cols()) * static_cast<uint64_t>(shape.n_rows());
  }
};

struct TensorPlan {
  std::vector<PlannedTensor> tensors = {};  ///< the model's, then layer by layer, as declared
  std::vector<std::string> notes = {};
};

struct PlanOptions {
  std::optional<Type> out_type = {};  ///< nothing: each tensor's own
  std::optional<bool> tied = {};      ///< the output matrix is the token embedding; nothing: as found
};

/// transformers does not save next-token layers and leaves their number in the config. True where the
/// checkpoint has nothing of them; then `h` counts none.
bool forget_absent_nextn(const ArchSpec& arch, HParams& h, const Checkpoint& checkpoint);

/// Matches a checkpoint with an architecture's declaration. Throws sw::Error where a needed tensor is
/// missing, a shape or element type is wrong, or a tensor of the checkpoint has no place. Work and memory
/// are bounded by the tensors that are there, whatever the hyperparameters say.
TensorPlan plan_tensors(const ArchSpec& arch, const HParams& h, const Checkpoint& checkpoint,
                        const PlanOptions& options);

}  // namespace sw
