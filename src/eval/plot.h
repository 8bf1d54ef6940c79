// SPDX-License-Identifier: MIT
#pragma once
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace sw {

/// One line of a plot: (x, y), x rising.
struct PlotLine {
  std::string name = {};
  std::vector<std::pair<double, double>> points = {};
};

struct Plot {
  std::string title = {}, x_label = {}, y_label = {};
  std::vector<PlotLine> lines = {};
};

/// Plots one below the other as an SVG document: axes from zero, a mark at each point, a legend, no script,
/// no font but the reader's. The subtitle, one line above all, says what was measured.
std::string draw_plots(std::span<const Plot> plots, const std::string& subtitle);

}  // namespace sw
