// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <vector>

#include "support/byte_builder.h"

namespace sw::testing {

struct BrokenFile {
  std::string name = {};  ///< with extension: "zero_dimension.gguf", "gap.safetensors"
  std::string bytes = {};
  std::string says = {};  ///< what the error line must contain
};

/// Files that must be refused with one line, each broken in one way.
std::vector<BrokenFile> broken_files();

/// A sound GGUF file with every value type and three tensors; it ends with its last tensor's last byte.
ByteBuilder sound_gguf();
/// Where the data section of sound_gguf() begins.
size_t sound_gguf_header_bytes();

/// Header length, header and `n_data_bytes` of data.
std::string safetensors_bytes(const std::string& header, size_t n_data_bytes);
/// A sound safetensors file with three tensors, metadata and padding.
std::string sound_safetensors();

}  // namespace sw::testing
