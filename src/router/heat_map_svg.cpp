// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "router/stats.h"
#include "text/escape_html.h"

namespace sw {
namespace {

constexpr double kCell = 8, kLeft = 56, kTop = 64, kBottom = 44;
constexpr double kGap = 10;         // before identity experts
constexpr double kMinWidth = 480;   // of the key
constexpr double kCharWidth = 6.5;  // of the title, at most on average
constexpr size_t kNumberStep = 8;   // experts between two numbers
constexpr double kOctaves = 2;      // from a quarter of the mean to four times it

/// White at a quarter of the layer's mean load or less, dark at four times it.
std::string color_of(double load) {
  const double at = load > 0 ? std::clamp((std::log2(load) + kOctaves) / (2 * kOctaves), 0.0, 1.0) : 0;
  const auto mix = [&](int light, int dark) {
    return static_cast<int>(std::lround(light + at * (dark - light)));
  };
  return fmt::format("#{:02x}{:02x}{:02x}", mix(255, 8), mix(255, 48), mix(255, 107));
}

std::string text(double x, double y, const std::string& what, const char* anchor = "start", int size = 10) {
  return fmt::format("<text x=\"{:g}\" y=\"{:g}\" text-anchor=\"{}\" font-size=\"{}\">{}</text>\n", x, y,
                     anchor, size, escape_html(what));
}

double x_of(size_t expert, int n_expert) {
  return kLeft + kCell * static_cast<double>(expert) + (expert < static_cast<size_t>(n_expert) ? 0 : kGap);
}

std::string row(const LayerStats& l, double y) {
  std::string out = text(kLeft - 6, y + kCell - 0.5, std::to_string(l.layer), "end", static_cast<int>(kCell));
  const double mean = l.mean_count();
  for (size_t e = 0; e < l.counts.size(); ++e) {
    const double load = mean > 0 ? static_cast<double>(l.counts[e]) / mean : 0;
    out += fmt::format(
        "<rect x=\"{:g}\" y=\"{:g}\" width=\"{:g}\" height=\"{:g}\" fill=\"{}\"><title>layer {}, expert {}: "
        "{}</title></rect>\n",
        x_of(e, l.n_expert), y, kCell - 0.5, kCell - 0.5, color_of(load), l.layer, e, l.counts[e]);
  }
  return out;
}

/// Boxes of the colors with what they stand for.
std::string key(double y) {
  constexpr const char* kTimes[] = {"1/4 or less", "1/2", "1", "2", "4 or more"};
  std::string out = text(8, y + kCell, "times the layer's mean load:");
  double x = 160;
  for (size_t i = 0; i < std::size(kTimes); ++i) {
    out += fmt::format(
        "<rect x=\"{:g}\" y=\"{:g}\" width=\"{:g}\" height=\"{:g}\" fill=\"{}\" stroke=\"#888888\"/>\n", x, y,
        kCell, kCell, color_of(std::exp2(static_cast<double>(i) - kOctaves)));
    out += text(x + kCell + 4, y + kCell, kTimes[i]);
    x += 26 + 6 * static_cast<double>(std::char_traits<char>::length(kTimes[i]));
  }
  return out;
}

}  // namespace

std::string heat_map_svg(const RoutingStats& stats, const std::string& title) {
  size_t most = 0;
  int n_expert = 0;
  uint64_t n_tokens = 0;
  for (const LayerStats& l : stats.layers()) {
    most = std::max(most, l.counts.size());
    n_expert = std::max(n_expert, l.n_expert);
    n_tokens = std::max(n_tokens, l.n_tokens);
  }
  const bool any_zero = most > static_cast<size_t>(n_expert);
  const double rows = kCell * static_cast<double>(stats.layers().size());
  const std::string what = title + (any_zero ? "; behind the gap: zero-computation experts" : "");
  const double width =
      std::max({kMinWidth, x_of(most, n_expert) + 16, 16 + kCharWidth * static_cast<double>(what.size())});
  const double height = kTop + rows + kBottom;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:g}\" height=\"{1:g}\" viewBox=\"0 0 {0:g} "
      "{1:g}\" "
      "font-family=\"sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
      width, height);
  out += text(8, 18, fmt::format("Expert load, {} token{}", n_tokens, n_tokens == 1 ? "" : "s"), "start", 13);
  out += text(8, 36, what, "start", 11);
  out += text(kLeft - 6, kTop - 6, "layer", "end");
  for (size_t e = 0; e < most; e += kNumberStep)
    out += text(x_of(e, n_expert) + kCell / 2, kTop - 6, std::to_string(e), "middle");
  double y = kTop;
  for (const LayerStats& l : stats.layers()) {
    out += row(l, y);
    y += kCell;
  }
  return out + key(y + 18) + "</svg>\n";
}

}  // namespace sw
