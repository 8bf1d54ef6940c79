// SPDX-License-Identifier: MIT
#include "router/policy_table.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "router/too_many_policies.h"

namespace sw {

PolicyTable::PolicyTable(std::vector<MoeLayer> layers, int n_layer, int experts_max, int capacity)
    : layers_(std::move(layers)), n_layer_(n_layer), experts_max_(experts_max) {
  SW_ASSERT(capacity >= 1 && capacity <= 65536);
  n_mask_words_ = count_mask_words(layers_);
  const auto n_policy = static_cast<size_t>(capacity);
  rows_.resize(n_policy * layers_.size());
  masks_.resize(rows_.size() * n_mask_words_);
  users_.resize(n_policy);
  const uint16_t own = resolve({}, Phase::Prefill);
  SW_ASSERT(own == 0);  // never released, so it stays
}

bool PolicyTable::holds(uint16_t id, const ResolvedRows& resolved) const {
  const size_t first = row_index(id, 0);
  return std::ranges::equal(resolved.rows, rows().subspan(first, resolved.rows.size())) &&
         std::ranges::equal(resolved.masks, masks().subspan(first * n_mask_words_, resolved.masks.size()));
}

uint16_t PolicyTable::free_id() const {
  const auto unused = std::find(users_.begin(), users_.end(), 0);
  if (unused == users_.end()) {
    throw TooManyPolicies({.what = "too many different routing policies at one time",
                           .expected = "at most " + std::to_string(users_.size()),
                           .hint = "try again when a request has ended"});
  }
  return static_cast<uint16_t>(unused - users_.begin());
}

PolicySizes PolicyTable::sizes(std::span<const MoeLayer> layers, int capacity) {
  const int64_t n_row = int64_t{capacity} * std::ssize(layers);
  return {.n_row = n_row, .n_mask_word = n_row * static_cast<int64_t>(count_mask_words(layers))};
}

uint16_t PolicyTable::resolve(const RoutingPolicy& policy, Phase phase) {
  const ResolvedRows resolved = resolve_rows(policy, phase, layers_, n_layer_, experts_max_);
  for (size_t id = 0; id < users_.size(); ++id) {
    if (users_[id] == 0 || !holds(static_cast<uint16_t>(id), resolved)) continue;
    ++users_[id];
    return static_cast<uint16_t>(id);
  }
  const uint16_t id = free_id();
  const auto first = static_cast<std::ptrdiff_t>(row_index(id, 0));
  std::ranges::copy(resolved.rows, rows_.begin() + first);
  std::ranges::copy(resolved.masks, masks_.begin() + first * static_cast<std::ptrdiff_t>(n_mask_words_));
  ++version_;
  users_[id] = 1;
  return id;
}

void PolicyTable::release(uint16_t id) {
  SW_ASSERT(id < users_.size());
  // The table itself holds id 0.
  SW_ASSERT(users_[id] > (id == 0 ? 1 : 0));
  --users_[id];
}

}  // namespace sw
