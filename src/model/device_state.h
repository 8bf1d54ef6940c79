// SPDX-License-Identifier: MIT
#pragma once
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/backend.h"
#include "kernels/ops.h"
#include "kv/sequence_cache.h"
#include "model/pinned.h"
#include "router/policy_table.h"
#include "tensor/buffer.h"

namespace sw {

/// The shapes that size a device's buffers.
struct BatchLimits {
  int64_t n_token = 0, n_logit_row = 0;
  int64_t n_table = 0;  ///< block tables: sequences times the cache's groups
  int64_t n_page = 0;   ///< of one sequence
  int64_t n_embd = 0, n_vocab = 0, n_rot_pair = 0, n_router = 0, n_slot = 0;
};

/// What one device holds of a forward pass: activations, routing, scratch, and its copy of the batch and
/// of the policy table. Taken once; nothing is allocated in a step.
class DeviceState {
 public:
  /// What the operations that run here need. Set before take().
  struct Needs {
    bool used = false;  ///< any operation at all
    bool moe = false;   ///< a router, experts or shared experts
    bool part = false;  ///< results that another device adds, or adds another device's
    bool head = false;
    size_t scratch_bytes = 0;
  };

  DeviceState(Backend& backend, int slot) : backend_(backend), slot_(slot) {}
  DeviceState(const DeviceState&) = delete;
  DeviceState& operator=(const DeviceState&) = delete;

  Needs needs = {};
  /// Takes the memory, or only counts it. `gpu`, where there is one, copies from and to the processor's.
  void take(const BatchLimits& limits, const PolicyTable& policies, bool plan_only, Backend* gpu);
  size_t buffer_bytes() const { return used_; }

  Backend& backend() const { return backend_; }
  int slot() const { return slot_; }

  /// Makes ready what send() will copy: a batch of the processor's, and the block tables of its sequences, of
  /// which the first `n_page` [n_seq] pages are in use; those of the cache's other groups follow the first's.
  /// Nothing of the last send() may be under way any more.
  void stage(const TokenBatch& host, std::span<const int64_t> n_page, int n_group);
  void send();
  /// Likewise, the rows whose logits are wanted.
  void stage_rows(std::span<const int32_t> rows);
  void send_rows();
  /// The policy table, where it changed.
  void upload_policies();
  /// The batch with a group's block tables.
  TokenBatch batch(int group = 0) const {
    TokenBatch batch = batch_;
    batch.block_tables += group * n_seq_;
    return batch;
  }
  std::span<const int32_t> rows() const { return rows_; }
  PolicyRows policy_rows() const { return policy_rows_; }

  template <class Desc, class Args>
  void run(const BoundOp<Desc, Args>& op, const Args& args, const OpContext& shared) {
    const Backend::Access access(backend_);
    OpContext context{shared.pool,          scratch_,        shared.counters, shared.vector,
                      shared.route_scratch, backend_.queue()};
    op(args, context);
  }

  TensorView<float> x = {};       ///< [n_token, n_embd], the residual while it is here
  TensorView<float> normed = {};  ///< [n_token, n_embd], the router's
  TensorView<float> part = {};    ///< [n_token, n_embd], on its way to the residual's owner
  TensorView<float> router_logits = {};
  Routing routing = {};
  TensorView<float> final_norm = {}, logits = {};

 private:
  template <class T>
  T* carve(int64_t n);
  template <class T>
  TensorView<T> carve(int64_t n_rows, int64_t n_cols);
  void carve_all();
  size_t batch_bytes(int64_t n_token, int64_t n_table) const;

  Backend& backend_;
  int slot_;
  BatchLimits limits_ = {};
  const PolicyTable* policies_ = nullptr;
  uint64_t policy_version_ = 0;
  Buffer buffer_ = {};
  PinnedBuffer pinned_ = {};   // instead of buffer_, where a GPU reads and writes the processor's memory
  PinnedBuffer staging_ = {};  // the batch as it is copied
  size_t staged_bytes_ = 0;
  PinnedBuffer row_staging_ = {};
  std::byte* base_ = nullptr;  // null while only counting
  size_t used_ = 0;

  Scratch scratch_ = {};
  std::byte* batch_memory_ = nullptr;
  int32_t* row_memory_ = nullptr;
  LayerPolicy* policy_memory_ = nullptr;
  uint32_t* mask_memory_ = nullptr;
  TokenBatch batch_ = {};
  int64_t n_seq_ = 0;
  std::span<const int32_t> rows_ = {};
  PolicyRows policy_rows_ = {};
};

}  // namespace sw
