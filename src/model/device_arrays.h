// SPDX-License-Identifier: MIT
#pragma once
#include <span>
#include <vector>

#include "kernels/ops.h"
#include "model/program.h"
#include "router/policy_table.h"
#include "router/route_counts.h"
#include "router/spec.h"

namespace sw {

/// The shapes that size every device's buffers.
struct BatchLimits {
  int64_t n_token = 0, n_logit_row = 0;
  int64_t n_seq = 0;         ///< sequences of a batch
  int64_t n_page = 0;        ///< of one sequence in one group of the cache
  int n_group = 1;           ///< of the cache
  int64_t n_policy_row = 0;  ///< rows of the policy table
  int64_t n_mask_word = 0;   ///< of all its rows
  int64_t n_embd = 0, n_vocab = 0, n_rot_pair = 0, n_router = 0;
  int n_slot = 0;                          ///< most experts per token
  int n_staged = 2;                        ///< batches that may be on their way to a device
  std::span<const MoeLayer> counted = {};  ///< layers whose routing is counted; empty: none
};

/// What one device holds of a forward pass: activations, routing, counts, scratch, and its copy of the batch
/// and of the policy table. A layout of one block of memory: without memory it only counts.
struct DeviceArrays {
  /// `host_visible`: the CPU's own batch and policy table are read where they are.
  DeviceArrays(const DeviceNeeds& needs, const BatchLimits& limits, int device, bool host_visible,
               std::byte* memory = nullptr);

  size_t size_bytes = 0;
  TensorView<float> residual = {};  ///< [n_token, n_embd], while it is here
  TensorView<float> normed = {};    ///< [n_token, n_embd], the router's
  TensorView<float> part = {};      ///< [n_token, n_embd], on its way to the residual
  TensorView<float> router_logits = {};
  Routing routing = {};
  TensorView<float> final_norm = {}, logits = {};  ///< [n_logit_row, n_embd], [n_logit_row, n_vocab]
  std::span<std::byte> counts = {};                ///< of all counted layers, one behind the other
  Scratch scratch = {};
  std::span<std::byte> batch = {};  ///< as StagedBatch lays it out
  int32_t* rows = nullptr;          ///< [n_logit_row]
  LayerPolicy* policies = nullptr;
  uint32_t* masks = nullptr;
};

/// Bytes of a batch on a device that the CPU's is copied to.
size_t staged_bytes(const BatchLimits& limits);
/// Where the counts of a counted layer begin among all of them.
size_t counts_offset(const BatchLimits& limits, int moe_layer);

}  // namespace sw
