// SPDX-License-Identifier: MIT
#pragma once
#include <functional>
#include <string_view>

#include "base/file.h"

namespace sw {

/// Gets what opening and placing a model tell beside their result, one line per call. What is not set is not
/// told.
struct Notes {
  using Line = std::function<void(std::string_view line)>;
  Line on_info = {}, on_warning = {};
  Progress on_read = {};  ///< bytes of weights read in

  void info(std::string_view line) const {
    if (on_info) on_info(line);
  }
  void warn(std::string_view line) const {
    if (on_warning) on_warning(line);
  }
};

}  // namespace sw
