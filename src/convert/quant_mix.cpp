// SPDX-License-Identifier: MIT
#include "convert/quant_mix.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <optional>
#include <vector>

#include "arch/tensors.h"
#include "base/edit_distance.h"
#include "base/error.h"
#include "base/letter_case.h"

namespace sw {
namespace {

#include "convert/quant_mixes.inc"

/// Of a tensor that no architecture has, by what names of vectors, norms and routers have in common.
QuantClass class_of_stranger(std::string_view name) {
  const bool is_small = !name.ends_with(".weight") || name.ends_with("_norm.weight") ||
                        name.find("ffn_gate_inp") != std::string_view::npos;
  return is_small ? QuantClass::Kept : QuantClass::Plain;
}

QuantClass class_of(const MixTensor& tensor) {
  if (tensor.shape.n_dims() < 2) return QuantClass::Kept;
  const std::optional<Role> role = role_of_name(tensor.name);
  if (!role) return class_of_stranger(tensor.name);
  const QuantClass quant_class = quant_class_of(*role);
  return quant_class == QuantClass::Embedding && !tensor.model.has_output ? QuantClass::Output : quant_class;
}

bool holds(Blocks blocks, int64_t i, int64_t n) {
  const int64_t eighth = n / 8;
  switch (blocks) {
    case Blocks::All:
      return true;
    case Blocks::MoreBits:
      return i < eighth || i >= 7 * n / 8 || (i - eighth) % 3 == 2;
    case Blocks::Middle:
      return i >= eighth && i < 7 * n / 8;
    case Blocks::FirstEighth:
      return i < eighth;
    case Blocks::FirstSixteenth:
      return i < n / 16;
    case Blocks::FirstFour:
      return i < 4;
    case Blocks::FirstTwo:
      return i < 2;
  }
  return false;
}

bool holds(Only only, const MixTensor& tensor) {
  constexpr int64_t kMany = 4;
  const bool shared_heads = tensor.model.heads_per_kv >= kMany;
  switch (only) {
    case Only::Any:
      return true;
    case Only::SharedHeads:
      return shared_heads;
    case Only::SharedHeadsOrExperts:
      return shared_heads || tensor.model.n_expert >= kMany;
    case Only::EightExperts:
      return tensor.model.n_expert == 8;
    case Only::Stacked:
      return tensor.shape.n_dims() == 3;
    case Only::Weighted:
      return tensor.model.has_importance;
    case Only::Unweighted:
      return !tensor.model.has_importance;
  }
  return false;
}

Type wanted_type(const QuantMix& mix, const MixTensor& tensor, QuantClass quant_class) {
  const int block = block_of_name(tensor.name).value_or(0);
  for (const MixRule& rule : mix.rules) {
    const bool fits = rule.tensors == quant_class && holds(rule.only, tensor);
    if (fits && holds(rule.blocks, block, tensor.model.n_layer)) return rule.type;
  }
  return mix.base;
}

}  // namespace

std::span<const QuantMix> quant_mixes() { return kMixes; }

const QuantMix& quant_mix(std::string_view name) {
  const std::string upper = upper_case(name);
  std::vector<std::string> names;
  for (const QuantMix& mix : kMixes) {
    const std::string known = mix.name;
    if (upper == known || name == std::to_string(mix.file_type)) return mix;
    // Mixes of one format alone are called by it.
    const bool is_common = known == "Q3_K_M" || known == "Q4_K_M" || known == "Q5_K_M";
    if (is_common && upper + "_M" == known) return mix;
    names.push_back(known);
  }
  const std::string near = nearest(upper, names);
  throw Error({.what = "unknown quantization mix",
               .expected = fmt::format("one of {}", fmt::join(names, ", ")),
               .got = printable(std::string(name)),
               .hint = near.empty() ? "" : "did you mean " + near + "?"});
}

namespace {

/// The mix whose number stands for files of a format; null where none does.
const QuantMix* mix_of(Type type) {
  const auto of_experts = [&](const QuantMix& mix) {
    return std::ranges::any_of(
        mix.rules, [&](const MixRule& rule) { return rule.type == type && rule.only == Only::Stacked; });
  };
  auto mix = std::ranges::find(kMixes, type, &QuantMix::base);
  if (mix == std::end(kMixes)) mix = std::ranges::find_if(kMixes, of_experts);
  return mix == std::end(kMixes) ? nullptr : mix;
}

}  // namespace

bool has_file_type(Type type) { return mix_of(type) != nullptr; }

uint32_t file_type_of(Type type) {
  const QuantMix* mix = mix_of(type);
  SW_ASSERT(mix);
  return mix->file_type;
}

namespace {

/// What mainline gives rows that a block of 256 does not divide.
Type of_narrow_rows(Type wanted) {
  switch (wanted) {
    case Type::Q6_K:
      return Type::Q8_0;
    case Type::Q5_K:
      return Type::Q5_1;
    case Type::Q4_K:
      return Type::Q5_0;
    case Type::TQ1_0:
    case Type::TQ2_0:
      return Type::Q4_0;
    default:  // all others are of four bits or fewer
      return traits(wanted).block_elems == 256 ? Type::IQ4_NL : Type::Q8_0;
  }
}

}  // namespace

MixChoice choose_type(const QuantMix& mix, const MixTensor& tensor) {
  const QuantClass quant_class = class_of(tensor);
  if (quant_class == QuantClass::Kept) return {Type::F32};
  const Type wanted = wanted_type(mix, tensor, quant_class);
  const int64_t n = tensor.shape.n_cols();
  for (const Type type : {wanted, of_narrow_rows(wanted), Type::F16}) {
    if (n % traits(type).block_elems != 0) continue;
    if (type == wanted) return {type};
    return {type, fmt::format("{}: {} instead of {}, rows of {} are not a multiple of {}",
                              printable(std::string(tensor.name)), type_name(type), type_name(wanted), n,
                              traits(wanted).block_elems)};
  }
  SW_ASSERT(false && "F16 fits any row");
}

}  // namespace sw
