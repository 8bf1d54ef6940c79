// SPDX-License-Identifier: MIT
#include "arch/tensors.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "arch/fused.h"
#include "base/error.h"

namespace sw {
namespace {

constexpr std::string_view kStacked = "_exps.", kExpert = "{e}", kBlock = "{l}";

constexpr size_t kMaxDigits = 9;  // of a number in a name: it fits an int

constexpr IdleTensors kIdle[] = {
    {.contains = "rotary_emb.inv_freq"},    // frequencies, which follow from the hyperparameters
    {.contains = "rotary_emb.cos_cached"},  // likewise, of all positions
    {.contains = "rotary_emb.sin_cached"},
    {.contains = ".attn_rot_embd"},  // likewise, in GGUF
    {.contains = ".masked_bias"},    // causal masks of old checkpoints
    {.contains = ".attn.bias"},      // likewise
    {.begins = "v.", .what = "the vision tower"},
    {.begins = "mm.", .what = "the projector of the vision tower"},
};

void fill(std::string& text, std::string_view what, int number) {
  const size_t at = text.find(what);
  if (at != std::string::npos) text.replace(at, what.size(), std::to_string(number));
}

std::string gguf_name(std::string_view pattern, int block) {
  std::string name(pattern);
  fill(name, kBlock, block);
  return name;
}

std::string hf_name(const ArchSpec& arch, const TensorSpec& t, const HParams& h, int block) {
  constexpr std::string_view kRoot = "model.";
  std::string name(t.hf);
  if (name.starts_with(kRoot)) name.replace(0, kRoot.size(), arch.hf_root);
  fill(name, kBlock, block / h.blocks_per_layer);
  fill(name, "{part}", block % h.blocks_per_layer);
  return name;
}

/// "blk.{l}.ffn_up_exps.weight" -> "blk.{l}.ffn_up.{e}.weight"; nothing for what is no stack of experts.
std::string per_expert_pattern(const TensorSpec& t) {
  const size_t at = t.gguf.find(kStacked);
  if (!is_expert(t.role) || at == std::string_view::npos) return {};
  std::string pattern(t.gguf);
  return pattern.replace(at, kStacked.size(), "." + std::string(kExpert) + ".");
}

Shape shape_of(const TensorSpec& t, const HParams& h) {
  Shape shape;
  for (int i = 0; i < t.dims.n; ++i) shape.push_back(t.dims.dim[static_cast<size_t>(i)].of(h));
  return shape;
}

bool has_zero(const Shape& shape) {
  for (int i = 0; i < shape.n_dims(); ++i) {
    if (shape[i] == 0) return true;
  }
  return false;
}

TensorItem make_item(const ArchSpec& arch, const TensorSpec& t, const HParams& h, int block, Shape shape) {
  const Rearranged from = rearranged(t.transform, shape, h);
  return {.role = t.role,
          .gguf = gguf_name(t.gguf, block),
          .per_expert = gguf_name(per_expert_pattern(t), block),
          .older = gguf_name(t.older.gguf, block),
          .hf = hf_name(arch, t, h, block),
          .shape = shape,
          .stored = stored_shape(shape, from),
          .from = from,
          .transform = t.transform,
          .optional = t.presence == Presence::Optional};
}

/// True where `name` is `pattern` with numbers in place of {l} and {e}.
bool matches(std::string_view name, std::string_view pattern) {
  while (!pattern.empty()) {
    const size_t open = std::min(pattern.find('{'), pattern.size());
    if (!name.starts_with(pattern.substr(0, open))) return false;
    name.remove_prefix(open);
    pattern.remove_prefix(open);
    if (pattern.empty()) break;
    const size_t n_digit = std::min(name.find_first_not_of("0123456789"), name.size());
    if (n_digit == 0 || n_digit > kMaxDigits) return false;
    name.remove_prefix(n_digit);
    pattern.remove_prefix(kBlock.size());
  }
  return name.empty();
}

using NamedRole = std::pair<std::string, Role>;

std::vector<NamedRole> all_names() {
  std::vector<NamedRole> names;
  const auto add = [&](std::string pattern, Role role) {
    if (!pattern.empty() && std::ranges::find(names, pattern, &NamedRole::first) == names.end())
      names.emplace_back(std::move(pattern), role);
  };
  for (const ArchSpec* arch : all_archs()) {
    for (const TensorSpec& t : arch->tensors) {
      add(std::string(t.gguf), t.role);
      add(std::string(t.older.gguf), t.older.role);
      add(per_expert_pattern(t), t.role);
      add(fused_gguf_name(t.role, t.gguf), Role::ExpertGate);
    }
  }
  return names;
}

}  // namespace

std::vector<TensorItem> tensors_of(const ArchSpec& arch, const HParams& h, int block) {
  std::vector<TensorItem> items;
  const Operations readers = block == kOfModel ? kModelOperations : block_operations(arch, h, block);
  for (const TensorSpec& t : arch.tensors) {
    if (!readers_of(t.role).meets(readers)) continue;
    const Shape shape = shape_of(t, h);
    if (t.presence == Presence::IfSized && has_zero(shape)) continue;
    items.push_back(make_item(arch, t, h, block, shape));
  }
  return items;
}

std::string expert_name(std::string_view pattern, int expert) {
  std::string name(pattern);
  fill(name, kExpert, expert);
  return name;
}

std::optional<Role> role_of_name(std::string_view gguf) {
  static const std::vector<NamedRole> names = all_names();
  const auto at = std::ranges::find_if(names, [&](const NamedRole& n) { return matches(gguf, n.first); });
  return at == names.end() ? std::nullopt : std::optional(at->second);
}

std::optional<int> block_of_name(std::string_view gguf) {
  constexpr std::string_view kBegin = "blk.";
  if (!gguf.starts_with(kBegin)) return std::nullopt;
  gguf.remove_prefix(kBegin.size());
  int block = 0;
  const auto [end, error] = std::from_chars(gguf.data(), gguf.data() + gguf.size(), block);
  const bool ends = end != gguf.data() + gguf.size() && *end == '.';
  return error == std::errc() && ends && block >= 0 ? std::optional(block) : std::nullopt;
}

const IdleTensors* find_idle(std::string_view name) {
  const auto at = std::ranges::find_if(kIdle, [&](const IdleTensors& idle) {
    return idle.begins.empty() ? name.find(idle.contains) != std::string_view::npos
                               : name.starts_with(idle.begins);
  });
  return at == std::end(kIdle) ? nullptr : at;
}

}  // namespace sw
