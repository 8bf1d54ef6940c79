// SPDX-License-Identifier: MIT
// Random routers, policies and rows against a brute force that shares only exp_exact with route().
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

#include "base/math.h"
#include "base/rng.h"
#include "unit/router/run_route.h"

namespace sw {
namespace {

using testing::OneLayer;
using testing::OwnedRouting;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kMax = std::numeric_limits<float>::max();

constexpr float kLeastNormal = std::numeric_limits<float>::min();

struct Case {
  RouterSpec spec = {};
  RoutingPolicy policy = {};
  std::vector<float> bias = {};

  bool grouped() const { return policy.grouped.value_or(true) && spec.n_group > 1; }
  int k() const { return policy.experts_decode[0].k; }
  bool forbids(int id) const {
    return std::ranges::any_of(policy.masks,
                               [&](const ExpertMask& m) { return m.first <= id && id <= m.last; });
  }
};

struct Expert {
  int id = 0;
  float score = 0, selection = 0, weight = 0;
};

/// What a row must give, and on the way to it what makes the row special.
struct BruteRow {
  std::vector<Expert> experts = {};  ///< by falling weight
  int n_left = 0;                    ///< that could be selected; of them at most k were
  bool has_tie = false;              ///< among the selected, or between the last of them and the next
  bool has_denormal_score = false;   ///< among the selected
};

/// Every expert that may be selected, with its score.
std::vector<Expert> brute_scores(const Case& c, std::span<const float> logits) {
  std::vector<float> x(logits.begin(), logits.end());
  for (float& v : x) v = v == kInf ? kMax : v;
  float top = -kInf, sum = 0;
  for (const float v : x) top = std::fmax(top, v);
  if (c.spec.score != Score::Sigmoid && top == -kInf) return {};
  for (const float v : x) sum += std::isnan(v) ? 0.0f : exp_exact(v - top);
  std::vector<Expert> experts;
  for (int i = 0; i < c.spec.n_logits(); ++i) {
    const float v = x[static_cast<size_t>(i)];
    Expert e{.id = i, .score = v};
    if (c.spec.score == Score::Softmax) e.score = exp_exact(v - top) / sum;
    if (c.spec.score == Score::Sigmoid) e.score = 1.0f / (1.0f + exp_exact(-v));
    e.selection = e.score + (c.bias.empty() ? 0.0f : c.bias[static_cast<size_t>(i)]);
    if (e.selection == kInf) e.selection = kMax;
    if (std::isnan(e.selection) || e.selection == -kInf || c.forbids(i)) continue;
    experts.push_back(e);
  }
  return experts;
}

/// The groups that are kept: by score, best first.
std::set<int> brute_groups(const RouterSpec& spec, const std::vector<Expert>& experts) {
  std::vector<std::pair<float, int>> groups;  // -score, id
  for (int g = 0; g < spec.n_group; ++g) {
    std::vector<float> members;
    for (const Expert& e : experts) {
      if (e.id * spec.n_group / spec.n_expert == g) members.push_back(e.selection);
    }
    if (members.empty()) continue;
    std::sort(members.rbegin(), members.rend());
    float s = members[0];
    if (spec.group_score == GroupScore::Top2Sum && members.size() > 1) s += members[1];
    groups.emplace_back(-std::fmax(-kMax, std::fmin(s, kMax)), g);
  }
  std::sort(groups.begin(), groups.end());
  if (std::ssize(groups) > spec.n_group_used) groups.resize(static_cast<size_t>(spec.n_group_used));
  std::set<int> kept;
  for (const auto& [score, g] : groups) kept.insert(g);
  return kept;
}

/// The k best of a row, best first.
BruteRow brute_select(const Case& c, std::span<const float> logits) {
  const RouterSpec& spec = c.spec;
  BruteRow result;
  std::vector<Expert>& row = result.experts = brute_scores(c, logits);
  if (c.grouped()) {
    const std::set<int> kept = brute_groups(spec, row);
    std::erase_if(row, [&](const Expert& e) { return !kept.count(e.id * spec.n_group / spec.n_expert); });
  }
  std::sort(row.begin(), row.end(), [](const Expert& a, const Expert& b) {
    return std::tuple(-a.selection, a.id) < std::tuple(-b.selection, b.id);
  });
  const auto k = static_cast<size_t>(c.k());
  result.n_left = static_cast<int>(row.size());
  for (size_t i = 1; i < std::min(row.size(), k + 1); ++i)
    result.has_tie |= row[i - 1].selection == row[i].selection;
  if (row.size() > k) row.resize(k);
  for (const Expert& e : row) result.has_denormal_score |= e.score != 0 && std::fabs(e.score) < kLeastNormal;
  return result;
}

BruteRow brute_route(const Case& c, std::span<const float> logits) {
  const RouterSpec& spec = c.spec;
  BruteRow result = brute_select(c, logits);
  std::vector<Expert>& row = result.experts;
  float top = -kInf, heaviest = -kInf;
  for (const Expert& e : row) top = std::fmax(top, e.score);
  for (Expert& e : row) e.weight = spec.score == Score::SoftmaxSelected ? exp_exact(e.score - top) : e.score;
  for (const Expert& e : row) heaviest = std::fmax(heaviest, e.weight);
  std::vector<Expert> kept;
  for (size_t i = 0; i < row.size(); ++i) {
    const bool stays = !c.policy.threshold || i < static_cast<size_t>(c.policy.threshold->min_k) ||
                       row[i].weight >= c.policy.threshold->share * heaviest;
    if (stays) kept.push_back(row[i]);
  }
  const auto normalise = [&](float eps) {
    float sum = 0;
    for (const Expert& e : kept) sum += e.weight;
    for (Expert& e : kept) e.weight = sum + eps > 0 ? e.weight / (sum + eps) : 0.0f;
  };
  if (spec.score == Score::SoftmaxSelected) normalise(0);
  if (spec.renorm && c.k() >= spec.renorm_min_k) normalise(spec.renorm_eps);
  for (Expert& e : kept) e.weight *= spec.scale;
  std::sort(kept.begin(), kept.end(), [](const Expert& a, const Expert& b) {
    return std::tuple(-a.weight, a.id) < std::tuple(-b.weight, b.id);
  });
  row = std::move(kept);
  return result;
}

int pick(Rng& rng, int least, int most) {
  return least + static_cast<int>(rng.below(static_cast<uint64_t>(most) - static_cast<uint64_t>(least) + 1));
}

Case random_case(Rng& rng) {
  Case c;
  RouterSpec& s = c.spec;
  s.score = static_cast<Score>(rng.below(3));
  s.n_group = 1 << rng.below(4);
  s.n_expert = s.n_group * pick(rng, 1, 9);
  if (rng.below(25) == 0) s.n_expert = s.n_group * 32;  // the size of a real one
  s.n_group_used = pick(rng, 1, s.n_group);
  if (s.n_group == 1) s.n_expert_zero = pick(rng, 0, 5);
  s.group_score = static_cast<GroupScore>(rng.below(2));
  s.renorm = rng.below(2) != 0;
  s.renorm_eps = rng.below(2) != 0 ? 1e-20f : 0.0f;
  s.renorm_min_k = pick(rng, 1, 2);
  s.scale = rng.below(2) != 0 ? 2.5f : 1.0f;
  if (rng.below(3) == 0) c.policy.grouped = rng.below(2) != 0;
  const int most = s.max_k(c.policy.grouped.value_or(true));
  s.n_expert_used = pick(rng, 1, s.max_k(true));
  c.policy.experts_decode = {{.k = pick(rng, 1, most)}};
  if (rng.below(3) == 0)
    c.policy.threshold = Threshold{pick(rng, 1, most), static_cast<float>(rng.uniform())};
  if (rng.below(3) == 0) {
    for (int e = 1; e < s.n_logits(); e += pick(rng, 1, 4))
      c.policy.masks.push_back({.layer = 0, .first = e, .last = e});
  }
  if (rng.below(2) != 0) {
    for (int e = 0; e < s.n_logits(); ++e) {
      c.bias.push_back(rng.below(12) == 0 ? -kInf : static_cast<float>(rng.uniform() * 2.0 - 1.5));
    }
  }
  return c;
}

/// Ordinary logits, many ties, and values that are no numbers.
float random_logit(Rng& rng) {
  // Of -88.5 the sigmoid is denormal, of -84 the softmax beside a larger logit.
  constexpr float kOdd[] = {
      kInf,   -kInf, std::numeric_limits<float>::quiet_NaN(), kMax, -kMax, 1e-40f, -1e-40f, -0.0f, 200.0f,
      -88.5f, -84.0f};
  switch (rng.below(10)) {
    case 0:
      return rng.below(4) == 0 ? kOdd[rng.below(std::size(kOdd))] : 0.5f;
    case 1:
    case 2:
    case 3:
      return static_cast<float>(pick(rng, -2, 2)) * 0.5f;
    default:
      return static_cast<float>(rng.uniform() * 12.0 - 6.0);
  }
}

void check_row(const Case& c, const BruteRow& want, const OwnedRouting& got, int64_t t) {
  ASSERT_EQ(got.n_active[static_cast<size_t>(t)], std::ssize(want.experts));
  for (int64_t i = 0; i < got.view.ids.n_cols(); ++i) {
    const int32_t id = got.view.ids.at(t, i);
    const float weight = got.view.weights.at(t, i);
    if (i >= std::ssize(want.experts)) {
      ASSERT_EQ(id, -1);
      ASSERT_EQ(weight, 0.0f);
      continue;
    }
    ASSERT_EQ(id, want.experts[static_cast<size_t>(i)].id);
    ASSERT_EQ(weight, want.experts[static_cast<size_t>(i)].weight);
    ASSERT_TRUE(std::isfinite(weight));
    ASSERT_TRUE(id >= 0 && id < c.spec.n_logits());
    for (int64_t before = 0; before < i; ++before) ASSERT_NE(id, got.view.ids.at(t, before));
  }
}

/// How many rows were of each kind that must be among them.
class Kinds {
 public:
  void count(const Case& c, std::span<const float> logits, const BruteRow& row) {
    const auto any = [&](auto&& is_it) { return std::ranges::any_of(logits, is_it); };
    count("a tie", row.has_tie);
    count("NaN", any([](float x) { return std::isnan(x); }));
    count("+inf", any([](float x) { return x == kInf; }));
    count("-inf", any([](float x) { return x == -kInf; }));
    count("a denormal logit", any([](float x) { return x != 0 && std::fabs(x) < kLeastNormal; }));
    count("a denormal score among the selected", row.has_denormal_score);
    count("groups of one", c.grouped() && c.spec.group_size() == 1);
    const bool only_mask = c.bias.empty() && !any([](float x) { return !std::isfinite(x); });
    count("fewer than k left by the mask alone", row.n_left < c.k() && !c.grouped() && only_mask);
    count("fewer than k left in masked groups", row.n_left < c.k() && c.grouped() && !c.policy.masks.empty());
    count("nothing left", row.n_left == 0);
    count("fewer than k by the threshold", std::ssize(row.experts) < std::min(row.n_left, c.k()));
    count("k = 1", c.k() == 1);
    count("k = n_expert", c.k() == c.spec.n_expert && c.spec.n_expert > 1);
    count("1 < k < n_expert", 1 < c.k() && c.k() < c.spec.n_expert);
  }
  void expect_each(int64_t least) const {
    for (const auto& [kind, n] : n_row_) EXPECT_GE(n, least) << "rows with " << kind;
  }

 private:
  void count(const char* kind, bool is_it) { n_row_[kind] += is_it; }
  std::map<std::string_view, int64_t> n_row_ = {};
};

TEST(RouteProperty, EqualsBruteForce) {
  constexpr int kCases = 25000, kRows = 40;
  Rng rng(20260801);
  Kinds kinds;
  for (int i = 0; i < kCases; ++i) {
    SCOPED_TRACE(i);
    const Case c = random_case(rng);
    ASSERT_NO_THROW(validate(c.spec, "case"));
    std::vector<float> logits(static_cast<size_t>(kRows * c.spec.n_logits()));
    for (float& x : logits) x = random_logit(rng);
    const OwnedRouting got = OneLayer(c.spec, c.policy)(logits, c.bias);
    for (int t = 0; t < kRows; ++t) {
      const auto n = static_cast<size_t>(c.spec.n_logits());
      const std::span row = std::span(logits).subspan(static_cast<size_t>(t) * n, n);
      const BruteRow want = brute_route(c, row);
      check_row(c, want, got, t);
      if (HasFatalFailure()) return;
      kinds.count(c, row, want);
    }
  }
  kinds.expect_each(1000);
}

TEST(RouteProperty, GroupedRowsStayInTheKeptGroups) {
  const RouterSpec spec{
      .score = Score::Sigmoid, .n_expert = 256, .n_expert_used = 8, .n_group = 8, .n_group_used = 4};
  Rng rng(3);
  std::vector<float> logits(200 * 256);
  for (float& x : logits) x = random_logit(rng);
  const OwnedRouting got = OneLayer(spec)(logits);
  for (int t = 0; t < 200; ++t) {
    std::set<int> groups;
    for (const int32_t id : got.row_ids(t)) groups.insert(id / 32);
    EXPECT_LE(groups.size(), 4u);
  }
}

}  // namespace
}  // namespace sw
