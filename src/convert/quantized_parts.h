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

/// How many files quantize() writes: with options.keep_split as many as the input has.
int64_t count_parts(const GgufFile& file, const QuantizeOptions& options);

/// Stands in every part, and differs with the input's weights, their new formats and the importance matrix,
/// so that parts of two requests are never mixed up. Cost: reads the whole input.
uint64_t request_fingerprint(const GgufFile& file, const QuantizeOptions& options,
                             const QuantizeReport& report);

/// The files for a report's types, with their headers. `out` is the file, or with options.keep_split what the
/// names of parts begin with; an ending .gguf, or that of a first part, is dropped. `fingerprint` is for
/// parts. Sets report.file_bytes and report.paths. Throws sw::Error where one of them is an input.
std::vector<QuantizedPart> plan_files(const GgufFile& file, const std::filesystem::path& out,
                                      uint32_t file_type, uint64_t fingerprint,
                                      const QuantizeOptions& options, QuantizeReport& report);

/// Marks parts that an earlier run of the same request has written, and notes them: files of the same size
/// that begin with the same header. A file that is no part is always made anew.
void find_finished(std::vector<QuantizedPart>& parts, QuantizeReport& report);

}  // namespace sw
