// SPDX-License-Identifier: MIT
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "chat/stop_strings.h"

namespace sw {

/// The tags around a model's reasoning.
inline constexpr std::string_view kOpenThink = "<think>", kCloseThink = "</think>";

/// Tells a model's reasoning, between <think> and </think>, from its answer, as the text comes. The tags
/// themselves and the white space right after them are left out.
class ReasoningSplitter {
 public:
  using Sink = std::function<void(std::string_view text, bool reasoning)>;
  /// `begins_inside`: the prompt itself ended with <think>.
  ReasoningSplitter(Sink sink, bool begins_inside);

  void push(std::string_view text);
  void finish();

 private:
  void emit(std::string_view text);

  Sink sink_;
  bool inside_;
  bool skip_space_ = false;
  StopStrings tag_;  // the tag that would end the present part
};

}  // namespace sw
