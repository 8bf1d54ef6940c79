// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <string>
#include <zstd.h>

#include "base/error.h"
#include "base/file.h"

namespace sw::testing {

/// A .zst file's content, at most 64 MiB. Programs that use it link libzstd.
inline std::string read_zst(const std::filesystem::path& path) {
  constexpr unsigned long long kMaxBytes = 64 << 20;
  const std::string packed = read_file(path);
  const auto n_bytes = ZSTD_getFrameContentSize(packed.data(), packed.size());
  SW_ASSERT(n_bytes <= kMaxBytes);
  std::string content(n_bytes, '\0');
  SW_ASSERT(ZSTD_decompress(content.data(), n_bytes, packed.data(), packed.size()) == n_bytes);
  return content;
}

}  // namespace sw::testing
