// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace sw {

struct SplitOptions {
  uint64_t max_bytes = 0;  ///< tensor data of a part, its header comes on top; 0: any
  size_t max_tensors = 0;  ///< of a part; 0: any
  bool first_without_tensors = false;
  bool dry_run = false;  ///< read the header, write nothing
  Progress progress = {};
};

/// A part as it was, or would be, written.
struct SplitPart {
  std::filesystem::path path = {};
  size_t first_tensor = 0, n_tensor = 0;  ///< in the order of the model's tensors
  uint64_t tensor_bytes = 0;
};

/// "300M", "2G": millions or thousands of millions of bytes. Throws sw::Error that names `flag`.
uint64_t parse_size(const std::string& text, const char* flag);

/// Cuts a GGUF file (or another split) into PREFIX-00001-of-0000N.gguf and so on, tensors in their order, as
/// many a part as the limits allow but at least one. The parts get their names when all are complete, the
/// first part's the last. Throws sw::Error for more than 65,535 parts or a tensor of unknown format.
std::vector<SplitPart> split_gguf(const std::filesystem::path& in, const std::filesystem::path& prefix,
                                  const SplitOptions& options = {});

/// Makes one GGUF file of the parts of a split, `in` being the first. A file of ours that was split comes out
/// with the bytes that it had. `out` appears only when it is complete.
void merge_gguf(const std::filesystem::path& in, const std::filesystem::path& out,
                const Progress& progress = {});

}  // namespace sw
