// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <utility>

#include "kv/page_pool.h"
#include "router/policy_table.h"

namespace sw {

/// A policy's id for as long as this lives.
class PolicyUse {
 public:
  /// Throws sw::Error where the model cannot do the policy.
  PolicyUse(PolicyTable& table, const RoutingPolicy& policy, Phase phase)
      : table_(&table), id_(table.resolve(policy, phase)) {}
  PolicyUse(PolicyUse&& other) noexcept : table_(std::exchange(other.table_, nullptr)), id_(other.id_) {}
  PolicyUse& operator=(PolicyUse&&) = delete;
  ~PolicyUse() {
    if (table_) table_->release(id_);
  }

  uint16_t id() const { return id_; }
  /// Adds what the policy means to a page's name: an id may mean something else tomorrow.
  void add_to(PageKey& key) const;

 private:
  PolicyTable* table_;
  uint16_t id_;
};

}  // namespace sw
