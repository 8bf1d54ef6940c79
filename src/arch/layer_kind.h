// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "arch/role.h"
#include "kv/cache_kind.h"

/// What layers do, as data. A model has layers of a few kinds; which layer is of which kind is a rule of its
/// architecture.
namespace sw {

struct HParams;

/// A layer is a list of coarse steps. A step that mixes tokens (see begins_block) begins a block, which the
/// steps after it belong to.
enum class Step : uint8_t {
#define SW_MIXER(name) name,
#include "arch/roles.inc"
  Moe,       ///< router, experts and shared experts
  Ffn,       ///< a dense FFN
  MoeBegin,  ///< as Moe, on the residual as it is here; what it gives is kept
  MoeEnd,    ///< and added here
  Nextn      ///< see Operation::Nextn
};

/// What a step performs, and so which roles its block has.
constexpr Operations operations_of(Step step) {
  switch (step) {
#define SW_MIXER(name) \
  case Step::name:     \
    return Operation::name;
#include "arch/roles.inc"
    case Step::Moe:
    case Step::MoeBegin:
      return Operation::Route | Operation::Experts | Operation::Shared;
    case Step::Ffn:
      return Operation::Ffn;
    case Step::MoeEnd:
      return {};
    case Step::Nextn:
      return Operation::Nextn;
  }
  return {};
}
constexpr Operations operations_of(std::span<const Step> steps) {
  Operations all;
  for (const Step step : steps) all = all | operations_of(step);
  return all;
}

/// True for steps that mix tokens; they are what a cache serves.
constexpr bool begins_block(Step step) { return operations_of(step).meets(kMixers); }
/// Blocks of a layer.
constexpr int count_blocks(std::span<const Step> steps) {
  int n = 0;
  for (const Step step : steps) n += begins_block(step);
  return n;
}

struct LayerKind {
  std::string_view name = {};  ///< for messages and `info`
  std::span<const Step> steps = {};
  CacheKind cache = CacheKind::Pages;                 ///< of each of its blocks
  int64_t (*state_floats)(const HParams&) = nullptr;  ///< with CacheKind::State: the size of the state
};

}  // namespace sw
