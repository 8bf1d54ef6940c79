// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "router/stats.h"

namespace sw {
namespace {

constexpr int kMinWidth = 24;
constexpr int kLabelWidth = 6;       // "layer│"
constexpr int kImbalanceWidth = 10;  // "  max/mean"
constexpr int kMaxCellWidth = 2;     // two columns of a terminal make about a square

// On a logarithmic scale about the mean load. The loads of a long text lie close to it: few characters have
// to tell a half from twice, the colors reach from a quarter to four times.
constexpr double kShadeOctaves = 1, kColorOctaves = 2;
constexpr const char* kShades[] = {" ", "░", "▒", "▓", "█"};
constexpr int kColors[] = {16, 17, 53, 89, 125, 167, 208, 214, 228};

/// How columns are shared out: experts with weights first, then identity experts.
struct Layout {
  int n_expert = 0, n_zero = 0;
  int experts_per_cell = 1;
  int cell_width = 1;

  int n_cells(int n) const { return (n + experts_per_cell - 1) / experts_per_cell; }
  int columns(int n) const { return n_cells(n) * cell_width; }
  int bar_width() const { return n_zero > 0 ? 1 : 0; }
};

Layout make_layout(std::span<const LayerStats> layers, int max_width) {
  Layout layout;
  for (const LayerStats& l : layers) {
    layout.n_expert = std::max(layout.n_expert, l.n_expert);
    layout.n_zero = std::max(layout.n_zero, static_cast<int>(l.counts.size()) - l.n_expert);
  }
  const int room = std::max(max_width, kMinWidth) - kLabelWidth - kImbalanceWidth - layout.bar_width();
  const auto n_cells = [&] { return layout.n_cells(layout.n_expert) + layout.n_cells(layout.n_zero); };
  while (n_cells() > room) ++layout.experts_per_cell;
  layout.cell_width = std::clamp(room / n_cells(), 1, kMaxCellWidth);
  return layout;
}

/// The shade of a cell of `load` times the mean, of n that reach so many octaves up and down.
int shade_index(double load, int n, double octaves) {
  if (!(load > 0.0)) return 0;
  const double at = (std::log2(load) + octaves) / (2 * octaves) * (n - 1);
  return static_cast<int>(std::lround(std::clamp(at, 0.0, static_cast<double>(n - 1))));
}

/// Appends cells of one row, and knows which color the terminal has.
class Painter {
 public:
  Painter(std::string& out, bool color) : out_(out), color_(color) {}

  void cell(double load, int width) {
    // In color too the cells are characters, which stay where a map is copied as text.
    if (color_) set_color(kColors[shade_index(load, std::size(kColors), kColorOctaves)]);
    for (int i = 0; i < width; ++i) out_ += kShades[shade_index(load, std::size(kShades), kShadeOctaves)];
  }
  void reset() {
    if (current_ >= 0) out_ += "\x1b[0m";
    current_ = -1;
  }

 private:
  void set_color(int wanted) {
    if (wanted != current_) out_ += fmt::format("\x1b[38;5;{0};48;5;{0}m", wanted);
    current_ = wanted;
  }
  std::string& out_;
  const bool color_;
  int current_ = -1;
};

/// The cells of experts [begin, end), filled up with spaces to what `n_most` experts need.
void draw_cells(std::string& out, const Layout& layout, std::span<const uint64_t> counts, int n_most,
                double mean, bool color) {
  Painter painter(out, color);
  for (size_t at = 0; at < counts.size(); at += static_cast<size_t>(layout.experts_per_cell)) {
    const auto cell =
        counts.subspan(at, std::min(counts.size() - at, static_cast<size_t>(layout.experts_per_cell)));
    double load = 0.0;
    for (const uint64_t c : cell) load += static_cast<double>(c);
    painter.cell(mean > 0.0 ? load / (static_cast<double>(cell.size()) * mean) : 0.0, layout.cell_width);
  }
  painter.reset();
  const int missing = layout.columns(n_most) - layout.columns(static_cast<int>(counts.size()));
  out.append(static_cast<size_t>(missing), ' ');
}

void draw_layer(std::string& out, const Layout& layout, const LayerStats& l, bool color) {
  const auto n_expert = static_cast<size_t>(l.n_expert);
  const std::span counts(l.counts);
  const double mean = l.mean_count();
  out += fmt::format("{:>{}}│", l.layer, kLabelWidth - 1);
  draw_cells(out, layout, counts.first(n_expert), layout.n_expert, mean, color);
  if (layout.n_zero > 0) {
    out += "│";
    draw_cells(out, layout, counts.subspan(n_expert), layout.n_zero, mean, color);
  }
  out += fmt::format("{:>{}.2f}\n", l.imbalance(), kImbalanceWidth);
}

/// The ids of the first and the last expert above their columns, the first alone where both do not fit.
/// `what` comes first where there is room.
std::string ruler(const std::string& what, int first, int last, int width) {
  const std::string right = fmt::format("{}", last), number = fmt::format("{}", first);
  const bool fits = static_cast<int>(what.size() + number.size() + right.size()) < width;
  const std::string left = fits ? what + number : number;
  if (static_cast<int>(left.size() + right.size()) < width)
    return fmt::format("{}{:>{}}", left, right, width - left.size());
  return fmt::format("{:{}}", static_cast<int>(left.size()) <= width ? left : "", width);
}

std::string legend(bool color, int max_width) {
  constexpr const char* kShadeTimes[] = {"1/2", "0.7", "1", "1.4", "2"};
  constexpr const char* kColorTimes[] = {"1/4", "1/2", "1", "2", "4"};
  constexpr int kWidth = 66;  // of the whole line
  const double step = (color ? kColorOctaves : kShadeOctaves) / 2;
  const bool wide = max_width >= kWidth;
  std::string out = wide ? "  times the layer's mean:" : "  x mean:";
  for (size_t i = 0; i < std::size(kShadeTimes); ++i) {
    const bool named = wide || i == 0 || i + 1 == std::size(kShadeTimes);
    out += wide ? "  [" : i == 0 ? std::string(" ") + (color ? kColorTimes : kShadeTimes)[i] + " " : "";
    Painter painter(out, color);
    painter.cell(std::exp2((static_cast<double>(i) - 2.0) * step), 1);
    painter.reset();
    if (wide) out += "]";
    if (named && (wide || i > 0)) out += fmt::format(" {}", (color ? kColorTimes : kShadeTimes)[i]);
  }
  return out + "\n";
}

}  // namespace

std::string heat_map(const RoutingStats& stats, int max_width, bool color) {
  if (stats.layers().empty()) return "no layer of the model has experts\n";
  const Layout layout = make_layout(stats.layers(), max_width);
  uint64_t n_tokens = 0;
  for (const LayerStats& l : stats.layers()) n_tokens = std::max(n_tokens, l.n_tokens);
  std::string out = fmt::format("expert load, {} token{}", n_tokens, n_tokens == 1 ? "" : "s");
  if (layout.experts_per_cell > 1) {
    const std::string binned = fmt::format("{} experts per cell", layout.experts_per_cell);
    const bool fits = static_cast<int>(out.size() + binned.size()) + 2 <= std::max(max_width, kMinWidth);
    out += (fits ? ", " : "\n") + binned;
  }
  out += fmt::format("\nlayer│{}", ruler("expert ", 0, layout.n_expert - 1, layout.columns(layout.n_expert)));
  if (layout.n_zero > 0) {
    const int last = layout.n_expert + layout.n_zero - 1;
    out += "│" + ruler("", layout.n_expert, last, layout.columns(layout.n_zero));
  }
  out += fmt::format("{:>{}}\n", "max/mean", kImbalanceWidth);
  for (const LayerStats& l : stats.layers()) draw_layer(out, layout, l, color);
  return out + legend(color, max_width);
}

}  // namespace sw
