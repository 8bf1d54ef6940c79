// SPDX-License-Identifier: MIT
#pragma once
#include <functional>
#include <thread>

namespace sw::cli {

/// From now on SIGINT and SIGTERM wait for a StopSignals. Called before any other thread is made, which then
/// does not get them either.
void block_stop_signals();

/// SIGINT and SIGTERM as calls on a thread of its own.
class StopSignals {
 public:
  /// The first signal calls `stop`; where that gives false, as there is nothing to be stopped yet, the
  /// program ends at once with code 0. At the second signal it ends as the signal ends one that does not
  /// catch it.
  explicit StopSignals(std::function<bool()> stop);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

 private:
  int signals_ = -1, quit_ = -1;  // file descriptors: what came, and the end of this object
  std::thread thread_;
};

}  // namespace sw::cli
