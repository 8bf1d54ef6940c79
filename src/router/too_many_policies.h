// SPDX-License-Identifier: MIT
#pragma once
#include "base/error.h"

namespace sw {

/// A policy table is full: the same policy has room once another is released.
class TooManyPolicies : public SystemError {
 public:
  using SystemError::SystemError;
};

}  // namespace sw
