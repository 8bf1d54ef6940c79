// SPDX-License-Identifier: MIT
#include "model/staged_batch.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace sw {
namespace {

constexpr size_t padded(size_t bytes) { return (bytes + 15) / 16 * 16; }
template <class T>
constexpr size_t array_bytes(int64_t n) {
  return padded(static_cast<size_t>(n) * sizeof(T));
}

}  // namespace

size_t staged_bytes(const BatchLimits& limits) {
  const int64_t n = limits.n_token, s = limits.n_seq;
  const size_t tables = array_bytes<void*>(s) + static_cast<size_t>(s) * array_bytes<int32_t>(limits.n_page),
               states = array_bytes<int32_t>(s) + array_bytes<int32_t>(n);
  return 3 * array_bytes<int32_t>(n) + array_bytes<uint16_t>(n) +
         2 * array_bytes<float>(n * limits.n_rot_pair) +
         static_cast<size_t>(limits.n_group) * std::max(tables, states);
}

StagedBatch::StagedBatch(Backend& backend, const BatchLimits& limits, std::span<std::byte> memory,
                         int32_t* rows)
    : backend_(backend),
      most_pages_(limits.n_page),
      memory_(memory.data()),
      row_staging_(static_cast<size_t>(limits.n_logit_row) * sizeof(int32_t), backend),
      views_(static_cast<size_t>(limits.n_group)),
      rows_(rows) {
  for (int i = 0; i < limits.n_staged; ++i)
    blocks_.push_back({PinnedBuffer(memory.size(), backend), backend.make_fence()});
}

/// Copies `n` elements to the staging block; returns where they will be on the device.
template <class T>
const T* StagedBatch::put(const T* data, int64_t n) {
  const auto* to = reinterpret_cast<const T*>(memory_ + used_);
  if (n > 0) std::memcpy(staging() + used_, data, static_cast<size_t>(n) * sizeof(T));
  used_ += array_bytes<T>(n);
  return to;
}

/// The tables' addresses on the device follow from where the first one lies; all have the same room.
const int32_t* const* StagedBatch::put_tables(const HostBatch::Group& group,
                                              std::span<const int64_t> n_page) {
  const auto* list = reinterpret_cast<const int32_t* const*>(memory_ + used_);
  auto* addresses = reinterpret_cast<const int32_t**>(staging() + used_);
  used_ += array_bytes<void*>(std::ssize(group.tables));
  for (size_t s = 0; s < group.tables.size(); ++s) {
    SW_ASSERT(n_page[s] <= most_pages_);
    addresses[s] = reinterpret_cast<const int32_t*>(memory_ + used_);
    std::memcpy(staging() + used_, group.tables[s], static_cast<size_t>(n_page[s]) * sizeof(int32_t));
    used_ += array_bytes<int32_t>(most_pages_);
  }
  return list;
}

void StagedBatch::stage(const HostBatch& batch, StageAs as) {
  fenced_ = as == StageAs::Next;
  now_ = fenced_ ? (now_ + 1) % blocks_.size() : 0;
  if (fenced_) blocks_[now_].sent->wait();
  const TokenBatch host = batch.view();
  const int64_t n = host.n_token;
  used_ = 0;
  const TokenBatch common{.n_token = n,
                          .ids = put(host.ids, n),
                          .pos = put(host.pos, n),
                          .seq = put(host.seq, n),
                          .n_alone = host.n_alone,
                          .policy = put(host.policy, n),
                          .rope_cos = put(host.rope_cos, n * batch.n_rot_pair()),
                          .rope_sin = put(host.rope_sin, n * batch.n_rot_pair())};
  for (size_t g = 0; g < batch.groups().size(); ++g) {
    const HostBatch::Group& group = batch.groups()[g];
    views_[g] = common;
    if (group.is_state) {
      views_[g].state_from = put(group.state_from.data(), batch.n_seq());
      views_[g].state_to = put(group.state_to.data(), n);
    } else {
      views_[g].block_tables = put_tables(group, batch.n_page());
    }
  }
  SW_ASSERT(used_ <= blocks_[now_].memory.size_bytes());
}

void StagedBatch::send() {
  backend_.copy_in(memory_, staging(), used_);
  if (fenced_) blocks_[now_].sent->set();
}

void StagedBatch::stage_rows(std::span<const int32_t> rows) {
  std::ranges::copy(rows, row_staging_.as<int32_t>());
  n_row_ = rows.size();
}

void StagedBatch::send_rows() {
  backend_.copy_in(reinterpret_cast<std::byte*>(rows_), row_staging_.data(), n_row_ * sizeof(int32_t));
}

}  // namespace sw
