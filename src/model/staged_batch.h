// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "model/batch.h"
#include "model/device_arrays.h"
#include "model/pinned.h"

namespace sw {

/// Where a batch is put together on the CPU.
enum class StageAs : uint8_t {
  First,  ///< always in the same place, for recordings; nothing that was sent may be under way any more
  Next    ///< beside the last ones, which may still be on their way
};

/// The batch's copy on a device whose memory the CPU cannot see: put together in a block of pinned memory,
/// sent with one copy. Arrays of equally long batches lie at the same addresses, so that a recorded step
/// finds them. No allocation after the start.
class StagedBatch {
 public:
  /// `memory` [staged_bytes(limits)] and `rows` [n_logit_row] are the device's.
  StagedBatch(Backend& backend, const BatchLimits& limits, std::span<std::byte> memory, int32_t* rows);

  /// Makes ready what send() copies. With StageAs::Next waits until what its block held has left.
  void stage(const HostBatch& batch, StageAs as);
  void send();
  /// Likewise, the rows whose logits are wanted. Nothing that was sent may be under way any more.
  void stage_rows(std::span<const int32_t> rows);
  void send_rows();

  /// In the device's memory, as operations of a cache group's blocks read it.
  const TokenBatch& view(int group) const { return views_[static_cast<size_t>(group)]; }
  std::span<const int32_t> rows() const { return {rows_, n_row_}; }

 private:
  template <class T>
  const T* put(const T* data, int64_t n);
  const int32_t* const* put_tables(const HostBatch::Group& group, std::span<const int64_t> n_page);

  Backend& backend_;
  int64_t most_pages_;  // of one sequence
  std::byte* memory_;
  struct Block {
    PinnedBuffer memory;
    std::unique_ptr<Fence> sent;
  };
  std::byte* staging() const { return blocks_[now_].memory.data(); }

  std::vector<Block> blocks_;  // [limits.n_staged]
  size_t now_ = 0;             // the block that was staged last
  bool fenced_ = false;
  PinnedBuffer row_staging_;
  size_t used_ = 0;                // of the block and of the device's memory
  std::vector<TokenBatch> views_;  // by group
  int32_t* rows_;
  size_t n_row_ = 0;
};

}  // namespace sw
