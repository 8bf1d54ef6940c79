// SPDX-License-Identifier: MIT
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/placed_model.h"
#include "router/stats.h"

namespace sw {

/// What stands in a profile's rows apart.
enum class ProfileBy : uint8_t {
  Operation,  ///< operations, on each device
  Layer       ///< likewise, layer by layer
};

/// What an operation cost on one device.
struct ProfileRow {
  /// As in kernels/ops.inc; or "batch" (it is put together), "copies" (between devices), "add" (of what other
  /// devices computed), "wait" (the CPU's, for a device).
  std::string operation = {};
  int device = 0;
  int layer = -1;  ///< as the Hugging Face config counts; -1: none, or all of them
  int64_t n_call = 0;
  double seconds = 0;  ///< of the device's own time: different devices' overlap
  /// Stored bytes of the weights read; nothing where nobody knows, as of experts on a GPU without
  /// ForwardOptions::count_routing.
  std::optional<uint64_t> weight_bytes = 0;
};

/// All passes together.
struct ProfileSummary {
  int64_t n_pass = 0, n_token = 0;
  double wall_s = 0;                  ///< at least the sum of a device's rows
  std::vector<ProfileRow> rows = {};  ///< in the order of a pass
};

/// Where the time of passes goes, instruction by instruction: by the clock on the CPU, by events of the queue
/// on a GPU. Forward::set_profile() begins and ends it.
class Profile {
 public:
  /// Of passes over this; must not outlive it.
  explicit Profile(const PlacedModel& placed);

  ProfileSummary summary(ProfileBy by = ProfileBy::Operation) const;
  /// As if nothing had run yet.
  void clear();

  // For Forward. What is timed has a number: what is around the instructions, then these in their order.
  static constexpr size_t kBatch = 0, kHead = 1, kLogits = 2, kSend = 3;  ///< kSend + device
  /// The number of the first of the program's layers or of what leads to its head.
  size_t number_of(std::span<const Instruction> instructions) const;
  /// A call begins, of a pass over so many tokens; of 0: it goes on with the pass before. What a call left
  /// behind that did not end counts for nothing.
  void begin(int64_t n_token);
  template <class Work>
  void time(size_t number, const OpCounters& counters, Work&& work) {
    const Item& item = items_[number];
    if (!item.operation) return work();
    Timeline& timeline = *timelines_[static_cast<size_t>(item.device)];
    const OpCounters before = counters;
    const int from = timeline.mark();
    work();
    const OpCounters spent = counters - before;
    timed_.push_back({number, from, timeline.mark(), spent.dense_bytes + spent.expert_bytes});
  }
  /// All devices are done.
  void end();
  /// Whether experts were read that only the routing tells of.
  bool needs_routing() const { return needs_routing_; }
  /// What was routed before the call that ended, and after.
  void add_experts(const RoutingStats& before, const RoutingStats& after);

 private:
  /// What is timed, and its sums.
  struct Item {
    const char* operation = nullptr;  // null: not timed
    int device = 0;
    int layer = -1;
    int moe_layer = -1;               // of experts whose reads the device alone knows
    int64_t n_call = 0, n_known = 0;  // n_known: calls whose bytes are known
    double seconds = 0;
    uint64_t weight_bytes = 0;

    void clear() { n_call = n_known = 0, seconds = 0, weight_bytes = 0; }
  };
  struct Timed {
    size_t number = 0;
    int from = 0, to = 0;
    uint64_t weight_bytes = 0;
  };
  using Clock = std::chrono::steady_clock;

  Item item_of(const Instruction& instruction) const;
  void add_layers();
  bool is_gpu(int device) const;

  const PlacedModel& placed_;
  std::vector<Item> items_;
  std::vector<Timed> timed_;                            // in the call under way
  std::vector<std::unique_ptr<Timeline>> timelines_;    // by device
  std::vector<std::vector<uint64_t>> expert_bytes_;     // [n_moe_layer, n_expert]
  std::vector<const std::vector<int>*> expert_places_;  // [n_moe_layer] their devices
  bool needs_routing_ = false;
  Clock::time_point start_ = {};
  int64_t n_token_begun_ = 0, n_pass_ = 0, n_token_ = 0;
  double wall_s_ = 0;
};

}  // namespace sw
