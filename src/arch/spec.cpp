// SPDX-License-Identifier: MIT
#include "arch/spec.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"

namespace sw {

namespace {

constexpr const ArchSpec* kAll[] = {
#define SW_ARCH(symbol) &symbol,
#include "arch/all.inc"
#undef SW_ARCH
};

/// `names_of(arch)` are the names that an architecture goes by.
template <class NamesOf>
const ArchSpec& find_arch(NamesOf names_of, std::string_view wanted, const char* what) {
  std::string known;
  for (const ArchSpec* arch : kAll) {
    for (const std::string_view name : names_of(*arch)) {
      if (name.empty()) continue;
      if (name == wanted) return *arch;
      known += (known.empty() ? "" : ", ") + std::string(name);
    }
  }
  throw Error({.what = what, .expected = "one of " + known, .got = std::string(wanted)});
}

void set_field(const Key& key, HParams& h, double value, std::string_view name) {
  const auto bad = [&](const char* expected) {
    throw Error({.what = "a hyperparameter is out of range",
                 .where = std::string(name),
                 .expected = expected,
                 .got = std::to_string(value)});
  };
  switch (key.field.type) {
    case Field::Type::Int:
      if (value != std::floor(value) || value < 0 || value > std::numeric_limits<int>::max())
        bad("a whole number >= 0");
      break;
    case Field::Type::Bool:
      if (value != 0 && value != 1) bad("true or false");
      break;
    case Field::Type::Float:
      if (!(std::abs(value) <= std::numeric_limits<float>::max())) bad("a finite number");
      break;
  }
  key.field.set(h, value);
}

/// Far above any model; keeps products of two of them inside 64 bits and reservations sane.
constexpr int kMaxValue = 1 << 24;

[[noreturn]] void refuse_figure(const char* which, const std::string& expected, const std::string& got) {
  throw Error({.what = "a hyperparameter is impossible", .where = which, .expected = expected, .got = got});
}

void positive(const char* which, int value) {
  if (value <= 0) refuse_figure(which, "at least 1", std::to_string(value));
}

void at_most(const char* which, int value, int limit, const char* of) {
  if (value > limit)
    refuse_figure(which, "at most " + std::to_string(limit) + " (" + of + ")", std::to_string(value));
}

void check_attention(const ArchSpec& arch, const HParams& h) {
  const Attention& a = h.attention;
  if (!a.layers.empty() && std::ssize(a.layers) != h.n_layer) {
    refuse_figure("length of the list of layers that attend", std::to_string(h.n_layer),
                  std::to_string(a.layers.size()));
  }
  if (!a.windowed.empty() && std::ssize(a.windowed) != h.n_layer) {
    refuse_figure("length of the list of layers that have a window", std::to_string(h.n_layer),
                  std::to_string(a.windowed.size()));
  }
  positive("attention head count", a.n_head);
  positive("attention key/value head count", a.n_head_kv);
  positive("attention key length", a.head_dim);
  positive("attention value length", a.value_dim);
  if (std::ranges::count(arch.tensors, Role::AttnKvA, &TensorSpec::role) > 0) {
    positive("attention latent rank", h.mla.kv_rank);
    positive("attention key length without rotation", h.mla.nope_dim);
    positive("attention value length", h.mla.value_dim);
  }
  if (a.clip < 0) refuse_figure("limit of queries, keys and values", "at least 0", std::to_string(a.clip));
  if (a.n_head % a.n_head_kv != 0) {
    refuse_figure("attention head count",
                  "a multiple of the key/value head count " + std::to_string(a.n_head_kv),
                  std::to_string(a.n_head));
  }
  at_most("rotary dimension count", h.rope.n_rot, a.head_dim, "the key length");
  if (h.rope.n_rot % 2 != 0)
    refuse_figure("rotary dimension count", "an even number", std::to_string(h.rope.n_rot));
  if (!(h.rope.factor > 0) || !(h.rope.freq_base > 0)) {
    refuse_figure("rotary frequency base or scaling factor", "above 0",
                  std::to_string(std::min(h.rope.factor, h.rope.freq_base)));
  }
}

/// Hyperparameters that every architecture needs and that later arithmetic relies on.
void check_hparams(const ArchSpec& arch, const HParams& h) {
  positive("layer count", h.n_layer);
  positive("embedding length", h.n_embd);
  positive("vocabulary size", h.n_vocab);
  check_attention(arch, h);
  positive("step between layers with experts", h.moe.moe_step);
  if (std::ranges::count(arch.tensors, Role::ConvTaps, &TensorSpec::role) > 0 && h.short_conv.n_tap < 2)
    refuse_figure("length of the short convolution", "at least 2", std::to_string(h.short_conv.n_tap));
  at_most("next-token layer count", h.n_layer_nextn, h.n_block - 1, "layers in all, less one");
  if (h.moe.groups_idle && h.moe.n_expert_group > 1)
    refuse_figure("expert group count of a selection without groups", "1",
                  std::to_string(h.moe.n_expert_group));
  for (const int value :
       {h.n_block, h.n_embd, h.n_vocab, h.n_ff, h.attention.n_head, h.attention.head_dim,
        h.attention.value_dim, h.mla.kv_rank, h.mla.q_rank, h.mla.key_dim, h.mla.value_dim, h.moe.n_expert,
        h.moe.n_expert_zero, h.moe.n_ff_expert, h.moe.n_ff_shared, h.short_conv.n_tap}) {
    at_most("a layer, width, head or expert count", value, kMaxValue, "our limit");
  }
}

/// A file's list has one number in place of all ones; a config's texts gave ones.
void read_ones(const ListKey& key, const char* name, HParams& h) {
  int one = 0;
  for (int& item : key.field(h)) {
    if (item == 0) continue;
    if (one != 0 && item != one)
      refuse_figure(name, "0 or " + std::to_string(one) + ", as before", std::to_string(item));
    one = std::exchange(item, 1);
  }
  if (one > 0) key.one.set(h, one);
}

}  // namespace

std::span<const ArchSpec* const> all_archs() { return kAll; }

int value_of_name(std::span<const NamedValue> names, std::string_view text, const std::string& where) {
  std::string known;
  for (const NamedValue& named : names) {
    if (named.name == text) return named.value;
    known += (known.empty() ? "" : ", ") + std::string(named.name);
  }
  throw Error({.what = "unknown value",
               .where = where,
               .expected = "one of " + known,
               .got = printable(std::string(text))});
}

const ArchSpec& arch_by_name(std::string_view gguf_name) {
  return find_arch([](const ArchSpec& a) { return std::array{a.name}; }, gguf_name, "unknown architecture");
}

const ArchSpec& arch_by_hf_class(std::string_view hf_class) {
  const auto names = [](const ArchSpec& a) { return std::array{a.hf_classes[0].name, a.hf_classes[1].name}; };
  return find_arch(names, hf_class, "unknown model class in config.json");
}

const HfClass& hf_class_of(const ArchSpec& arch, std::string_view hf_class) {
  const auto at = std::ranges::find(arch.hf_classes, hf_class, &HfClass::name);
  SW_ASSERT(at != arch.hf_classes.end());
  return *at;
}

std::string_view name_of_value(std::span<const NamedValue> names, int value) {
  const auto at = std::ranges::find(names, value, &NamedValue::value);
  SW_ASSERT(at != names.end());
  return at->name;
}

HParams read_hparams(const ArchSpec& arch, KeyName name_of, const KeyLookup& lookup,
                     std::vector<ReadKey>* read, HParams lists) {
  HParams h = std::move(lists);
  h.blocks_per_layer = count_blocks(arch.kinds.front().steps);
  std::vector<std::optional<double>> found(arch.keys.size());
  for (size_t i = 0; i < arch.keys.size(); ++i) {
    const Key& key = arch.keys[i];
    if ((key.*name_of).empty()) continue;
    found[i] = lookup(key);
    if (found[i]) set_field(key, h, *found[i], key.*name_of);
  }
  for (size_t i = 0; i < arch.keys.size(); ++i) {
    const Key& key = arch.keys[i];
    if (!found[i]) {
      const std::optional<double> value = key.fallback.get(h);
      if (!value) {
        throw Error({.what = "a key that the architecture needs is missing",
                     .where = std::string(arch.name),
                     .expected = std::string((key.*name_of).empty() ? key.gguf : key.*name_of)});
      }
      set_field(key, h, *value, key.gguf.empty() ? key.hf : key.gguf);
    }
    if (read) read->push_back({&key, key.field.get(h), found[i].has_value()});
  }
  check_hparams(arch, h);
  return h;
}

HParams read_lists(const ArchSpec& arch, std::string_view ListKey::*name_of, const ListLookup& lookup) {
  HParams h;
  for (const ListKey& key : arch.lists) {
    const std::optional<std::vector<int64_t>> items = lookup(key);
    if (!items || items->empty()) continue;
    std::vector<int>& field = key.field(h);
    const int most = key.booleans ? 1 : kMaxValue;
    for (const int64_t item : *items) {
      if (item < 0 || item > most)
        refuse_figure((key.*name_of).data(), "0 to " + std::to_string(most), std::to_string(item));
      field.push_back(static_cast<int>(item));
    }
    field.resize(std::max(field.size(), key.length));
    if (key.one.set) read_ones(key, (key.*name_of).data(), h);
  }
  return h;
}

RouterSpec make_router_spec(const ArchSpec& arch, const HParams& h) {
  RouterSpec r = arch.router;
  const Moe& m = h.moe;
  r.n_expert = m.n_expert;
  r.n_expert_zero = m.n_expert_zero;
  r.n_expert_used = m.n_expert_used;
  r.n_group = std::max(1, m.n_expert_group);
  r.n_group_used = std::max(1, m.n_expert_group_used);
  r.renorm = m.weights_norm;
  r.scale = m.weights_scale;
  constexpr Score kByGatingFunc[] = {Score::Softmax, Score::Softmax, Score::Sigmoid, Score::SoftmaxSelected};
  if (m.gating_func > 3) {
    throw Error({.what = "unknown router score function",
                 .where = "expert_gating_func",
                 .expected = "1 (softmax), 2 (sigmoid) or 3 (softmax over the selected)",
                 .got = std::to_string(m.gating_func)});
  }
  if (m.gating_func != 0) r.score = kByGatingFunc[m.gating_func];  // 0: an older file that does not say
  constexpr GroupScore kByGroupScore[] = {GroupScore::Top2Sum, GroupScore::Top2Sum, GroupScore::Max};
  if (m.group_score > 2) {
    throw Error({.what = "unknown score of expert groups",
                 .where = "expert_group_score",
                 .expected = "1 (the two best experts together) or 2 (the best)",
                 .got = std::to_string(m.group_score)});
  }
  if (m.group_score != 0) r.group_score = kByGroupScore[m.group_score];
  return r;
}

const LayerKind& layer_kind(const ArchSpec& arch, const HParams& h, int layer) {
  SW_ASSERT(layer >= 0 && layer < h.n_layer);
  const int kind = arch.kind_of ? arch.kind_of(h, layer) : 0;
  SW_ASSERT(kind >= 0 && kind < std::ssize(arch.kinds));
  return arch.kinds[static_cast<size_t>(kind)];
}

const LayerKind& block_kind(const ArchSpec& arch, const HParams& h, int block) {
  return layer_kind(arch, h, block / h.blocks_per_layer);
}

Operations block_operations(const ArchSpec& arch, const HParams& h, int block) {
  if (block >= h.n_run_block()) return operations_of(arch.nextn);
  Operations all;
  int at = -1;
  for (const Step step : block_kind(arch, h, block).steps) {
    at += begins_block(step);
    if (at == block % h.blocks_per_layer) all = all | operations_of(step);
  }
  return all;
}

}  // namespace sw
