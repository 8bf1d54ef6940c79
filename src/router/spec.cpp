// SPDX-License-Identifier: MIT
#include "router/spec.h"

#include <algorithm>
#include <cmath>
#include <fmt/core.h>

#include "base/error.h"

namespace sw {
namespace {

// Far above any model, and small enough that no sum or product of two counts overflows.
constexpr int kMaxExperts = 32768;

/// Refuses numbers in the words of their source.
class Checks {
 public:
  Checks(const RouterSpec& spec, const std::string& where, const KeyNaming& name_of)
      : s_(spec), where_(where), name_of_(name_of) {}

  void run() const {
    count("expert_count", s_.n_expert, 1, kMaxExperts);
    count("expert_zero_count", s_.n_expert_zero, 0, kMaxExperts);
    groups();
    count("expert_used_count", s_.n_expert_used, 1, s_.max_k(true),
          s_.has_groups()
              ? fmt::format("a token sees {} groups of {} / {} experts", name("expert_group_used_count"),
                            name("expert_count"), name("expert_group_count"))
              : "");
    SW_ASSERT(s_.renorm_min_k >= 1 && s_.renorm_eps >= 0.0f);  // an architecture's, not a file's
    if (!(s_.scale > 0.0f) || std::isinf(s_.scale)) {
      throw Error({.what = "the key " + name("expert_weights_scale") + " is out of range",
                   .where = where_,
                   .expected = "a number above 0",
                   .got = std::to_string(s_.scale)});
    }
  }

 private:
  std::string name(std::string_view key) const { return name_of_ ? name_of_(key) : std::string(key); }

  void count(std::string_view key, int value, int least, int most, const std::string& hint = "") const {
    if (value >= least && value <= most) return;
    throw Error({.what = "the key " + name(key) + " is out of range",
                 .where = where_,
                 .expected = std::to_string(least) + " to " + std::to_string(most),
                 .got = std::to_string(value),
                 .hint = hint});
  }

  void groups() const {
    count("expert_group_count", s_.n_group, 0, s_.n_expert);
    count("expert_group_used_count", s_.n_group_used, s_.has_groups() ? 1 : 0, std::max(1, s_.n_group),
          "at most " + name("expert_group_count") + " groups can be used");
    if (!s_.has_groups()) return;
    if (s_.n_expert % s_.n_group != 0) {
      throw Error({.what = name("expert_count") + " is not a multiple of " + name("expert_group_count"),
                   .where = where_,
                   .got = fmt::format("{} experts in {} groups", s_.n_expert, s_.n_group)});
    }
    if (s_.n_expert_zero > 0) {
      throw Error({.what = "expert groups and identity experts do not go together",
                   .where = where_,
                   .got = fmt::format("{} {} and {} {}", name("expert_group_count"), s_.n_group,
                                      name("expert_zero_count"), s_.n_expert_zero)});
    }
  }

  const RouterSpec& s_;
  const std::string& where_;
  const KeyNaming& name_of_;
};

}  // namespace

void validate(const RouterSpec& spec, const std::string& where, const KeyNaming& name_of) {
  Checks(spec, where, name_of).run();
}

}  // namespace sw
