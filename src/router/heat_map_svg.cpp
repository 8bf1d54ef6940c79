// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "router/stats.h"
#include "text/escape_html.h"

namespace sw {
namespace {

constexpr double kCell = 8, kLeft = 56, kTop = 44, kGap = 10;  // kGap before identity experts

/// White at a quarter of the layer's mean load or less, dark at four times it.
std::string color_of(double load) {
  const double at = load > 0 ? std::clamp((std::log2(load) + 2) / 4, 0.0, 1.0) : 0;
  const auto mix = [&](int light, int dark) {
    return static_cast<int>(std::lround(light + at * (dark - light)));
  };
  return fmt::format("#{:02x}{:02x}{:02x}", mix(255, 8), mix(255, 48), mix(255, 107));
}

}  // namespace

std::string heat_map_svg(const RoutingStats& stats) {
  size_t most = 0;
  bool any_zero = false;
  uint64_t n_tokens = 0;
  for (const LayerStats& l : stats.layers()) {
    most = std::max(most, l.counts.size());
    any_zero |= l.counts.size() > static_cast<size_t>(l.n_expert);
    n_tokens = std::max(n_tokens, l.n_tokens);
  }
  const double width = kLeft + kCell * static_cast<double>(most) + (any_zero ? kGap : 0) + 16,
               height = kTop + kCell * static_cast<double>(stats.layers().size()) + 16;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:g}\" height=\"{1:g}\" viewBox=\"0 0 {0:g} "
      "{1:g}\" "
      "font-family=\"sans-serif\" font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" "
      "fill=\"#ffffff\"/>\n"
      "<text x=\"8\" y=\"18\" font-size=\"13\">{2}</text>\n<text x=\"8\" y=\"36\">layer</text>\n",
      width, height,
      escape_html(
          fmt::format("expert load, {} tokens: white a quarter of the layer's mean, dark four times it{}",
                      n_tokens, any_zero ? "; behind the gap: zero-computation experts" : "")));
  double y = kTop;
  for (const LayerStats& l : stats.layers()) {
    out += fmt::format("<text x=\"{:g}\" y=\"{:g}\" text-anchor=\"end\">{}</text>\n", kLeft - 6,
                       y + kCell - 0.5, l.layer);
    const double mean = l.mean_count();
    for (size_t e = 0; e < l.counts.size(); ++e) {
      const double load = mean > 0 ? static_cast<double>(l.counts[e]) / mean : 0;
      const double x =
          kLeft + kCell * static_cast<double>(e) + (e < static_cast<size_t>(l.n_expert) ? 0 : kGap);
      out += fmt::format(
          "<rect x=\"{:g}\" y=\"{:g}\" width=\"{:g}\" height=\"{:g}\" fill=\"{}\"><title>layer {}, expert "
          "{}: "
          "{}</title></rect>\n",
          x, y, kCell - 0.5, kCell - 0.5, color_of(load), l.layer, e, l.counts[e]);
    }
    y += kCell;
  }
  return out + "</svg>\n";
}

}  // namespace sw
