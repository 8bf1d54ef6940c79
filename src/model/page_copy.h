// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "kv/cache.h"
#include "model/placed_model.h"

namespace sw {

/// Copies whole pages of a cache between its devices and the CPU's memory. For the engine's thread, between
/// two steps.
class PageCopy {
 public:
  /// `cache` is one that Forward::make_cache() made under this placement. Borrows both.
  PageCopy(const PlacedModel& placed, const Cache& cache) : placed_(placed), cache_(cache) {}

  /// What a page of group `g` holds, as Cache::for_each_part() has it: [plan.group_page_bytes(g)]. All is in
  /// `to` once wait() has returned.
  void out(int g, int32_t page, std::span<std::byte> to) const;
  /// The same back into a page. `from` is the caller's again once wait() has returned.
  void in(int g, int32_t page, std::span<const std::byte> from) const;
  /// Throws sw::SystemError where a device failed.
  void wait() const;

 private:
  Backend& device_of(int block) const;

  const PlacedModel& placed_;
  const Cache& cache_;
};

}  // namespace sw
