// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/policy_use.h"

namespace sw {

/// The names of the pages that a text fills. Keys, values and states depend on the routing of earlier layers,
/// so each token stands in the name with its policy.
class PageNames {
 public:
  /// `root`: where the names of all pages begin. The first `n_prompt` tokens are routed as `prefill` says,
  /// others as `decode`.
  PageNames(const PageKey& root, const PolicyUse& prefill, const PolicyUse& decode, int64_t n_prompt,
            int64_t page_tokens);

  /// So that extend() allocates nothing for a text of so many tokens.
  void reserve(size_t n_token) { names_.reserve(n_token / static_cast<size_t>(page_tokens_)); }
  /// Names further pages that these tokens fill; those named before are the first of the same text.
  void extend(std::span<const int32_t> tokens);
  /// By page.
  std::span<const PageKey> all() const { return names_; }

 private:
  std::vector<PageKey> names_;
  PageKey root_, prefill_, decode_;
  int64_t n_prompt_, page_tokens_;
};

}  // namespace sw
