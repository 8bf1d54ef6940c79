// SPDX-License-Identifier: MIT
#pragma once
#include <map>
#include <optional>

#include "arch/tensors.h"

namespace sw {

/// Whether a model's optional tensors are all there or all absent: each in every block that may have it, and
/// with those that it means nothing without (queries and keys; gate, up and down). A file that lacks one in a
/// single block is broken: without the tensor it would compute something else.
class OptionalTensors {
 public:
  /// A tensor of a block that is run, in the order of blocks. Others than optional ones are passed over.
  void add(const TensorItem& item, bool is_there);

  struct Gap {
    TensorItem missing, there;  ///< what is not there, and what shows that it should be
  };
  /// The first; nothing where there is none.
  std::optional<Gap> gap() const;

 private:
  struct Kind {
    std::optional<TensorItem> missing = {}, there = {};
  };
  std::map<Role, Kind> kinds_;  // by the first role of those that come together
};

}  // namespace sw
