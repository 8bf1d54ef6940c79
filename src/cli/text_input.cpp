// SPDX-License-Identifier: MIT
#include "cli/text_input.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "cli/shipped_files.h"

namespace sw::cli {
namespace {

/// What comes until the end; nobody knows before how much.
std::string read_stream(std::FILE* stream, const std::string& name, uint64_t max_bytes) {
  std::string text;
  char buffer[1 << 14];
  while (const size_t n = std::fread(buffer, 1, sizeof buffer, stream)) {
    text.append(buffer, n);
    if (text.size() <= max_bytes) continue;
    throw Error({.what = "the text is too large",
                 .where = name,
                 .expected = "at most " + std::to_string(max_bytes) + " bytes"});
  }
  if (std::ferror(stream))
    throw SystemError({.what = "cannot read the text", .where = name, .got = std::strerror(errno)});
  return text;
}

}  // namespace

std::string read_text(const std::string& name, uint64_t max_bytes) {
  if (name == "-") return read_stream(stdin, "standard input", max_bytes);
  std::error_code ignored;
  if (name == "sample" && !std::filesystem::exists(name, ignored)) {
    if (const auto sample = find_shipped("sample.txt")) return read_file(*sample, max_bytes);
  }
  if (!std::filesystem::is_fifo(name, ignored)) return read_file(name, max_bytes);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(std::fopen(name.c_str(), "rbe"), std::fclose);
  if (!pipe) throw Error({.what = "cannot open the pipe", .where = name, .got = std::strerror(errno)});
  return read_stream(pipe.get(), name, max_bytes);
}

}  // namespace sw::cli
