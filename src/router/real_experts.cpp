// SPDX-License-Identifier: MIT
#include <algorithm>
#include <fmt/format.h>

#include "router/stats.h"

namespace sw {

std::string real_expert_table(const RoutingStats& stats) {
  constexpr int kLabelWidth = 6, kShareWidth = 6;
  size_t n_col = 0;
  bool any = false;
  for (const LayerStats& l : stats.layers()) {
    any |= l.counts.size() > static_cast<size_t>(l.n_expert);
    for (size_t n = 0; n < l.real_per_token.size(); ++n) {
      if (l.real_per_token[n] > 0) n_col = std::max(n_col, n + 1);
    }
  }
  if (!any) return "";
  std::string out = fmt::format("experts computed for a token, % of tokens\n{:{}}", "layer", kLabelWidth);
  for (size_t n = 0; n < n_col; ++n) out += fmt::format("{:>{}}", n, kShareWidth);
  for (const LayerStats& l : stats.layers()) {
    out += fmt::format("\n{:>{}} ", l.layer, kLabelWidth - 1);
    const auto n_token = static_cast<double>(std::max<uint64_t>(l.n_tokens, 1));
    for (size_t n = 0; n < n_col; ++n) {
      const uint64_t count = n < l.real_per_token.size() ? l.real_per_token[n] : 0;
      out += fmt::format("{:>{}.1f}", 100.0 * static_cast<double>(count) / n_token, kShareWidth);
    }
  }
  return out + "\n";
}

}  // namespace sw
