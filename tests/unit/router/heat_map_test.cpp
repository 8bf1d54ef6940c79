// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <sstream>

#include "base/rng.h"
#include "router/stats.h"
#include "unit/router/run_route.h"

namespace sw {
namespace {

using testing::OwnedRouting;

/// Statistics of `n_layer` layers, the first of them layer 1; expert e of layer l was chosen load(l, e)
/// times.
template <class F>
RoutingStats stats_of(int n_layer, int n_expert, int n_zero, F&& load) {
  std::vector<MoeLayer> layers;
  for (int l = 1; l <= n_layer; ++l) {
    layers.push_back(
        {.layer = l, .router = {.n_expert = n_expert, .n_expert_zero = n_zero, .n_expert_used = 1}});
  }
  RoutingStats stats(layers, 1);
  OwnedRouting one(1, 1);
  one.n_active[0] = 1;
  for (int l = 0; l < n_layer; ++l) {
    for (int e = 0; e < n_expert + n_zero; ++e) {
      one.ids[0] = e;
      for (int i = 0; i < load(l, e); ++i) stats.add(l, one.view);
    }
  }
  return stats;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// Columns on a terminal: escape sequences take none, every character of a heat map one.
int columns(const std::string& line) {
  int n = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\x1b') {
      i = line.find('m', i);
    } else {
      n += (static_cast<unsigned char>(line[i]) & 0xc0) != 0x80;
    }
  }
  return n;
}

TEST(HeatMap, ShadesAreTimesTheMean) {
  // The mean is 10.
  const int loads[] = {0, 5, 7, 10, 14, 20, 10, 14};
  const RoutingStats stats = stats_of(1, 8, 0, [&](int, int e) { return loads[e]; });
  EXPECT_EQ(heat_map(stats, 80, false),
            "expert load, 80 tokens\n"
            "layer│expert 0       7  max/mean\n"
            "    1│    ░░▒▒▓▓██▒▒▓▓      2.00\n"
            "  times the layer's mean:  [ ] 1/2  [░] 0.7  [▒] 1  [▓] 1.4  [█] 2\n");
}

TEST(HeatMap, FitsTheWidth) {
  Rng rng(1);
  const auto load = [&](int, int) { return static_cast<int>(rng.below(9)); };
  const std::pair<int, int> shapes[] = {{32, 0}, {256, 0}, {8, 0}, {512, 256},
                                        {65, 0}, {127, 3}, {1, 0}, {1, 1}};
  for (const auto& [n_expert, n_zero] : shapes) {
    const RoutingStats stats = stats_of(3, n_expert, n_zero, load);
    for (const int width : {24, 40, 63, 64, 80, 81, 120, 200}) {
      for (const bool color : {false, true}) {
        const auto lines = lines_of(heat_map(stats, width, color));
        for (const std::string& line : lines) EXPECT_LE(columns(line), width) << line;
        const size_t head =
            lines[1].starts_with("layer") ? 1 : 2;  // experts per cell may have a line of their own
        ASSERT_EQ(lines.size(), head + 5);
        for (size_t i = head + 1; i < head + 4; ++i)
          EXPECT_EQ(columns(lines[i]), columns(lines[head])) << lines[i];
      }
    }
  }
}

TEST(HeatMap, CellsAreBinnedWhereTheyDoNotFit) {
  const RoutingStats stats = stats_of(2, 256, 0, [](int l, int e) { return l == 1 && e == 255 ? 64 : 1; });
  const auto lines = lines_of(heat_map(stats, 80, false));
  EXPECT_EQ(lines[0], "expert load, 319 tokens, 4 experts per cell");
  EXPECT_TRUE(lines[2].starts_with("    1│")) << lines[2];
  EXPECT_EQ(columns(lines[2]), 6 + 64 + 10);
  EXPECT_EQ(lines[3].substr(lines[3].size() - 13), "█     51.36");
}

TEST(HeatMap, IdentityExpertsStandBehindABar) {
  const RoutingStats stats = stats_of(1, 4, 2, [](int, int e) { return e < 4 ? 1 : 4; });
  const auto lines = lines_of(heat_map(stats, 80, false));
  EXPECT_EQ(lines[1], "layer│0      3│4  5  max/mean");
  EXPECT_EQ(lines[2], "    1│▒▒▒▒▒▒▒▒│████      1.00");
}

TEST(RealExperts, AreCountedWhereThereAreOthers) {
  EXPECT_EQ(real_expert_table(stats_of(1, 4, 0, [](int, int) { return 1; })), "");
  EXPECT_EQ(real_expert_table(stats_of(2, 4, 2, [](int l, int e) { return e < 4 ? 1 : 2 * (l + 1); })),
            "experts computed for a token, % of tokens\n"
            "layer      0     1\n"
            "    1   50.0  50.0\n"
            "    2   66.7  33.3\n");
}

/// A map that is copied as text keeps its shades.
TEST(HeatMap, ColorsEndWithTheirCells) {
  const RoutingStats stats = stats_of(1, 3, 0, [](int, int e) { return e == 0 ? 4 : 1; });
  const auto lines = lines_of(heat_map(stats, 80, true));
  EXPECT_EQ(lines[2], "    1│\x1b[38;5;208;48;5;208m██\x1b[38;5;53;48;5;53m    \x1b[0m      2.00");
}

TEST(HeatMapSvg, IsAsWideAsItsTitleAndNamesExperts) {
  const RoutingStats stats = stats_of(2, 32, 0, [](int, int) { return 1; });
  const auto width = [](const std::string& svg) { return std::stod(svg.substr(svg.find("width=\"") + 7)); };
  const std::string svg = heat_map_svg(stats, "a < b");
  EXPECT_GT(width(heat_map_svg(stats, std::string(200, 'm'))), 200 * 6.0);
  EXPECT_LT(width(svg), 600);
  for (const char* part :
       {">Expert load, 32 tokens<", ">a &lt; b<", ">layer<", ">0<", ">8<", ">24<", ">1/4 or less<"})
    EXPECT_NE(svg.find(part), std::string::npos) << part;
}

TEST(HeatMap, NothingRoutedYet) {
  const auto lines = lines_of(heat_map(stats_of(1, 4, 0, [](int, int) { return 0; }), 80, false));
  EXPECT_EQ(lines[2], "    1│              0.00");
  EXPECT_EQ(heat_map(RoutingStats({}, 0), 80, false), "no layer of the model has experts\n");
}

}  // namespace
}  // namespace sw
