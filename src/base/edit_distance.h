// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace sw {

/// The candidate that a mistyped name most likely means: at most a third of its letters differ, at most two.
/// Empty where none is that near.
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

/// Letters of ASCII as capitals, as names of formats are written.
std::string upper_case(std::string_view text);

}  // namespace sw
