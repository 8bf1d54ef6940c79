// SPDX-License-Identifier: MIT
#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/fused.h"
#include "arch/optional_tensors.h"
#include "base/error.h"

namespace sw {
namespace {

GgufFile open_with_overrides(const std::filesystem::path& path, const std::vector<KeyOverride>& overrides,
                             std::vector<std::string>& overridden) {
  GgufFile file(path);
  for (const KeyOverride& o : overrides) {
    file.metadata().set(o.key, o.value);
    overridden.push_back(o.key);
  }
  return file;
}

/// Throws where an override names a key that nothing reads: that of another architecture would change
/// nothing, and no one would notice.
void refuse_idle(const std::vector<KeyOverride>& overrides, const GgufFile& file, const ArchSpec& arch,
                 std::span<const ReadKey> read) {
  const std::string prefix = std::string(arch.name) + ".";
  for (const KeyOverride& o : overrides) {
    if (o.key.starts_with("general.") || o.key.starts_with("tokenizer.")) continue;
    const std::string_view name =
        o.key.starts_with(prefix) ? std::string_view(o.key).substr(prefix.size()) : std::string_view();
    const auto is_key = [&](const ReadKey& r) { return r.key->gguf == name || r.key->gguf_older == name; };
    const auto is_list = [&](const ListKey& list) { return list.gguf == name; };
    if (!name.empty() && (std::ranges::any_of(read, is_key) || std::ranges::any_of(arch.lists, is_list)))
      continue;
    throw Error({.what = "nothing reads the key that --override-kv names",
                 .where = file.name(),
                 .expected = "a key of " + std::string(arch.name),
                 .got = o.key});
  }
}

/// Some files have a value per layer where the model has one for all: it is the one if all are equal.
std::optional<double> one_of_all(const GgufFile& file, const std::string& name) {
  const auto* array = std::get_if<GgufArray>(&file.metadata().find(name)->data);
  if (!array) return std::nullopt;
  return std::visit(
      [&]<class T>(const std::vector<T>& items) -> std::optional<double> {
        if constexpr (std::is_arithmetic_v<T>) {
          if (items.empty()) return std::nullopt;
          const bool equal = std::ranges::all_of(items, [&](T item) { return item == items.front(); });
          if (!equal)
            file.metadata().refuse(name, "one value, or an array of equal ones", "different values");
          return static_cast<double>(items.front());
        } else {
          return std::nullopt;
        }
      },
      array->items);
}

bool is_array(const GgufValue* value) { return value && std::holds_alternative<GgufArray>(value->data); }

/// Hyperparameters look-up in GGUF metadata under "<arch>.". A list may have the same name as a number.
std::optional<double> look_up(const GgufFile& file, const ArchSpec& arch, const std::string& prefix,
                              const Key& key) {
  std::string name = prefix + std::string(key.gguf);
  const GgufValue* value = file.metadata().find(name);
  const bool has_list = std::ranges::find(arch.lists, key.gguf, &ListKey::gguf) != arch.lists.end();
  if (has_list && is_array(value)) return std::nullopt;
  if (!value && !key.gguf_older.empty()) {
    name = prefix + std::string(key.gguf_older);
    value = file.metadata().find(name);
  }
  if (!value && !key.gguf_count.empty()) {
    const std::vector<std::string>* counted = file.metadata().get_strings(key.gguf_count);
    return counted ? std::optional(static_cast<double>(counted->size())) : std::nullopt;
  }
  if (!value) return std::nullopt;
  if (!key.gguf_names.empty())
    return value_of_name(key.gguf_names, *file.metadata().get_string(name), file.metadata().place_of(name));
  if (const std::optional<double> one = one_of_all(file, name)) return one;
  switch (key.field.type) {
    case Field::Type::Bool:
      return *file.metadata().get_bool(name) ? 1.0 : 0.0;
    case Field::Type::Float:
      return file.metadata().get_float(name);
    case Field::Type::Int:
      break;
  }
  return static_cast<double>(*file.metadata().get_int(name));
}

/// One expert's part of a stack.
Shape inner_shape(const Shape& stack) {
  Shape shape;
  for (int i = 1; i < stack.n_dims(); ++i) shape.push_back(stack[i]);
  return shape;
}

}  // namespace

KeyOverride parse_key_override(const std::string& text) {
  const auto bad = [&](const std::string& got) {
    return Error({.what = "bad --override-kv",
                  .where = text,
                  .expected = "KEY=TYPE:VALUE with TYPE int, float, bool or str",
                  .got = got});
  };
  const size_t equals = text.find('=');
  const size_t colon = equals == std::string::npos ? equals : text.find(':', equals);
  if (colon == std::string::npos || equals == 0) throw bad("no KEY=TYPE:VALUE");
  const std::string type = text.substr(equals + 1, colon - equals - 1), value = text.substr(colon + 1);
  KeyOverride result{.key = text.substr(0, equals)};
  char* end = nullptr;
  errno = 0;
  if (type == "int") {
    const long long number = std::strtoll(value.c_str(), &end, 10);
    result.value = {.type = GgufType::I64, .data = int64_t{number}};
  } else if (type == "float") {
    const double number = std::strtod(value.c_str(), &end);
    result.value = {.type = GgufType::F64, .data = number};
  } else if (type == "bool") {
    if (value != "true" && value != "false") throw bad("the bool \"" + value + "\"");
    result.value = GgufValue::boolean(value == "true");
  } else if (type == "str") {
    result.value = GgufValue::string(value);
  } else {
    throw bad("the type \"" + type + "\"");
  }
  if (end && (end == value.c_str() || *end != '\0' || errno != 0))
    throw bad("the " + type + " \"" + value + "\"");
  return result;
}

Model::Model(const std::filesystem::path& path, const LoadOptions& options)
    : file_(open_with_overrides(path, options.overrides, overridden_)) {
  arch_ = naming_file(file_.name(),
                      [&] { return &arch_by_name(file_.metadata().require_string("general.architecture")); });
  const std::string prefix = std::string(arch_->name) + ".";
  const auto find = [&](const Key& key) { return look_up(file_, *arch_, prefix, key); };
  const auto find_list = [&](const ListKey& key) {
    const std::string name = prefix + std::string(key.gguf);
    if (!key.booleans) return file_.metadata().get_ints(name);
    if (!is_array(file_.metadata().find(name))) return std::optional<std::vector<int64_t>>();
    return file_.metadata().get_bools_or_ints(name);
  };
  hparams_ = naming_file(file_.name(), [&] {
    return read_hparams(*arch_, &Key::gguf, find, &read_keys_, read_lists(*arch_, &ListKey::gguf, find_list));
  });

  refuse_idle(options.overrides, file_, *arch_, read_keys_);

  // Blocks are bounded by what the file holds: a missing tensor of the first absent block ends the loop.
  OptionalTensors optional;
  for (int block = kOfModel; block < hparams_.n_run_block(); ++block) {
    items_.push_back(tensors_of(*arch_, hparams_, block));
    for (const TensorItem& item : items_.back()) {
      add_tensor(item, block);
      optional.add(item, !weight(item.role, block).empty());
    }
    if (block == kOfModel || !block_operations(*arch_, hparams_, block).has(Operation::Experts)) continue;
    moe_layers_.push_back({block / hparams_.blocks_per_layer,
                           naming_file(file_.name(), [&] { return make_router_spec(*arch_, hparams_); })});
  }
  if (const auto gap = optional.gap()) refuse_missing(gap->missing.gguf, "as there is " + gap->there.gguf);
  if (!moe_layers_.empty()) validate(moe_layers_.front().router, file_.name());
  if (!made_.empty()) {
    notes_.push_back("an older file: " + std::to_string(made_.size()) +
                     " tensors were brought into today's form, in memory of their own");
  }
  if (hparams_.blocks_per_layer > 1) {
    notes_.push_back(std::to_string(hparams_.n_layer) + " layers, stored as " +
                     std::to_string(hparams_.n_block) + " blocks");
  }
  if (hparams_.n_layer_nextn > 0) {
    notes_.push_back("skipping " + std::to_string(hparams_.n_layer_nextn) +
                     " next-token-prediction layer(s)");
  }
  refuse_unread();
  if (options.check) options.check(*this);
  if (options.read_in) read_in(options.progress);
}

void Model::check_shape(const GgufTensor& tensor, const Shape& expected) const {
  if (tensor.shape == expected) return;
  throw Error({.what = "a tensor has the wrong shape",
               .where = file_.place_of(tensor),
               .expected = expected.to_string(),
               .got = tensor.shape.to_string()});
}

/// A tensor of the file, which must have this shape.
WeightView Model::read_view(const GgufTensor& t, const Shape& shape) {
  check_shape(t, shape);
  read_.insert(&t);
  return {file_.require_type(t), t.shape, t.data, {}};
}

size_t Model::Weight::size_bytes() const {
  if (experts.empty()) return view.size_bytes();
  size_t all = 0;
  for (const WeightView& expert : experts) all += expert.size_bytes();
  return all;
}

/// Nothing where an optional tensor is absent.
Model::Weight Model::find_weight(const TensorItem& item) {
  const GgufTensor* older = item.older.empty() ? nullptr : file_.find_tensor(item.older);
  if (older) read_.insert(older);  // or passed over: some files hold both forms
  if (const GgufTensor* t = file_.find_tensor(item.gguf)) return {.view = read_view(*t, item.shape)};
  if (older) return {.view = remake(item, read_view(*older, item.stored))};
  std::vector<WeightView> experts = find_experts(item);
  if (experts.empty() && !item.optional) refuse_missing(item.gguf);
  if (experts.empty()) return {};
  const WeightView first{experts[0].type, item.shape, experts[0].data, {}};
  return {.view = first, .experts = std::move(experts)};
}

/// Some files have gate and up in one tensor (see fused.h). Files of before 2024 have
/// blk.{l}.ffn_up.{e}.weight where later ones have blk.{l}.ffn_up_exps.weight. Nothing where the file has no
/// such tensors either.
std::vector<WeightView> Model::find_experts(const TensorItem& item) {
  std::vector<WeightView> experts;  // grows with what is found: the number of experts is only a claim
  const GgufTensor* fused = file_.find_tensor(fused_gguf_name(item.role, item.gguf));
  if (fused) {
    const Shape half = inner_shape(item.shape);
    const WeightView both = read_view(*fused, {item.shape[0], 2 * half[0], half[1]});
    for (int e = 0; e < item.shape[0]; ++e) {
      WeightView part = both.expert(e);
      part.shape = half;
      if (item.role == Role::ExpertUp) part.data += part.size_bytes();
      experts.push_back(part);
    }
    return experts;
  }
  for (int e = 0; !item.per_expert.empty() && e < hparams_.moe.n_expert; ++e) {
    const std::string name = expert_name(item.per_expert, e);
    const GgufTensor* t = file_.find_tensor(name);
    if (!t && e == 0) break;
    if (!t) refuse_missing(name);
    experts.push_back(read_view(*t, inner_shape(item.shape)));
  }
  return experts;
}

void Model::add_tensor(const TensorItem& item, int block) {
  const Weight weight = find_weight(item);
  const WeightView& view = weight.view;
  if (view.empty()) return;
  weight_bytes_ += weight.size_bytes();
  n_parameters_ += view.shape.n_elements();
  if (form_of(item.role) == RoleForm::Vector && view.type != Type::F32) {
    std::vector<float>& values = decoded_[view.data];
    values.resize(static_cast<size_t>(view.shape.n_elements()));
    decode_rows(view.type, view.data, view.shape.n_rows(), view.shape.n_cols(), values.data());
  }
  weights_[{item.role, block}] = weight;
}

/// The matrices of a tensor that an older file stores as the checkpoint does, in f32.
WeightView Model::remake(const TensorItem& item, const WeightView& stored) {
  std::vector<float> values(static_cast<size_t>(stored.shape.n_elements()));
  decode_rows(stored.type, stored.data, stored.shape.n_rows(), stored.shape.n_cols(), values.data());
  made_.push_back(rearrange(values, item.from));  // the vectors' memory stays when they move
  return {Type::F32, item.shape, reinterpret_cast<const std::byte*>(made_.back().data()), {}};
}

/// A tensor that is passed over in silence is a model that computes something else.
void Model::refuse_unread() {
  std::map<std::string_view, size_t> n_left_out;
  std::vector<const GgufTensor*> unread;
  const bool cut =
      std::ranges::find(overridden_, fmt::format("{}.block_count", arch_->name)) != overridden_.end();
  for (const GgufTensor& t : file_.tensors()) {
    if (read_.contains(&t)) continue;
    const int block = block_of_name(t.name).value_or(0);
    if (block >= hparams_.n_run_block() && block < hparams_.n_block)
      continue;  // next-token layers: see notes
    if (cut && block >= hparams_.n_block) {
      ++n_left_out["block_count is overridden"];
      continue;
    }
    const IdleTensors* idle = find_idle(t.name);
    if (!idle) unread.push_back(&t);
    if (idle && !idle->what.empty()) ++n_left_out[idle->what];
  }
  for (const auto& [what, n] : n_left_out)
    notes_.push_back(fmt::format("{} {} left out: {}", n, n == 1 ? "tensor is" : "tensors are", what));
  if (unread.empty()) return;
  throw Error({.what = "the file has tensors that nothing reads",
               .where = file_.place_of(*unread[0]),
               .expected = fmt::format("only those of {}", arch_->name),
               .got = fmt::format("{} more", unread.size())});
}

void Model::refuse_missing(const std::string& tensor, const std::string& hint) const {
  throw Error({.what = "a tensor is missing", .where = file_.name(), .expected = tensor, .hint = hint});
}

WeightView Model::weight(Role role, int block) const {
  const auto at = weights_.find({role, block});
  return at == weights_.end() ? WeightView{} : at->second.view;
}

WeightView Model::expert(Role role, int block, int e) const {
  const Weight& weight = weights_.at({role, block});
  return weight.experts.empty() ? weight.view.expert(e) : weight.experts.at(static_cast<size_t>(e));
}

size_t Model::size_bytes(Role role, int block) const {
  const auto at = weights_.find({role, block});
  return at == weights_.end() ? 0 : at->second.size_bytes();
}

const float* Model::vector(Role role, int block) const {
  const WeightView view = weight(role, block);
  if (view.empty()) return nullptr;
  const auto decoded = decoded_.find(view.data);
  return decoded != decoded_.end() ? decoded->second.data() : reinterpret_cast<const float*>(view.data);
}

void Model::read_in(const Progress& progress) const {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  constexpr size_t kReportBytes = size_t{16} << 20;
  size_t done = 0, reported = 0;
  volatile std::byte sink{};
  const auto read = [&](const WeightView& view) {
    const size_t size = view.size_bytes();
    for (size_t at = 0; at < size; at += page) {
      sink = view.data[at];
      if (progress && done + at - reported >= kReportBytes) progress(reported = done + at, weight_bytes_);
    }
    if (size > 0) sink = view.data[size - 1];  // one page more where it does not begin with a page
    done += size;
  };
  for (const auto& [key, weight] : weights_) {
    if (weight.experts.empty()) read(weight.view);
    for (const WeightView& expert : weight.experts) read(expert);
  }
  static_cast<void>(sink);
  file_.check_unchanged();
  if (progress) progress(weight_bytes_, weight_bytes_);
}

int64_t n_active_parameters(const Model& model, int k) {
  const bool tied = model.weight(Role::Output).empty();
  int64_t n = 0;
  for (int block = kOfModel; block < model.hparams().n_run_block(); ++block) {
    for (const TensorItem& item : model.tensors(block)) {
      const Shape shape = model.weight(item.role, block).shape;
      if (shape.n_dims() == 0) continue;
      if (is_expert(item.role)) {
        n += shape.n_elements() / shape[0] * k;
      } else {
        n += item.role == Role::TokenEmbd && !tied ? shape.n_cols() : shape.n_elements();
      }
    }
  }
  return n;
}

}  // namespace sw
