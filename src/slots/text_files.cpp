// SPDX-License-Identifier: MIT
#include "slots/text_files.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "slots/model_identity.h"

namespace sw {
namespace {

// A few milliseconds of copying.
constexpr size_t kChunkBytes = size_t{16} << 20;

TextFileFit fit_of(const Engine& engine, const Model& model) {
  const Program& program = engine.forward().program();
  const GgufMetadata& metadata = model.file().metadata();
  return {.architecture = metadata.require_string("general.architecture"),
          .name = metadata.get_string("general.name").value_or("a model without a name"),
          .identity = model_identity(model),
          .n_vocab = program.n_vocab,
          .n_ctx = engine.n_ctx(),
          .plan = &engine.cache().plan(),
          .long_positions = &program.rope_of(engine.n_ctx()) != &program.rope};
}

/// Copies what the cache has of the first pages, in the groups that keep every token, from page `first` on.
/// Returns the first that is not there any more, or `last`.
int64_t read_kept(const CachedText& text, int64_t first, int64_t last, std::vector<std::byte>& to) {
  const CachePlan& plan = text.plan();
  std::span<std::byte> rest = to;
  int64_t page = first;
  for (bool there = true; page < last; page += there ? 1 : 0) {
    for (int g = 0; g < plan.n_group() && there; ++g) {
      if (!plan.group(g).keeps_all_tokens()) continue;
      there = text.read(g, page, rest.first(plan.group_page_bytes(g)));
      rest = rest.subspan(plan.group_page_bytes(g));
    }
    if (!there) break;
  }
  text.wait();
  return page;
}

/// Copies the windows and states that the cache has of the first `n` pages; `pages` says which.
std::vector<std::byte> read_windows_and_states(const CachedText& text, int64_t n,
                                               std::vector<std::vector<int64_t>>& pages) {
  const CachePlan& plan = text.plan();
  pages.assign(plan.groups.size(), {});
  size_t size_bytes = 0;
  for (int g = 0; g < plan.n_group(); ++g) {
    for (int64_t p = 0; p < n && !plan.group(g).keeps_all_tokens(); ++p) {
      if (!text.has(g, p)) continue;
      pages[static_cast<size_t>(g)].push_back(p);
      size_bytes += plan.group_page_bytes(g);
    }
  }
  std::vector<std::byte> bytes(size_bytes);
  std::span<std::byte> rest = bytes;
  for (int g = 0; g < plan.n_group(); ++g) {
    for (const int64_t p : pages[static_cast<size_t>(g)]) {
      text.read(g, p, rest.first(plan.group_page_bytes(g)));
      rest = rest.subspan(plan.group_page_bytes(g));
    }
  }
  text.wait();
  return bytes;
}

[[noreturn]] void refuse_room() {
  throw CacheBusyError({.what = "running texts leave too little room in the cache for the saved one",
                        .hint = "try again when some have ended"});
}

}  // namespace

TextFiles::TextFiles(Engine& engine, const Model& model, BetweenSteps between)
    : engine_(engine), between_(std::move(between)), fit_(fit_of(engine, model)) {
  chunk_pages_ = static_cast<int64_t>(kChunkBytes / std::max<size_t>(fit_.kept_page_bytes(), 1));
  chunk_pages_ = std::clamp<int64_t>(chunk_pages_, 1, 256);
}

TextFiles::Saved TextFiles::save(const RoutedText& text, const std::filesystem::path& path) {
  TextFileWriter file(path);
  TextFileContents contents{.text = text};
  std::optional<CachedText> cached;
  int64_t n_page = 0;
  between_([&] {
    cached.emplace(engine_.cached(text));
    n_page = cached->n_reusable_token() / cached->plan().page_tokens;
  });
  const size_t page_bytes = fit_.kept_page_bytes();
  std::vector<std::byte> chunk(page_bytes * static_cast<size_t>(std::min(chunk_pages_, n_page)));
  while (contents.n_page < n_page) {
    const int64_t first = contents.n_page, last = std::min(first + chunk_pages_, n_page);
    between_([&] { contents.n_page = read_kept(*cached, first, last, chunk); });
    file.write_pages(std::span(chunk).first(page_bytes * static_cast<size_t>(contents.n_page - first)));
    if (contents.n_page < last) break;  // others needed the rest meanwhile
  }
  Saved saved;
  std::vector<std::byte> windows_and_states;
  between_([&] {
    windows_and_states = read_windows_and_states(*cached, contents.n_page, contents.windows_and_states);
    saved.n_token = cached->last_point(contents.n_page) * cached->plan().page_tokens;
  });
  file.write_pages(windows_and_states);
  file.commit(contents, fit_);
  saved.size_bytes = file.size_bytes();
  return saved;
}

TextFiles::Restored TextFiles::restore(const std::filesystem::path& path) {
  const TextFileReader file(path, fit_);
  Restored restored{.text = file.contents().text, .size_bytes = file.size_bytes()};
  std::optional<CachedText> cached;
  between_([&] {
    cached.emplace(naming_file(path.string(), [&] { return engine_.cached(restored.text); }));
    cached->touch();  // what is there already must not make room for the rest
  });
  restore_pages(file, *cached);
  between_([&] {
    restore_windows_and_states(file, *cached);
    cached->touch();
    restored.n_token = cached->n_reusable_token();
  });
  return restored;
}

/// Page by page from the first on, so that what is there at any time is a beginning that can be used.
void TextFiles::restore_pages(const TextFileReader& file, CachedText& text) {
  const CachePlan& plan = text.plan();
  std::span<const std::byte> rest = file.pages();
  const auto add = [&](int64_t page) {
    for (int g = 0; g < plan.n_group(); ++g) {
      if (!plan.group(g).keeps_all_tokens()) continue;
      const size_t n = plan.group_page_bytes(g);
      if (!text.add(g, page, rest.first(n), [&] { file.check_unchanged(); })) refuse_room();
      rest = rest.subspan(n);
    }
  };
  const int64_t n_page = file.contents().n_page;
  for (int64_t first = 0; first < n_page; first += chunk_pages_) {
    between_([&] {
      const int64_t last = std::min(first + chunk_pages_, n_page);
      for (int64_t page = first; page < last; ++page) add(page);
      if (text.n_whole() < last) refuse_room();  // the last pages took the place of the first
    });
  }
}

void TextFiles::restore_windows_and_states(const TextFileReader& file, CachedText& text) {
  const CachePlan& plan = text.plan();
  std::span<const std::byte> rest =
      file.pages().subspan(fit_.kept_page_bytes() * static_cast<size_t>(file.contents().n_page));
  for (int g = 0; g < plan.n_group(); ++g) {
    const std::vector<int64_t>& pages = file.contents().windows_and_states[static_cast<size_t>(g)];
    const size_t n = plan.group_page_bytes(g);
    // Where there is not room for all, the last count: a text goes on from its end.
    const size_t n_left_out = pages.size() - std::min(pages.size(), static_cast<size_t>(text.n_idle(g)));
    for (size_t i = 0; i < pages.size(); ++i) {
      if (i >= n_left_out) text.add(g, pages[i], rest.first(n), [&] { file.check_unchanged(); });
      rest = rest.subspan(n);
    }
  }
}

}  // namespace sw
