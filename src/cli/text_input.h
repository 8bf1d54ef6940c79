// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <string>

namespace sw::cli {

/// A text or prompt that a flag names, its bytes unchanged: a file, a pipe (`<(command)`), "-", the standard
/// input, or, where no file has that name, "sample", the stories that come with the program. Throws sw::Error
/// where there is none, or where it is larger than `max_bytes`.
std::string read_text(const std::string& name, uint64_t max_bytes = uint64_t{1} << 32);

}  // namespace sw::cli
