// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <string>

namespace sw {

/// Bytes that this process may still take: the least of what the machine has left, the control group and
/// `ulimit -v` allow. Reads a few small files of the system: not for hot paths.
uint64_t available_memory_bytes();
/// Of the whole machine.
uint64_t total_memory_bytes();

/// As people read sizes.
constexpr double mib(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

/// Throws sw::SystemError "not enough memory: needs X MiB, have Y MiB".
[[noreturn]] void refuse_memory(uint64_t needed_bytes, const std::string& where, const std::string& hint);

}  // namespace sw
