// SPDX-License-Identifier: MIT
#include "router/spec.h"

#include <cmath>

#include "base/error.h"

namespace sw {
namespace {

// Far above any model, and small enough that no sum or product of two counts overflows.
constexpr int kMaxExperts = 32768;

void check_count(const char* key, int value, int least, int most, const std::string& where,
                 const char* hint = "") {
  if (value >= least && value <= most) return;
  throw Error({.what = std::string("the key ") + key + " is out of range",
               .where = where,
               .expected = std::to_string(least) + " to " + std::to_string(most),
               .got = std::to_string(value),
               .hint = hint});
}

void check_groups(const RouterSpec& s, const std::string& where) {
  check_count("expert_group_count", s.n_group, 0, s.n_expert, where);
  if (!s.has_groups()) return;
  check_count("expert_group_used_count", s.n_group_used, 1, s.n_group, where,
              "at most expert_group_count groups can be used");
  if (s.n_expert % s.n_group != 0) {
    throw Error({.what = "expert_count is not a multiple of expert_group_count",
                 .where = where,
                 .got = std::to_string(s.n_expert) + " experts in " + std::to_string(s.n_group) + " groups"});
  }
  if (s.n_expert_zero > 0) {
    throw Error({.what = "expert groups and identity experts do not go together",
                 .where = where,
                 .got = "expert_group_count " + std::to_string(s.n_group) + " and expert_zero_count " +
                        std::to_string(s.n_expert_zero)});
  }
}

}  // namespace

void validate(const RouterSpec& s, const std::string& where) {
  check_count("expert_count", s.n_expert, 1, kMaxExperts, where);
  check_count("expert_zero_count", s.n_expert_zero, 0, kMaxExperts, where);
  check_groups(s, where);
  check_count("expert_used_count", s.n_expert_used, 1, s.max_k(true), where,
              s.has_groups() ? "a token sees expert_group_used_count groups of "
                               "expert_count / expert_group_count experts"
                             : "");
  SW_ASSERT(s.renorm_min_k >= 1 && s.renorm_eps >= 0.0f);  // an architecture's, not a file's
  if (!(s.scale > 0.0f) || std::isinf(s.scale)) {
    throw Error({.what = "the key expert_weights_scale is out of range",
                 .where = where,
                 .expected = "a number above 0",
                 .got = std::to_string(s.scale)});
  }
}

}  // namespace sw
