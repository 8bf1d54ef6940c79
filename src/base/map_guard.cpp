// SPDX-License-Identifier: MIT
#include "base/map_guard.h"

#include <atomic>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#include "base/error.h"

namespace sw {
namespace {

/// A watched mapping. `end` is written last and cleared first, so that the handler never sees half a slot.
struct Slot {
  std::atomic<uintptr_t> begin{0}, end{0};
  std::atomic<bool> damaged{false};
};

Slot slots[MapGuard::kMaxMaps];
std::mutex slots_mutex;
struct sigaction previous_action;

Slot* find_slot(uintptr_t address) {
  for (Slot& slot : slots) {
    const uintptr_t end = slot.end.load(std::memory_order_acquire);
    if (address < end && address >= slot.begin.load(std::memory_order_relaxed)) return &slot;
  }
  return nullptr;
}

/// Puts a page of zeros where the file has none any more; the read that failed is then tried again.
void on_bus_error(int, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  if (Slot* slot = find_slot(address)) {
    const auto page_bytes = static_cast<uintptr_t>(getpagesize());
    void* page = reinterpret_cast<void*>(address / page_bytes * page_bytes);
    slot->damaged.store(true);
    if (mmap(page, page_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED)
      return;
  }
  // Not ours: what would have happened without us happens when the read is tried again, or the signal sent.
  sigaction(SIGBUS, &previous_action, nullptr);
  const bool sent = info->si_code <= 0;
  if (sent) raise(SIGBUS);
}

void install_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previous_action);
  });
}

}  // namespace

MapGuard::MapGuard(const std::byte* data, size_t size_bytes) {
  install_handler();
  const std::lock_guard lock(slots_mutex);
  for (int i = 0; i < kMaxMaps; ++i) {
    if (slots[i].end.load() != 0) continue;
    slots[i].damaged.store(false);
    slots[i].begin.store(reinterpret_cast<uintptr_t>(data));
    slots[i].end.store(reinterpret_cast<uintptr_t>(data) + size_bytes, std::memory_order_release);
    slot_ = i;
    return;
  }
  throw SystemError({.what = "too many mapped files", .expected = "at most " + std::to_string(kMaxMaps)});
}

MapGuard::~MapGuard() {
  if (slot_ >= 0) slots[slot_].end.store(0);
}

MapGuard::MapGuard(MapGuard&& other) noexcept : slot_(std::exchange(other.slot_, -1)) {}

MapGuard& MapGuard::operator=(MapGuard&& other) noexcept {
  std::swap(slot_, other.slot_);
  return *this;
}

bool MapGuard::damaged() const { return slot_ >= 0 && slots[slot_].damaged.load(); }

}  // namespace sw
