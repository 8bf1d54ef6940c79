// SPDX-License-Identifier: MIT
#pragma once
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "kernels/backend.h"
#include "kernels/cuda/event.h"

/// Copies from one GPU's memory to another's.
namespace sw::cuda {

/// Lets work of `to` read the memory of `from`'s GPU. Returns why the machine does not allow that; empty
/// where it does.
std::string open_peer_access(const Queue& to, const Queue& from);

/// Queues the copies on `to`, whose GPU reaches the memory that they come from. Few bytes are read by a
/// kernel, which starts sooner than a copy engine.
void copy_directly(const Queue& to, std::span<const DeviceCopy> copies);

struct PinnedDelete {
  void operator()(std::byte* memory) const;
};
using PinnedMemory = std::unique_ptr<std::byte, PinnedDelete>;

/// Copies through pinned memory of the CPU, in pieces: while one leaves it, the next comes in.
class HostCopies {
 public:
  /// Takes the memory. Throws sw::SystemError.
  HostCopies(const Queue& from, const Queue& to);
  HostCopies(const HostCopies&) = delete;
  HostCopies& operator=(const HostCopies&) = delete;

  /// Queues the copies, on both queues.
  void copy(std::span<const DeviceCopy> copies);

 private:
  struct Piece {
    std::byte* memory = nullptr;
    Event filled, taken;
  };
  void copy(const DeviceCopy& copy, Piece& piece);

  const Queue &from_, &to_;
  PinnedMemory memory_;
  std::array<Piece, 2> pieces_;
  size_t next_ = 0;
};

}  // namespace sw::cuda
