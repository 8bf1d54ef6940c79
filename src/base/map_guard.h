// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>

namespace sw {

/// Makes reads of a mapped file survive when the file shrinks: where the system would end the program
/// with SIGBUS, the missing page reads as zeros and the guard remembers. Owners look at damaged() after
/// they read, and throw. Any number of threads may read.
class MapGuard {
 public:
  MapGuard() = default;
  /// Throws sw::SystemError where more files are mapped than the guard can watch (kMaxMaps).
  MapGuard(const std::byte* data, size_t size_bytes);
  ~MapGuard();
  MapGuard(MapGuard&& other) noexcept;
  MapGuard& operator=(MapGuard&& other) noexcept;

  bool damaged() const;

  static constexpr int kMaxMaps = 4096;

 private:
  int slot_ = -1;
};

}  // namespace sw
