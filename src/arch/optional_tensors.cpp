// SPDX-License-Identifier: MIT
#include "arch/optional_tensors.h"

namespace sw {
namespace {

/// The role that stands for all that come together with this one.
Role kind_of(Role role) {
  switch (role) {
    case Role::AttnKNorm:
      return Role::AttnQNorm;
    case Role::AttnKBias:
    case Role::AttnVBias:
      return Role::AttnQBias;
    case Role::FfnUpBias:
    case Role::FfnDownBias:
      return Role::FfnGateBias;
    case Role::SharedUp:
    case Role::SharedDown:
      return Role::SharedGate;
    default:
      return role;
  }
}

}  // namespace

void OptionalTensors::add(const TensorItem& item, bool is_there) {
  if (!item.optional) return;
  Kind& kind = kinds_[kind_of(item.role)];
  std::optional<TensorItem>& first = is_there ? kind.there : kind.missing;
  if (!first) first = item;
}

std::optional<OptionalTensors::Gap> OptionalTensors::gap() const {
  for (const auto& [role, kind] : kinds_) {
    if (kind.there && kind.missing) return Gap{*kind.missing, *kind.there};
  }
  return std::nullopt;
}

}  // namespace sw
