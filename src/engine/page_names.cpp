// SPDX-License-Identifier: MIT
#include "engine/page_names.h"

namespace sw {

PageNames::PageNames(const PageKey& root, const PolicyUse& prefill, const PolicyUse& decode, int64_t n_prompt,
                     int64_t page_tokens)
    : root_(root), prefill_(root), decode_(root), n_prompt_(n_prompt), page_tokens_(page_tokens) {
  prefill.add_to(prefill_);
  decode.add_to(decode_);
}

void PageNames::extend(std::span<const int32_t> tokens) {
  for (auto n = std::ssize(names_); (n + 1) * page_tokens_ <= std::ssize(tokens); ++n) {
    PageKey name = names_.empty() ? root_ : names_.back();
    for (int64_t i = n * page_tokens_; i < (n + 1) * page_tokens_; ++i) {
      const PageKey& policy = i < n_prompt_ ? prefill_ : decode_;
      name.add(static_cast<uint64_t>(tokens[static_cast<size_t>(i)]));
      name.add(policy.a);
      name.add(policy.b);
    }
    names_.push_back(name);
  }
}

}  // namespace sw
