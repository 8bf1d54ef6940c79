// SPDX-License-Identifier: MIT
#include "formats/reader.h"

#include <fmt/core.h>

namespace sw {

uint64_t ByteReader::count(uint64_t min_item_bytes, const char* field) {
  const uint64_t at = offset_;
  const auto n = number<uint64_t>(field);
  const uint64_t most = remaining() / min_item_bytes;
  if (n > most) {
    fail(at, field,
         {.what = "a count is larger than the file can hold",
          .expected = fmt::format("at most {} in the {} bytes that remain", most, remaining()),
          .got = std::to_string(n)});
  }
  return n;
}

void ByteReader::fail(uint64_t offset, const char* field, Error::Parts parts) const {
  parts.where = fmt::format("{}, offset {}, {}", file_name_, offset, field);
  // The subject holds text of the file, of any length: it comes last.
  if (!subject_.empty()) parts.where += " of " + printable(subject_);
  throw Error(std::move(parts));
}

void ByteReader::fail_short(uint64_t n_bytes, const char* field) const {
  fail(offset_, field,
       {.what = "the file ends too early",
        .expected = fmt::format("{} bytes", n_bytes),
        .got = std::to_string(remaining()),
        .hint = "is the file complete?"});
}

}  // namespace sw
