// SPDX-License-Identifier: MIT
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arch/rearrange.h"
#include "arch/spec.h"
#include "tensor/shape.h"

/// The tensors that a model is to have, worked out from its declaration once per block. Loader, converter and
/// placement go through these lists; nobody else computes a name or a shape.
namespace sw {

/// In place of a block's number: what the model has once.
inline constexpr int kOfModel = -1;

struct TensorItem {
  Role role = {};
  std::string gguf = {};  ///< "blk.3.ffn_up_exps.weight"
  std::string per_expert =
      {};                  ///< "blk.3.ffn_up.{e}.weight": files of before 2024; empty where there is no stack
  std::string older = {};  ///< see OlderForm; mostly empty
  std::string hf = {};     ///< in a checkpoint; with {e} where that has one tensor per expert
  Shape shape = {};
  Shape stored = {};  ///< as the checkpoint, or the older form, has it; of a stack: all its parts together
  Rearranged from = {};
  Transform transform = Transform::None;
  bool optional = false;
};

/// What a block (0 to n_block - 1), or the model, has, in the order declared. A tensor with a dimension of 0
/// that counts only where it is sized is left out.
std::vector<TensorItem> tensors_of(const ArchSpec& arch, const HParams& h, int block);

/// A pattern's {e} filled in.
std::string expert_name(std::string_view pattern, int expert);

/// What GGUF files mean by a tensor's name, by the declarations of all architectures, which agree about it:
/// "blk.3.attn_v.weight" is AttnV, as one expert's "blk.3.ffn_up.7.weight" is ExpertUp.
std::optional<Role> role_of_name(std::string_view gguf);
/// 3 of "blk.3.attn_v.weight".
std::optional<int> block_of_name(std::string_view gguf);

/// Tensors that files carry along and a text model does not need.
struct IdleTensors {
  std::string_view begins = {}, contains = {};  ///< of the name; one of the two is empty
  std::string_view what = {};                   ///< for the note; empty: not worth one
};
/// What a name that no item has belongs to; null for anything else, which must not be passed over.
const IdleTensors* find_idle(std::string_view name);

}  // namespace sw
