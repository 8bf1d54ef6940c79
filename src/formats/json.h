// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace sw {

/// The subtype of binary values that are the decimal digits of an integer, perhaps behind a minus sign.
inline constexpr uint64_t kIntegerDigits = 1;

/// Parses JSON of an untrusted file: objects and arrays nested at most 64 deep (so that the result can be
/// copied and dropped without a deep stack) and no name twice in one object. Throws sw::Error naming
/// `file_name` and the offset in the file, where the text begins at `file_offset`.
nlohmann::json parse_json(std::string_view text, const std::string& file_name, uint64_t file_offset = 0);

/// The same with the members of objects in the order of the text, as chat templates print them; an object may
/// have at most 4096. An integer beyond 64 bits is kept as its digits: a binary value of subtype
/// kIntegerDigits, which JSON itself cannot hold. (parse_json() gives the nearest float, as the library
/// does.)
nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& file_name);

}  // namespace sw
