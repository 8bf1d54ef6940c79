// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "arch/spec.h"
#include "arch/tensors.h"
#include "base/file.h"
#include "formats/gguf.h"
#include "kernels/ops.h"
#include "quant/weight.h"
#include "router/policy_table.h"

namespace sw {

/// One --override-kv: KEY=TYPE:VALUE.
struct KeyOverride {
  std::string key = {};
  GgufValue value = {};
};
/// "general.name=str:Fox"; types int, float, bool, str. Throws sw::Error.
KeyOverride parse_key_override(const std::string& text);

class Model;

struct LoadOptions {
  std::vector<KeyOverride> overrides = {};
  /// Sees the hyperparameters before the weights are read in, and may throw what the model cannot do.
  std::function<void(const Model&)> check = {};
  /// Read every weight once, so that the first step finds them in memory.
  bool read_in = true;
  Progress progress = {};  ///< bytes read in
};

/// A model's hyperparameters and weights, as its file says them. Weights stay in the file's mapping.
class Model {
 public:
  /// Throws sw::Error on an unknown architecture, a missing tensor, a wrong shape, or a tensor that nothing
  /// reads.
  explicit Model(const std::filesystem::path& path, const LoadOptions& options = {});
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const GgufFile& file() const { return file_; }
  const ArchSpec& arch() const { return *arch_; }
  const HParams& hparams() const { return hparams_; }
  /// How each hyperparameter was found, for `info`.
  const std::vector<ReadKey>& read_keys() const { return read_keys_; }
  const std::vector<std::string>& overridden() const { return overridden_; }
  /// What was noticed and does not matter to everyone (a next-token layer skipped).
  const std::vector<std::string>& notes() const { return notes_; }

  /// The weight of a role; an empty view where an optional one is absent. Of experts that the file has one by
  /// one the shape is that of all, and the rest of the view the first one's: see expert().
  WeightView weight(Role role, int block = kOfModel) const;
  /// One routed expert's matrix where the file has it, in the stack or apart; `role` is ExpertGate, ExpertUp
  /// or ExpertDown of a block that has it. Each may have a format of its own.
  WeightView expert(Role role, int block, int e) const;
  /// Stored bytes of a role's weight, of all experts together.
  size_t size_bytes(Role role, int block) const;
  /// A vector's values as f32, null where an optional one is absent. Norms and biases.
  const float* vector(Role role, int block = kOfModel) const;

  /// What the model has once (block kOfModel), or a block that is run, present or not.
  const std::vector<TensorItem>& tensors(int block) const {
    return items_[static_cast<size_t>(block - kOfModel)];
  }
  /// The layers with a router, in order; empty for a dense model.
  const std::vector<MoeLayer>& moe_layers() const { return moe_layers_; }
  size_t weight_bytes() const { return weight_bytes_; }
  int64_t n_parameters() const { return n_parameters_; }

 private:
  /// A weight as the file has it: one tensor, or one per expert.
  struct Weight {
    WeightView view = {};
    std::vector<WeightView> experts = {};  ///< where they are separate tensors

    size_t size_bytes() const;
  };

  void add_tensor(const TensorItem& item, int block);
  Weight find_weight(const TensorItem& item);
  WeightView read_view(const GgufTensor& tensor, const Shape& shape);
  WeightView remake(const TensorItem& item, const WeightView& stored);
  std::vector<WeightView> find_experts(const TensorItem& item);
  void check_shape(const GgufTensor& tensor, const Shape& expected) const;
  void refuse_unread();
  [[noreturn]] void refuse_missing(const std::string& tensor, const std::string& hint = {}) const;
  void read_in(const Progress& progress) const;

  std::vector<std::string> overridden_;  // filled while file_ is made
  GgufFile file_;
  const ArchSpec* arch_ = nullptr;
  std::vector<ReadKey> read_keys_;
  HParams hparams_;
  std::vector<std::string> notes_;
  std::vector<std::vector<TensorItem>> items_;  // the model's, then block by block
  std::set<const GgufTensor*> read_;            // of the file's tensors
  std::map<std::pair<Role, int>, Weight> weights_;
  std::map<const std::byte*, std::vector<float>> decoded_;  // vectors stored in another type
  std::vector<std::vector<float>> made_;                    // matrices that older files store in another form
  std::vector<MoeLayer> moe_layers_;
  size_t weight_bytes_ = 0;
  int64_t n_parameters_ = 0;
};

/// Parameters that one token with `k` experts per layer uses; of the embedding, where it is no head too, one
/// row.
int64_t n_active_parameters(const Model& model, int k);
/// Whether a block that is run has routed experts.
inline bool has_experts(const Model& model, int block) {
  return block_operations(model.arch(), model.hparams(), block).has(Operation::Experts);
}

}  // namespace sw
