// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace sw {

/// Ends a text at the first of some strings. Text that may be the beginning of one waits until it is
/// certain, so nothing of a stop string is ever handed out.
class StopStrings {
 public:
  /// Throws sw::Error for an empty string.
  explicit StopStrings(std::vector<std::string> stops);

  /// Adds text; returns what is certain not to belong to a stop string.
  std::string push(std::string_view text);
  /// For a special token, which is no part of the text: where its name is a stop string, the text ends before
  /// it. Returns what waited then, else nothing.
  std::string push_special(std::string_view name);
  /// True once a stop string came. push() gives nothing from then on.
  bool stopped() const { return stopped_; }
  /// The stop string that came; empty before.
  const std::string& stopped_by() const { return stopped_by_; }
  /// What still waits, when the text ends otherwise.
  std::string finish();

 private:
  std::vector<std::string> stops_;
  std::string waiting_, stopped_by_;
  bool stopped_ = false;
};

}  // namespace sw
