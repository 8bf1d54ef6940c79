// SPDX-License-Identifier: MIT
#include "eval/plot.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "text/escape_html.h"

namespace sw {
namespace {

constexpr double kWidth = 760, kHeight = 320;                        // of one plot
constexpr double kLeft = 80, kRight = 180, kTop = 36, kBottom = 48;  // around its axes
constexpr double kSubtitle = 20;                                     // above all plots
constexpr const char* kColors[] = {"#4477aa", "#ee6677", "#228833", "#ccbb44",
                                   "#66ccee", "#aa3377", "#777777", "#000000"};

/// The distance of round ticks, so that about five stand on an axis up to `most`.
double tick_step(double most) {
  if (!(most > 0)) return 1;
  const double raw = most / 5, power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw) return factor * power;
  }
  return 10 * power;
}

/// An axis from 0 to the first tick that no value exceeds.
struct Axis {
  explicit Axis(double most) : step(tick_step(most)), end(std::max(1.0, std::ceil(most / step)) * step) {}
  double step, end;
};

class Drawing {
 public:
  Drawing(const Plot& plot, double top, std::string& out) : plot_(plot), top_(top), out_(out) {
    double x = 0, y = 0;
    for (const PlotLine& line : plot.lines) {
      for (const auto& [px, py] : line.points) {
        x = std::max(x, px);
        y = std::max(y, py);
      }
    }
    x_ = Axis(x);
    y_ = Axis(y);
  }

  void draw() {
    text(kWidth / 2, top_ + 20, "middle", plot_.title, 15);
    text(kLeft + (kWidth - kLeft - kRight) / 2, top_ + kHeight - 8, "middle", plot_.x_label, 12);
    text(8, top_ + kTop - 8, "start", plot_.y_label, 12);
    for (double x = 0; x <= x_.end * 1.0001; x += x_.step) {
      segment(at_x(x), at_y(0), at_x(x), at_y(0) + 5, "#000000");
      text(at_x(x), at_y(0) + 19, "middle", fmt::format("{:g}", x), 11);
    }
    for (double y = 0; y <= y_.end * 1.0001; y += y_.step) {
      segment(at_x(0), at_y(y), at_x(x_.end), at_y(y), y == 0 ? "#000000" : "#dddddd");
      text(at_x(0) - 6, at_y(y) + 4, "end", fmt::format("{:g}", y), 11);
    }
    for (size_t i = 0; i < plot_.lines.size(); ++i) draw_line(i);
  }

 private:
  double at_x(double x) const { return kLeft + x / x_.end * (kWidth - kLeft - kRight); }
  double at_y(double y) const { return top_ + kHeight - kBottom - y / y_.end * (kHeight - kTop - kBottom); }

  void text(double x, double y, const char* anchor, const std::string& what, int size) {
    out_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" font-size=\"{}\">{}</text>\n", x,
                        y, anchor, size, escape_html(what));
  }
  void segment(double x1, double y1, double x2, double y2, const char* color) {
    out_ += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"/>\n", x1,
                        y1, x2, y2, color);
  }
  void draw_line(size_t i) {
    const PlotLine& line = plot_.lines[i];
    const char* color = kColors[i % std::size(kColors)];
    std::string points;
    for (const auto& [x, y] : line.points) points += fmt::format("{:.1f},{:.1f} ", at_x(x), at_y(y));
    for (const auto& [x, y] : line.points)
      out_ +=
          fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", at_x(x), at_y(y), color);
    out_ += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n", points,
                        color);
    const double y = top_ + kTop + 8 + 18 * static_cast<double>(i), x = kWidth - kRight + 14;
    out_ += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"14\" height=\"4\" fill=\"{}\"/>\n", x, y - 2,
                        color);
    text(x + 20, y + 4, "start", line.name, 12);
  }

  const Plot& plot_;
  double top_;
  std::string& out_;
  Axis x_{0}, y_{0};
};

}  // namespace

std::string draw_plots(std::span<const Plot> plots, const std::string& subtitle) {
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
      kWidth, kSubtitle + kHeight * static_cast<double>(plots.size()));
  out += fmt::format("<text x=\"8\" y=\"16\" font-size=\"11\">{}</text>\n", escape_html(subtitle));
  for (size_t i = 0; i < plots.size(); ++i)
    Drawing(plots[i], kSubtitle + kHeight * static_cast<double>(i), out).draw();
  return out + "</svg>\n";
}

}  // namespace sw
