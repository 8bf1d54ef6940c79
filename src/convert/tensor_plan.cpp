// SPDX-License-Identifier: MIT
#include "convert/tensor_plan.h"

#include <algorithm>
#include <charconv>
#include <fmt/core.h>
#include <set>

#include "arch/fused.h"
#include "arch/optional_tensors.h"
#include "arch/rope.h"
#include "arch/tensors.h"
#include "base/error.h"

namespace sw {
namespace {

/// The shape without its outermost dimension: one expert of a stack.
Shape inner_shape(const Shape& stacked) {
  Shape shape;
  for (int i = 1; i < stacked.n_dims(); ++i) shape.push_back(stacked[i]);
  return shape;
}

/// True where `name` begins with `pattern`, whose {l}, {nextn} and {zero} stand for numbers: see Dropped.
bool begins_with(std::string_view name, std::string_view pattern, const HParams& h) {
  while (true) {
    const size_t open = pattern.find('{');
    if (!name.starts_with(pattern.substr(0, open))) return false;
    if (open == std::string_view::npos) return true;
    const size_t close = pattern.find('}', open);
    const std::string_view what = pattern.substr(open, close + 1 - open);
    const int least = what == "{nextn}" ? h.n_layer : what == "{zero}" ? h.moe.n_expert : 0;
    int number = -1;
    const auto [end, error] = std::from_chars(name.data() + open, name.data() + name.size(), number);
    if (error != std::errc() || number < least) return false;
    name = std::string_view(end, name.data() + name.size());
    pattern.remove_prefix(close + 1);
  }
}

bool same_bytes(const StTensor* a, const StTensor* b) {
  return (!a && !b) || (a && b && a->dtype == b->dtype && std::ranges::equal(a->data, b->data));
}
bool same_bytes(const CheckpointTensor& a, const CheckpointTensor& b) {
  return a.shape == b.shape && a.packing == b.packing && a.scale_of_all == b.scale_of_all &&
         same_bytes(a.stored, b.stored) && same_bytes(a.scales, b.scales);
}

CheckpointRows all_rows(const CheckpointTensor& tensor) {
  return {.tensor = &tensor, .n_row = tensor.shape.n_rows()};
}

/// The rows of an expert's matrix that a checkpoint with blocks and scales stores: as they are used, though
/// the plain checkpoint has them transposed.
bool is_in_rows(const CheckpointTensor& tensor) { return tensor.packing == Packing::Mxfp4; }

class Planner {
 public:
  Planner(const ArchSpec& arch, const HParams& h, const Checkpoint& checkpoint, const PlanOptions& options)
      : arch_(arch), h_(h), checkpoint_(checkpoint), options_(options) {}

  TensorPlan plan() {
    OptionalTensors optional;
    for (int block = kOfModel; block < h_.n_block; ++block) {
      for (const TensorItem& item : tensors_of(arch_, h_, block)) {
        const bool is_there = add(item);
        if (block < h_.n_run_block()) optional.add(item, is_there);
      }
    }
    if (const auto gap = optional.gap())
      refuse_missing(gap->missing.hf, gap->missing.stored, "as there is " + gap->there.hf);
    drop();
    refuse_unused();
    if (n_fallback_ > 0) {
      plan_.notes.push_back(fmt::format("{} tensors are F16: their rows are no multiple of {}'s block",
                                        n_fallback_, type_name(*options_.out_type)));
    }
    return std::move(plan_);
  }

 private:
  bool add(const TensorItem& item);
  std::vector<float> rope_factors(Transform which) const;
  bool add_tied(const TensorItem& item);
  std::vector<CheckpointRows> find_parts(const TensorItem& item);
  const CheckpointTensor* find(const std::string& name) const;
  bool is_fused(const TensorItem& item) const;
  std::vector<CheckpointRows> find_fused(const TensorItem& item);
  bool is_stored_in_rows(const TensorItem& item) const;
  std::vector<CheckpointRows> find_in_rows(const TensorItem& item);
  const CheckpointTensor* find_part(const std::string& name, const Shape& shape);
  bool may_lack(const TensorItem& item) const;
  [[noreturn]] void refuse_missing(const std::string& name, const Shape& shape,
                                   const std::string& hint) const;
  Type choose_type(const TensorItem& item, const PlannedTensor& tensor);
  void drop();
  void refuse_unused() const;

  const ArchSpec& arch_;
  const HParams& h_;
  const Checkpoint& checkpoint_;
  const PlanOptions& options_;
  std::set<const CheckpointTensor*> used_ = {};
  const CheckpointTensor* embedding_ = nullptr;
  int n_fallback_ = 0;
  TensorPlan plan_ = {};
};

/// Whether the file gets the tensor.
bool Planner::add(const TensorItem& item) {
  if (item.role == Role::Output && options_.tied.value_or(false) && add_tied(item)) return false;
  PlannedTensor tensor;
  tensor.name = item.gguf;
  tensor.shape = item.shape;
  if (operation_of(item.role) == Operation::Rope) {
    tensor.computed = rope_factors(item.transform);
    const bool any = !tensor.computed.empty();
    if (any) plan_.tensors.push_back(std::move(tensor));
    return any;
  }
  if (item.transform == Transform::PairsToNeighbours) tensor.head_rows = h_.attention.head_dim;
  const bool fused = is_fused(item), in_rows = !fused && is_stored_in_rows(item);
  if (!fused && !in_rows) tensor.from = item.from;
  tensor.parts = fused ? find_fused(item) : in_rows ? find_in_rows(item) : find_parts(item);
  if (tensor.parts.empty()) return false;
  if (item.role == Role::TokenEmbd) embedding_ = tensor.parts.front().tensor;
  tensor.type = choose_type(item, tensor);
  plan_.tensors.push_back(std::move(tensor));
  return true;
}

/// What divides the frequencies; nothing where llama3's scaling is not the model's.
std::vector<float> Planner::rope_factors(Transform which) const {
  if (which == Transform::Llama3Factors)
    return h_.rope.kind() == RopeScaling::Llama3 ? llama3_factors(h_.rope) : std::vector<float>();
  return which == Transform::LongFactors ? h_.rope.long_factors : h_.rope.short_factors;
}

/// Whether a tied output matrix is done with. One that differs is a matrix of its own, whatever the
/// configuration says.
bool Planner::add_tied(const TensorItem& item) {
  const CheckpointTensor* copy = checkpoint_.find(item.hf);
  if (!copy) return true;
  if (embedding_ && !same_bytes(*copy, *embedding_)) {
    plan_.notes.push_back(
        copy->name + " is kept: it differs from the token embedding, which the configuration ties it to");
    return false;
  }
  used_.insert(copy);
  plan_.notes.push_back(copy->name + " is left out: the configuration ties it to the token embedding");
  return true;
}

/// transformers 5 calls the block with experts alike in all families.
const CheckpointTensor* Planner::find(const std::string& name) const {
  constexpr std::string_view kMixtrals = ".block_sparse_moe.";
  const CheckpointTensor* t = checkpoint_.find(name);
  const size_t at = name.find(kMixtrals);
  if (t || at == std::string::npos) return t;
  return checkpoint_.find(std::string(name).replace(at, kMixtrals.size(), ".mlp."));
}

/// Whether the checkpoint has the experts' matrices as transformers 5 keeps them: see fused.h.
bool Planner::is_fused(const TensorItem& item) const {
  if (!is_expert(item.role) || item.shape.n_dims() != 3) return false;
  const CheckpointTensor* whole = find(fused_hf_name(item.role, item.hf));
  if (!whole || whole->shape.n_dims() != 3) return false;
  if (item.transform == Transform::Stack) return !find(expert_name(item.hf, 0));
  const int n_matrix = item.role == Role::ExpertDown ? 1 : 2;
  return item.transform != Transform::EvenTransposed && item.transform != Transform::OddTransposed &&
         whole->shape != item.stored &&
         whole->shape == Shape{item.shape[0], n_matrix * item.shape[1], item.shape[2]};
}

std::vector<CheckpointRows> Planner::find_fused(const TensorItem& item) {
  const int64_t n_matrix = item.role == Role::ExpertDown ? 1 : 2;
  const std::string name = find(fused_hf_name(item.role, item.hf))->name;
  // Rows of identity experts may stand behind those of the others.
  const int64_t n_all = item.shape[0] + h_.moe.n_expert_zero;
  const bool padded = checkpoint_.find(name)->shape[0] == n_all;
  const int64_t n_stored = padded ? n_all : item.shape[0];
  const CheckpointTensor* whole = find_part(name, {n_stored, n_matrix * item.shape[1], item.shape[2]});
  std::vector<CheckpointRows> parts;
  for (int64_t e = 0; e < item.shape[0]; ++e) {
    const int64_t matrix = e * n_matrix + (item.role == Role::ExpertUp ? 1 : 0);
    parts.push_back({.tensor = whole, .first = matrix * item.shape[1], .n_row = item.shape[1]});
  }
  return parts;
}

bool Planner::is_stored_in_rows(const TensorItem& item) const {
  const CheckpointTensor* whole = item.from.transposed ? find(item.hf) : nullptr;
  return whole && is_in_rows(*whole);
}

/// Of gate and up in one tensor, every other row.
std::vector<CheckpointRows> Planner::find_in_rows(const TensorItem& item) {
  const int64_t step = item.from.col_step;
  const CheckpointTensor* whole = find_part(item.hf, {item.shape[0], step * item.shape[1], item.shape[2]});
  return {
      {.tensor = whole, .first = item.from.first_col, .step = step, .n_row = item.shape[0] * item.shape[1]}};
}

std::vector<CheckpointRows> Planner::find_parts(const TensorItem& item) {
  const bool stack = item.transform == Transform::Stack;
  const Shape part_shape = stack ? inner_shape(item.stored) : item.stored;
  const int64_t n_part = stack ? item.stored[0] : 1;
  std::vector<CheckpointRows> parts;  // grows with what is found: n_part is only a claim
  for (int64_t e = 0; e < n_part; ++e) {
    const std::string name = expert_name(item.hf, static_cast<int>(e));
    const CheckpointTensor* part = find_part(name, part_shape);
    if (!part && e == 0 && may_lack(item)) return {};
    if (!part)
      refuse_missing(name, part_shape, "is the download complete, and does config.json belong to it?");
    parts.push_back(all_rows(*part));
  }
  return parts;
}

const CheckpointTensor* Planner::find_part(const std::string& name, const Shape& shape) {
  const CheckpointTensor* part = find(name);
  if (!part) return nullptr;
  if (part->shape != shape || shape.n_elements() == 0) {
    throw Error({.what = "a tensor of the checkpoint has a wrong shape",
                 .where = name,
                 .expected = shape.to_string() + " by config.json",
                 .got = part->shape.to_string()});
  }
  if (!part->type) {
    throw Error({.what = "a tensor of the checkpoint cannot be read as weights",
                 .where = name,
                 .expected = "F64, F32, F16 or BF16",
                 .got = st_dtype_name(part->stored->dtype),
                 .hint = "codes need quantization_config in config.json, and their scales beside them"});
  }
  used_.insert(part);
  return part;
}

void Planner::refuse_missing(const std::string& name, const Shape& shape, const std::string& hint) const {
  throw Error(
      {.what = "the checkpoint lacks a tensor", .expected = name + " " + shape.to_string(), .hint = hint});
}

bool Planner::may_lack(const TensorItem& item) const {
  // The output matrix is optional in a file; a checkpoint that says it is not tied must have it.
  if (item.role == Role::Output && options_.tied == false) return false;
  return item.optional;
}

Type Planner::choose_type(const TensorItem& item, const PlannedTensor& tensor) {
  if (quant_class_of(item.role) == QuantClass::Kept) return Type::F32;
  if (options_.out_type) {
    if (tensor.shape.n_cols() % traits(*options_.out_type).block_elems == 0) return *options_.out_type;
    ++n_fallback_;
    return Type::F16;
  }
  const auto type_of = [](const CheckpointRows& part) { return *part.tensor->type; };
  const Type own = type_of(tensor.parts.front());
  const auto all = [&](auto&& is) { return std::ranges::all_of(tensor.parts, is, type_of); };
  const bool reordered = tensor.from.any() || tensor.shape.n_cols() % traits(own).block_elems != 0;
  if (all([&](Type type) { return type == own; }) && !(traits(own).quantized && reordered)) return own;
  // Four bits beside BF16 are BF16's scales and integers: F32 would be no nearer to what the model was
  // trained as.
  return all([](Type type) { return type == Type::BF16 || traits(type).quantized; }) ? Type::BF16 : Type::F32;
}

/// Sets aside what the architecture leaves out.
void Planner::drop() {
  for (const Dropped& dropped : arch_.dropped) {
    size_t n = 0;
    for (const auto& [name, tensor] : checkpoint_.tensors())
      n += begins_with(name, dropped.hf, h_) && used_.insert(&tensor).second;
    if (n == 0) continue;
    plan_.notes.push_back(
        fmt::format("{} {} left out: {}", n, n == 1 ? "tensor is" : "tensors are", dropped.what));
  }
  for (const auto& [name, tensor] : checkpoint_.tensors()) {
    if (!used_.contains(&tensor) && find_idle(name)) used_.insert(&tensor);
  }
}

void Planner::refuse_unused() const {
  if (used_.size() == checkpoint_.tensors().size()) return;
  constexpr size_t kMaxShown = 3;
  std::string names;
  size_t n_unused = 0;
  for (const auto& [name, tensor] : checkpoint_.tensors()) {
    if (used_.contains(&tensor)) continue;
    if (n_unused++ < kMaxShown) names += (names.empty() ? "" : ", ") + printable(name);
  }
  throw Error({.what = "the checkpoint has tensors that the architecture does not know",
               .expected = std::string("only those of ") + std::string(arch_.name),
               .got = fmt::format("{} more: {}{}", n_unused, names, n_unused > kMaxShown ? ", ..." : "")});
}

}  // namespace

bool forget_absent_nextn(const ArchSpec& arch, HParams& h, const Checkpoint& checkpoint) {
  if (h.n_layer_nextn == 0) return false;
  for (int block = h.n_run_block(); block < h.n_block; ++block) {
    for (const TensorItem& item : tensors_of(arch, h, block)) {
      if (checkpoint.find(expert_name(item.hf, 0))) return false;
    }
  }
  h.n_layer_nextn = 0;
  h.n_block = h.n_run_block();
  return true;
}

TensorPlan plan_tensors(const ArchSpec& arch, const HParams& h, const Checkpoint& checkpoint,
                        const PlanOptions& options) {
  return Planner(arch, h, checkpoint, options).plan();
}

}  // namespace sw
