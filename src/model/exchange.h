// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <deque>

#include "model/device_state.h"
#include "model/program.h"

namespace sw {

/// How results go from one device to another. A process on another machine can stand where a GPU stands
/// here: to a program, all are devices that it sends to and adds the parts of.
class Exchange {
 public:
  virtual ~Exchange() = default;
  /// Queues the copy of the first `n_token` rows, as program::Send says.
  virtual void send(const program::Send& send, int64_t n_token) = 0;
  virtual void mark(int device) = 0;
  virtual void await(const program::Await& await) = 0;
  /// Residual += Part of the first `n_token` rows, on one device.
  virtual void add_part(int device, int64_t n_token) = 0;
};

/// Between the devices of this process, over their backends. No allocation.
class LocalExchange : public Exchange {
 public:
  /// `states` by device; must outlive this.
  explicit LocalExchange(std::deque<DeviceState>& states) : states_(states) {}

  void send(const program::Send& send, int64_t n_token) override;
  void mark(int device) override;
  void await(const program::Await& await) override;
  void add_part(int device, int64_t n_token) override;
  /// Copies from one device to another since the start.
  uint64_t n_sent() const { return n_sent_; }

 private:
  DeviceState& state(int device) { return states_[static_cast<size_t>(device)]; }

  std::deque<DeviceState>& states_;
  int router_ = 0;  // the device that sent a layer's routing last
  uint64_t n_sent_ = 0;
};

}  // namespace sw
