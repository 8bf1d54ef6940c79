// SPDX-License-Identifier: MIT
#pragma once
#include "base/error.h"
#include "quant/all_types.h"
#include "quant/type.h"

namespace sw {

/// Calls f.operator()<T>() with the format's struct (Q4_K, ...) and returns what it returns. The only
/// switch over weight formats.
template <class F>
decltype(auto) with_type(Type type, F&& f) {
  switch (type) {
#define SW_TYPE(name, id) \
  case Type::name:        \
    return f.template operator()<name>();
#include "quant/types.inc"
#undef SW_TYPE
  }
  assert_failed("type is one of quant/types.inc", __FILE__, __LINE__);
}

}  // namespace sw
