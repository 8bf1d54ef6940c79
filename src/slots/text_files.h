// SPDX-License-Identifier: MIT
#pragma once
#include <functional>

#include "engine/engine.h"
#include "slots/text_file.h"

namespace sw {

/// Runs work on the thread that owns an engine, between two of its steps, and returns when it has run. What
/// the work throws comes through.
using BetweenSteps = std::function<void(const std::function<void()>& work)>;

/// Running texts leave too little room for a saved one.
class CacheBusyError : public SystemError {
 public:
  using SystemError::SystemError;
};

/// Saves texts of an engine in files and brings them back, so that a request which begins like one need not
/// compute it again: in another process, another day. A few megabytes are copied between two steps, so that
/// other requests hardly wait; files are read, written and checked on the calling thread. For one thread.
class TextFiles {
 public:
  struct Saved {
    int64_t n_token = 0;  ///< that need not be computed again
    uint64_t size_bytes = 0;
  };
  struct Restored {
    RoutedText text = {};
    int64_t n_token = 0;
    uint64_t size_bytes = 0;
  };

  /// Borrows both. `between`: by default the calling thread owns the engine.
  TextFiles(
      Engine& engine, const Model& model, BetweenSteps between = [](const auto& work) { work(); });

  /// What the cache has of the text, in whole pages; a short text may have none. Throws as AtomicFile; the
  /// file is complete, or as it was.
  Saved save(const RoutedText& text, const std::filesystem::path& path);
  /// Puts a text's pages into the cache, where they take the place of what has been idle longest. Throws
  /// sw::Error where the file is damaged or does not fit: then nothing has changed. Throws CacheBusyError,
  /// and sw::SystemError where the file is changed meanwhile: then a beginning of the text may be there.
  Restored restore(const std::filesystem::path& path);

 private:
  void restore_pages(const TextFileReader& file, CachedText& text);
  void restore_windows_and_states(const TextFileReader& file, CachedText& text);

  Engine& engine_;
  BetweenSteps between_;
  TextFileFit fit_;
  int64_t chunk_pages_;  // copied between two steps
};

}  // namespace sw
