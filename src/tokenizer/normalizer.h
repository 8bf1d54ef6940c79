// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <string_view>

namespace sw {

/// Whether NFC may change the text. False at once for what lies below U+0300, where all is composed.
bool may_need_nfc(std::string_view text);

/// Unicode normalisation form C, by utf8proc's tables (`tokenizers` does not know the order of some marks
/// newer than Unicode 9). Invalid UTF-8 stays as it is and nothing composes across it. O(n log n) in the
/// length of a run of combining marks, else O(n).
std::string nfc(std::string_view text);

}  // namespace sw
