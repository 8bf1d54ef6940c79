// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

namespace sw::cli {

/// A text that is scored in chunks.
struct ChunkedText {
  std::string file = {};
  int64_t n_ctx = 512;   ///< tokens of a chunk
  int64_t n_chunk = -1;  ///< at most; -1: all
};
/// -f, -c and --chunks.
void add_text_flags(CLI::App& command, ChunkedText& text);

}  // namespace sw::cli
