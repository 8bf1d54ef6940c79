// SPDX-License-Identifier: MIT
#include "chat/stop_strings.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace sw {

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) {
    if (stop.empty()) throw Error({.what = "a stop string is empty", .expected = "at least one character"});
  }
}

std::string StopStrings::push(std::string_view text) {
  if (stopped_) return {};
  waiting_ += text;
  size_t first = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t at = waiting_.find(stop);
    if (at >= first) continue;
    first = at;
    stopped_by_ = stop;
  }
  if (first != std::string::npos) {
    stopped_ = true;
    waiting_.resize(first);
    return std::exchange(waiting_, {});
  }
  // The longest end of what waits that begins a stop string must go on waiting.
  size_t held = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, waiting_.size()); n > held; --n) {
      if (std::string_view(waiting_).substr(waiting_.size() - n) == std::string_view(stop).substr(0, n))
        held = n;
    }
  }
  std::string certain = waiting_.substr(0, waiting_.size() - held);
  waiting_.erase(0, certain.size());
  return certain;
}

std::string StopStrings::push_special(std::string_view name) {
  if (stopped_ || std::ranges::find(stops_, name) == stops_.end()) return {};
  stopped_ = true;
  stopped_by_ = name;
  return std::exchange(waiting_, {});
}

std::string StopStrings::finish() { return stopped_ ? std::string() : std::exchange(waiting_, {}); }

}  // namespace sw
