// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <vector>

#include "convert/quantize.h"
#include "formats/gguf.h"

namespace sw {

/// A file that quantize() writes: the whole model, or a part of it.
struct QuantizedPart {
  std::filesystem::path path = {};
  size_t first_tensor = 0, n_tensor = 0;  ///< of the report's
  GgufHeader header;
  uint64_t file_bytes = 0;
  bool finished = false;  ///< an earlier run of the same request wrote it
};

/// The files for a report's types, with their headers; notes those that are finished already. `out` is the
/// file, or with options.keep_split what the names of parts begin with; an ending .gguf, or that of a first
/// part, is dropped. Sets report.file_bytes and report.paths. Throws sw::Error where one of them is an input.
std::vector<QuantizedPart> plan_files(const GgufFile& file, const std::filesystem::path& out,
                                      uint32_t file_type, const QuantizeOptions& options,
                                      QuantizeReport& report);

}  // namespace sw
