// SPDX-License-Identifier: MIT
#include "server/key_limits.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <mutex>

#include "server/api_error.h"

namespace sw::server {
namespace {

[[noreturn]] void refuse(const std::string& message, double retry_after_s) {
  throw ApiError({.status = 429,
                  .message = message,
                  .code = "rate_limit_exceeded",
                  .retry_after_s = std::max(1, static_cast<int>(std::ceil(retry_after_s)))});
}

}  // namespace

struct KeyLimits::Counts {
  struct Key {
    ApiKey limits = {};
    double n_free = 0;  // requests that may come now
    Clock::time_point counted = {};
    int64_t n_now = 0;
  };
  std::mutex mutex = {};
  std::vector<Key> keys = {};
};

KeyLimits::KeyLimits(const std::vector<ApiKey>& keys) : counts_(std::make_shared<Counts>()) {
  for (const ApiKey& key : keys)
    counts_->keys.push_back({.limits = key, .n_free = static_cast<double>(key.n_per_minute)});
}

KeyLimits::~KeyLimits() = default;

std::shared_ptr<void> KeyLimits::take(size_t key, Clock::time_point now) {
  const std::lock_guard lock(counts_->mutex);
  Counts::Key& k = counts_->keys[key];
  if (k.limits.n_at_once > 0 && k.n_now >= k.limits.n_at_once)
    refuse(fmt::format("this key may have {} requests at one time", k.limits.n_at_once), 1);
  if (k.limits.n_per_minute > 0) {
    const auto most = static_cast<double>(k.limits.n_per_minute);
    const double per_second = most / 60;
    if (k.counted != Clock::time_point{}) {
      const std::chrono::duration<double> since = now - k.counted;
      k.n_free = std::min(most, k.n_free + per_second * since.count());
    }
    k.counted = now;
    if (k.n_free < 1)
      refuse(fmt::format("this key may have {} requests a minute", k.limits.n_per_minute),
             (1 - k.n_free) / per_second);
    k.n_free -= 1;
  }
  ++k.n_now;
  return {nullptr, [counts = counts_, key](void*) {
            const std::lock_guard end(counts->mutex);
            --counts->keys[key].n_now;
          }};
}

}  // namespace sw::server
