// SPDX-License-Identifier: MIT
#include "model/batch.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace sw {
namespace {

/// From so many angles on, threads share the sines: it takes longer to wake them than to do fewer alone.
constexpr int64_t kLeastShared = 32768;

}  // namespace

HostBatch::HostBatch(const RopeTable& rope, int64_t n_token, int64_t n_seq, int n_group)
    : rope_(rope), groups_(static_cast<size_t>(n_group)) {
  const auto n = static_cast<size_t>(n_token), s = static_cast<size_t>(n_seq);
  for (auto* array : {&ids_, &pos_, &seq_}) array->resize(n);
  policy_.resize(n);
  cos_.resize(n * rope.inv_freq.size());
  sin_.resize(cos_.size());
  n_page_.reserve(s);
  first_token_.reserve(s);
  for (Group& group : groups_) {
    group.tables.reserve(s);
    group.state_from.reserve(s);
    group.state_to.reserve(n);
  }
}

/// The angle is rounded to f32, as the models' original Python does.
void HostBatch::turn(int64_t token) {
  const size_t n_pair = rope_.inv_freq.size(), begin = static_cast<size_t>(token) * n_pair;
  const auto pos = static_cast<float>(pos_[static_cast<size_t>(token)]);
  for (size_t p = 0; p < n_pair; ++p) {
    const float angle = pos * rope_.inv_freq[p];
    cos_[begin + p] = std::cos(angle) * rope_.magnitude;
    sin_[begin + p] = std::sin(angle) * rope_.magnitude;
  }
}

void HostBatch::fill_groups(std::span<const BatchToken> tokens,
                            std::span<const SequenceCache* const> sequences, const CachePlan& plan) {
  n_group_ = plan.n_group();
  SW_ASSERT(plan.groups.size() <= groups_.size());
  for (int g = 0; g < n_group_; ++g) {
    Group& group = groups_[static_cast<size_t>(g)];
    group.is_state = plan.group(g).is_state();
    group.tables.clear();
    group.state_from.clear();
    group.state_to.clear();
    for (const SequenceCache* sequence : sequences) {
      if (group.is_state) {
        group.state_from.push_back(sequence->state_from(g));
      } else {
        group.tables.push_back(sequence->pages(g));
      }
    }
    for (const BatchToken& token : tokens) {
      if (!group.is_state) break;
      group.state_to.push_back(sequences[static_cast<size_t>(token.seq)]->state_to(g, token.pos));
    }
  }
}

void HostBatch::fill(std::span<const BatchToken> tokens, std::span<const SequenceCache* const> sequences,
                     const CachePlan& plan, ThreadPool& pool) {
  n_token_ = std::ssize(tokens);
  SW_ASSERT(tokens.size() <= ids_.size());
  n_page_.assign(sequences.size(), 0);
  first_token_.assign(sequences.size(), 0);
  n_alone_ = n_token_;
  for (size_t t = 0; t < tokens.size(); ++t) {
    const BatchToken& token = tokens[t];
    SW_ASSERT(token.id >= 0 && token.pos >= 0);
    ids_[t] = token.id;
    pos_[t] = token.pos;
    seq_[t] = token.seq;
    policy_[t] = token.policy;
    int64_t& n_page = n_page_[static_cast<size_t>(token.seq)];
    int64_t& first = first_token_[static_cast<size_t>(token.seq)];
    if (n_page == 0) {
      first = static_cast<int64_t>(t);
    } else {
      n_alone_ = std::min(n_alone_, first);
    }
    n_page = std::max(n_page, token.pos / plan.page_tokens + 1);
  }
  fill_groups(tokens, sequences, plan);
  const int64_t least = kLeastShared / std::max<int64_t>(n_rot_pair(), 1);
  pool.for_ranges(n_token_, least, [&](Range mine, int) {
    for (int64_t t = mine.begin; t < mine.end; ++t) turn(t);
  });
}

TokenBatch HostBatch::view(int group) const {
  const Group& g = groups_[static_cast<size_t>(group)];
  return {.n_token = n_token_,
          .ids = ids_.data(),
          .pos = pos_.data(),
          .seq = seq_.data(),
          .n_alone = n_alone_,
          .block_tables = g.tables.data(),
          .state_from = g.state_from.data(),
          .state_to = g.state_to.data(),
          .policy = policy_.data(),
          .rope_cos = cos_.data(),
          .rope_sin = sin_.data()};
}

}  // namespace sw
