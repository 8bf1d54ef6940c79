// SPDX-License-Identifier: MIT
#include "model/profile.h"

#include <algorithm>

#include "base/error.h"
#include "model/expert_bytes.h"

namespace sw {
namespace {

using namespace program;

template <class Desc>
const char* name_of(const BoundOp<Desc>&) {
  return OpTraits<Desc>::kName;
}

template <class Kind, class... Kinds>
constexpr bool kIsOneOf = (std::is_same_v<Kind, Kinds> || ...);

}  // namespace

Profile::Profile(const PlacedModel& placed) : placed_(placed), expert_bytes_(expert_bytes(placed.model())) {
  const Devices& devices = placed.devices();
  for (const auto& device : devices) timelines_.push_back(device->make_timeline());
  for (const BlockPlacement& block : placed.placement().blocks) {
    if (!block.experts.empty()) expert_places_.push_back(&block.experts);
  }
  const Head& head = placed.program().head;
  items_ = {{.operation = "batch"},
            {.operation = name_of(head.op), .device = head.device},
            {.operation = "copies", .device = head.device}};
  for (int d = 0; d < std::ssize(devices); ++d) items_.push_back({.operation = "copies", .device = d});
  add_layers();
  for (const Instruction& instruction : placed.program().to_head) items_.push_back(item_of(instruction));
}

bool Profile::is_gpu(int device) const {
  return placed_.devices()[static_cast<size_t>(device)]->info().kind != DeviceKind::Cpu;
}

Profile::Item Profile::item_of(const Instruction& instruction) const {
  return std::visit(
      [&]<class Kind>(const Kind& i) -> Item {
        if constexpr (requires { i.op; }) return {.operation = name_of(i.op), .device = i.device};
        if constexpr (kIsOneOf<Kind, Zero, AddPart>) return {.operation = "add", .device = i.device};
        if constexpr (kIsOneOf<Kind, Await>) return {.operation = "wait"};
        if constexpr (kIsOneOf<Kind, Send>) {
          const bool to_cpu = placed_.devices()[static_cast<size_t>(i.to)]->host_visible();
          return {.operation = "copies", .device = to_cpu ? i.from : i.to};
        }
        return {};
      },
      instruction);
}

/// A layer ends where it is shown to probes.
void Profile::add_layers() {
  size_t begin = items_.size();
  int moe_layer = -1;
  for (const Instruction& instruction : placed_.program().layers) {
    Item& item = items_.emplace_back(item_of(instruction));
    if (std::holds_alternative<Embed>(instruction)) begin = items_.size();
    if (const auto* route = std::get_if<Route>(&instruction)) moe_layer = route->op.desc.moe_layer;
    if (std::holds_alternative<Experts>(instruction) && is_gpu(item.device)) {
      item.moe_layer = moe_layer;
      needs_routing_ = true;
    }
    const auto* shown = std::get_if<ShowHidden>(&instruction);
    if (!shown || shown->part >= 0) continue;
    for (; begin < items_.size(); ++begin) items_[begin].layer = shown->layer;
  }
}

size_t Profile::number_of(std::span<const Instruction> instructions) const {
  const size_t first = kSend + timelines_.size();
  const Program& program = placed_.program();
  return instructions.data() == program.layers.data() ? first : first + program.layers.size();
}

void Profile::begin(int64_t n_token) {
  timed_.clear();
  for (const auto& timeline : timelines_) timeline->clear();
  n_token_begun_ = n_token;
  start_ = Clock::now();
}

void Profile::end() {
  wall_s_ += std::chrono::duration<double>(Clock::now() - start_).count();
  n_token_ += n_token_begun_;
  n_pass_ += n_token_begun_ > 0 ? 1 : 0;
  for (const Timed& timed : timed_) {
    Item& item = items_[timed.number];
    ++item.n_call;
    item.n_known += item.moe_layer < 0 ? 1 : 0;
    item.seconds += timelines_[static_cast<size_t>(item.device)]->seconds(timed.from, timed.to);
    item.weight_bytes += timed.weight_bytes;
  }
  timed_.clear();
}

void Profile::add_experts(const RoutingStats& before, const RoutingStats& after) {
  for (Item& item : items_) {
    if (item.moe_layer < 0) continue;
    const auto m = static_cast<size_t>(item.moe_layer);
    item.weight_bytes += chosen_bytes(before.layers()[m], after.layers()[m], expert_bytes_[m],
                                      *expert_places_[m], item.device);
    ++item.n_known;
  }
}

ProfileSummary Profile::summary(ProfileBy by) const {
  ProfileSummary summary{.n_pass = n_pass_, .n_token = n_token_, .wall_s = wall_s_};
  const auto add = [&](const Item& item) {
    if (item.n_call == 0) return;
    const int layer = by == ProfileBy::Layer ? item.layer : -1;
    const auto same = std::ranges::find_if(summary.rows, [&](const ProfileRow& row) {
      return row.operation == item.operation && row.device == item.device && row.layer == layer;
    });
    ProfileRow& row = same != summary.rows.end()
                          ? *same
                          : summary.rows.emplace_back(ProfileRow{
                                .operation = item.operation, .device = item.device, .layer = layer});
    row.n_call += item.n_call;
    row.seconds += item.seconds;
    if (item.n_known < item.n_call) row.weight_bytes.reset();
    if (row.weight_bytes) *row.weight_bytes += item.weight_bytes;
  };
  add(items_[kBatch]);
  for (size_t number = kSend; number < items_.size(); ++number) add(items_[number]);
  add(items_[kHead]);
  add(items_[kLogits]);
  return summary;
}

void Profile::clear() {
  for (Item& item : items_) item.clear();
  n_pass_ = n_token_ = 0;
  wall_s_ = 0;
}

}  // namespace sw
