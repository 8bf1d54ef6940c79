// SPDX-License-Identifier: MIT
#include "convert/quant_mix.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <optional>

#include "base/error.h"

namespace sw {
namespace {

constexpr std::string_view kOutput[] = {"output"};
// What carries the values of attention, alone or fused with others.
constexpr std::string_view kValues[] = {"attn_v", "attn_qkv", "attn_kv_b"};
constexpr std::string_view kDown[] = {"ffn_down", "ffn_down_exps", "ffn_down_shexp"};

constexpr MixRule kPlain[] = {{kOutput, Blocks::All, Type::Q6_K}};
constexpr MixRule kMedium[] = {{kOutput, Blocks::All, Type::Q6_K},
                               {kValues, Blocks::MoreBits, Type::Q6_K},
                               {kDown, Blocks::MoreBits, Type::Q6_K}};
constexpr MixRule kSmall4[] = {{kOutput, Blocks::All, Type::Q6_K},
                               {kValues, Blocks::FirstFour, Type::Q5_K},
                               {kDown, Blocks::FirstEighth, Type::Q5_K}};

constexpr QuantMix kMixes[] = {
    {"F32", 0, Type::F32, {}},           {"F16", 1, Type::F16, {}},
    {"BF16", 32, Type::BF16, {}},        {"Q8_0", 7, Type::Q8_0, {}},
    {"Q6_K", 18, Type::Q6_K, {}},        {"Q5_K_M", 17, Type::Q5_K, kMedium},
    {"Q5_K_S", 16, Type::Q5_K, kPlain},  {"Q4_K_M", 15, Type::Q4_K, kMedium},
    {"Q4_K_S", 14, Type::Q4_K, kSmall4}, {"Q4_0", 2, Type::Q4_0, kPlain},
    {"Q4_1", 3, Type::Q4_1, kPlain},     {"Q5_0", 8, Type::Q5_0, kPlain},
    {"Q5_1", 9, Type::Q5_1, kPlain},
};

/// "blk.3.attn_v.weight" is {3, "attn_v", ".weight"}, "output.weight" {nothing, "output", ".weight"}.
struct NameParts {
  std::optional<int64_t> block = {};
  std::string_view stem = {}, suffix = {};
};

NameParts parse_name(std::string_view name) {
  NameParts parts;
  if (name.starts_with("blk.")) {
    int64_t block = 0;
    const auto [end, error] = std::from_chars(name.data() + 4, name.data() + name.size(), block);
    if (error == std::errc() && end != name.data() + name.size() && *end == '.') {
      parts.block = block;
      name.remove_prefix(static_cast<size_t>(end + 1 - name.data()));
    }
  }
  const size_t dot = std::min(name.rfind('.'), name.size());
  parts.stem = name.substr(0, dot);
  // Old files have a tensor an expert: "blk.3.ffn_down.7.weight".
  const size_t number = parts.stem.find_last_not_of("0123456789");
  if (number != std::string_view::npos && number + 1 < parts.stem.size() && parts.stem[number] == '.')
    parts.stem = parts.stem.substr(0, number);
  parts.suffix = name.substr(dot);
  return parts;
}

bool holds(Blocks blocks, int64_t i, int64_t n) {
  const int64_t eighth = n / 8;
  switch (blocks) {
    case Blocks::All:
      return true;
    case Blocks::MoreBits:
      return i < eighth || i >= 7 * n / 8 || (i - eighth) % 3 == 2;
    case Blocks::FirstEighth:
      return i < eighth;
    case Blocks::FirstFour:
      return i < 4;
  }
  return false;
}

/// What every mix leaves in f32: small, and errors there reach every token.
bool stays_f32(const NameParts& parts, const Shape& shape) {
  return shape.n_dims() < 2 || parts.suffix != ".weight" || parts.stem.ends_with("_norm") ||
         parts.stem.starts_with("ffn_gate_inp");
}

Type wished_type(const QuantMix& mix, const MixTensor& tensor, const NameParts& parts) {
  const bool is_output = parts.stem == "token_embd" && !tensor.has_output;
  const std::string_view stem = is_output ? kOutput[0] : parts.stem;
  for (const MixRule& rule : mix.rules) {
    if (std::ranges::find(rule.tensors, stem) == rule.tensors.end()) continue;
    if (holds(rule.blocks, parts.block.value_or(0), tensor.n_layer)) return rule.type;
  }
  return mix.base;
}

}  // namespace

std::span<const QuantMix> quant_mixes() { return kMixes; }

const QuantMix& quant_mix(std::string_view name) {
  const auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; };
  std::string names;
  for (const QuantMix& mix : kMixes) {
    if (std::ranges::equal(name, std::string_view(mix.name), {}, upper)) return mix;
    names += (names.empty() ? "" : ", ") + std::string(mix.name);
  }
  throw Error({.what = "unknown quantisation mix", .expected = "one of " + names, .got = std::string(name)});
}

MixChoice choose_type(const QuantMix& mix, const MixTensor& tensor) {
  const NameParts parts = parse_name(tensor.name);
  if (stays_f32(parts, tensor.shape)) return {Type::F32};
  const Type wished = wished_type(mix, tensor, parts);
  const int64_t n = tensor.shape.n_cols();
  for (const Type type : {wished, Type::Q8_0, Type::F16}) {
    if (n % traits(type).block_elems != 0) continue;
    if (type == wished) return {type};
    return {type, fmt::format("{}: {} instead of {}, rows of {} are not a multiple of {}",
                              printable(std::string(tensor.name)), type_name(type), type_name(wished), n,
                              traits(wished).block_elems)};
  }
  SW_ASSERT(false && "F16 fits any row");
}

}  // namespace sw
