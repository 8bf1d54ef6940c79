// SPDX-License-Identifier: MIT
#pragma once
#include <optional>
#include <span>

#include "kernels/backend.h"
#include "kernels/ops.h"
#include "model/device_arrays.h"
#include "model/pinned.h"
#include "model/staged_batch.h"
#include "router/policy_table.h"
#include "router/stats.h"
#include "tensor/buffer.h"

namespace sw {

/// One device of a forward pass: its arrays, the batch and the policy table as its operations read them.
/// Memory is taken once; nothing is allocated in a step.
class DeviceState {
 public:
  /// `gpu`, where there is one, copies from and to the CPU's memory. Throws sw::SystemError.
  DeviceState(Backend& backend, int device, const DeviceNeeds& needs, const BatchLimits& limits,
              const PolicyTable& policies, const HostBatch& host, Backend* gpu);
  DeviceState(const DeviceState&) = delete;
  DeviceState& operator=(const DeviceState&) = delete;

  /// Whether any operation runs here.
  bool is_used() const { return arrays_.size_bytes > 0; }
  Backend& backend() const { return backend_; }
  const DeviceArrays& arrays() const { return arrays_; }

  /// Whether the batch is sent here, because the CPU cannot see this memory.
  bool is_staged() const { return staged_.has_value(); }
  /// Makes the host's batch ready for send(), and sends the policy table where it changed.
  void stage(StageAs as);
  void send();
  /// Likewise, the rows whose logits are wanted.
  void stage_rows(std::span<const int32_t> rows);
  void send_rows();
  std::span<const int32_t> rows() const { return staged_ ? staged_->rows() : rows_; }
  /// The batch as operations of a cache group's blocks read it.
  TokenBatch batch(int group = 0) const { return staged_ ? staged_->view(group) : host_.view(group); }
  PolicyRows policies() const;
  /// Where a layer's routing is counted; nothing where none is.
  RouteCounts counts(int moe_layer) const;
  /// What was counted of a layer. Waits for the device.
  LayerStats read_counts(int moe_layer);
  void reset_counts();

  template <class Desc>
  void run(const BoundOp<Desc>& op, const typename BoundOp<Desc>::Args& args, const OpContext& shared) {
    const Backend::Access access(backend_);
    OpContext context{shared.pool,   arrays_.scratch,      shared.counters,
                      shared.vector, shared.route_scratch, backend_.queue()};
    op(args, context);
  }

 private:
  void upload_policies();

  Backend& backend_;
  BatchLimits limits_;
  const PolicyTable& policies_;
  const HostBatch& host_;
  uint64_t policy_version_ = 0;
  Buffer buffer_ = {};
  PinnedBuffer pinned_ = {};  // instead of buffer_, where a GPU reads and writes the CPU's memory
  DeviceArrays arrays_;
  std::optional<StagedBatch> staged_;   // where the CPU cannot see the memory
  std::span<const int32_t> rows_ = {};  // where it can
};

}  // namespace sw
