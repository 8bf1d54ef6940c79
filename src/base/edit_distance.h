// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace sw {

/// The candidate that a mistyped name most likely means: at most a third of its letters differ, at most two.
/// Empty where none is that near.
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace sw
