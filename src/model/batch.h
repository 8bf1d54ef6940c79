// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "arch/rope.h"
#include "base/thread_pool.h"
#include "kernels/ops.h"
#include "kv/sequence_cache.h"

namespace sw {

/// One token of a batch.
struct BatchToken {
  int32_t id = 0, pos = 0;
  int32_t seq = 0;      ///< index into the batch's sequences
  uint16_t policy = 0;  ///< id in the policy table
};

/// The batch of a pass in the CPU's memory: operations there read it where it is, other devices get a copy
/// (StagedBatch). All memory is taken at the start.
class HostBatch {
 public:
  /// What the blocks of one cache group read of the sequences.
  struct Group {
    bool is_state = false;
    std::vector<const int32_t*> tables = {};  ///< [n_seq], of keys and values
    std::vector<int32_t> state_from = {};     ///< [n_seq], of states
    std::vector<int32_t> state_to = {};       ///< [n_token]
  };

  HostBatch(const RopeTable& rope, int64_t n_token, int64_t n_seq, int n_group);

  /// `tokens`, at most as many as there is room for; those of a sequence stand in rising position.
  /// `sequences` [n_seq] are prepared for all of them.
  void fill(std::span<const BatchToken> tokens, std::span<const SequenceCache* const> sequences,
            const CachePlan& plan, ThreadPool& pool);

  int64_t n_token() const { return n_token_; }
  int64_t n_seq() const { return std::ssize(n_page_); }
  int64_t n_rot_pair() const { return std::ssize(rope_.inv_freq); }
  /// The groups of the cache that the last fill() was for.
  std::span<const Group> groups() const { return std::span(groups_).first(static_cast<size_t>(n_group_)); }
  /// As operations of a group's blocks read it; valid until the next fill().
  TokenBatch view(int group = 0) const;
  /// [n_seq] pages in use of each sequence.
  std::span<const int64_t> n_page() const { return n_page_; }

 private:
  void fill_groups(std::span<const BatchToken> tokens, std::span<const SequenceCache* const> sequences,
                   const CachePlan& plan);
  void turn(int64_t token);

  const RopeTable& rope_;
  int64_t n_token_ = 0;
  int n_group_ = 0;
  int64_t n_alone_ = 0;  // TokenBatch::n_alone
  std::vector<int32_t> ids_, pos_, seq_;
  std::vector<uint16_t> policy_;
  std::vector<float> cos_, sin_;      // [n_token, n_rot / 2]
  std::vector<int64_t> n_page_;       // of each sequence
  std::vector<int64_t> first_token_;  // likewise
  std::vector<Group> groups_;
};

}  // namespace sw
