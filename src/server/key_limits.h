// SPDX-License-Identifier: MIT
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sw::server {

/// A key that requests may have, and how much those that have it may ask for.
struct ApiKey {
  std::string hash = {};     ///< SHA-256 of the key, in hexadecimal
  int64_t n_per_minute = 0;  ///< requests; 0: any number
  int64_t n_at_once = 0;     ///< requests, those that wait included; 0: any number
};

/// Counts what each key asks for. Any thread.
class KeyLimits {
 public:
  using Clock = std::chrono::steady_clock;

  explicit KeyLimits(const std::vector<ApiKey>& keys);
  ~KeyLimits();
  KeyLimits(const KeyLimits&) = delete;
  KeyLimits& operator=(const KeyLimits&) = delete;

  /// Counts one request of a key, which is under way as long as the result lives. As many as a minute has may
  /// come at once; then one more each time that its share of the minute is over. Throws ApiError: 429, with
  /// the time after which one more is free.
  std::shared_ptr<void> take(size_t key, Clock::time_point now = Clock::now());

 private:
  struct Counts;
  std::shared_ptr<Counts> counts_;  // shared with what is under way
};

}  // namespace sw::server
