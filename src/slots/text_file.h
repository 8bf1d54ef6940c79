// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "base/file.h"
#include "engine/cached_text.h"

/// A text in a file: its tokens, how they were routed, and the cache's pages that hold its keys, values and
/// states. docs/server.md describes the format.
namespace sw {

/// What a file's pages must fit: a model and a cache.
struct TextFileFit {
  std::string architecture = {}, name = {}, identity = {};  ///< the model's; the name is for messages
  int64_t n_vocab = 0, n_ctx = 0;
  const CachePlan* plan = nullptr;
  bool long_positions = false;  ///< longrope's factors for long contexts are in force

  /// Bytes of one page in all groups that keep every token.
  size_t kept_page_bytes() const;
};

/// What stands in a file beside the pages themselves.
struct TextFileContents {
  RoutedText text = {};
  int64_t n_page = 0;  ///< of the groups that keep every token: the text's first ones
  /// By group: pages of windows and states, in rising order. Empty for groups that keep every token.
  std::vector<std::vector<int64_t>> windows_and_states = {};
};

/// Writes such a file; commit() gives it its name. Throws as AtomicFile.
class TextFileWriter {
 public:
  explicit TextFileWriter(const std::filesystem::path& path);

  /// The pages in their order: for each of the first n_page those of all groups that keep every token, then
  /// those of windows and states, group by group.
  void write_pages(std::span<const std::byte> bytes) { write(bytes); }
  void commit(const TextFileContents& contents, const TextFileFit& fit);
  /// Once committed.
  uint64_t size_bytes() const { return file_.size_bytes(); }

 private:
  void write(std::span<const std::byte> bytes);

  AtomicFile file_;
  Checksum sum_;
};

/// Reads one. All of it is checked in the constructor, before anything of it is used: throws sw::Error that
/// names what is wrong or does not fit.
class TextFileReader {
 public:
  TextFileReader(const std::filesystem::path& path, const TextFileFit& fit);

  const TextFileContents& contents() const { return contents_; }
  /// In the order of TextFileWriter::write_pages().
  std::span<const std::byte> pages() const { return pages_; }
  uint64_t size_bytes() const { return file_.bytes().size(); }
  /// Throws sw::SystemError where the file was changed since it was opened.
  void check_unchanged() const { file_.check_unchanged(); }

 private:
  MappedFile file_;
  TextFileContents contents_;
  std::span<const std::byte> pages_;
};

}  // namespace sw
