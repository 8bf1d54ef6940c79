// SPDX-License-Identifier: MIT
#include "chat/reasoning.h"

#include <algorithm>
#include <utility>

namespace sw {
namespace {

StopStrings tag_after(bool inside) { return StopStrings({std::string(inside ? kCloseThink : kOpenThink)}); }

}  // namespace

ReasoningSplitter::ReasoningSplitter(Sink sink, bool begins_inside)
    : sink_(std::move(sink)),
      inside_(begins_inside),
      skip_space_(begins_inside),
      tag_(tag_after(begins_inside)) {}

void ReasoningSplitter::emit(std::string_view text) {
  if (skip_space_) text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  if (text.empty()) return;
  skip_space_ = false;
  sink_(text, inside_);
}

void ReasoningSplitter::push(std::string_view text) {
  // Byte by byte, so that what follows a tag in the same piece is not lost with it.
  for (const char& c : text) {
    emit(tag_.push({&c, 1}));
    if (!tag_.stopped()) continue;
    inside_ = !inside_;
    skip_space_ = true;
    tag_ = tag_after(inside_);
  }
}

void ReasoningSplitter::finish() { emit(tag_.finish()); }

}  // namespace sw
