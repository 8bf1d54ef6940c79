// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "quant/type.h"

namespace sw {

struct ConvertOptions {
  /// F32, F16, BF16 or Q8_0; nothing keeps each tensor's own float type ("auto"). Vectors, routers and
  /// router biases are F32 in any case.
  std::optional<Type> out_type = {};
  std::string name = {};  ///< general.name; empty: made from the folder's name
  int n_thread = 1;
  Progress progress = {};  ///< bytes of tensors written, of all
};

struct ConvertReport {
  std::vector<std::string> notes = {};  ///< what a user should know, one line each
  size_t n_tensors = 0;
  uint64_t tensor_bytes = 0;
};

/// "f32", "f16", "bf16", "q8_0" (any case), or "auto" for nothing. Throws sw::Error for another.
std::optional<Type> parse_out_type(std::string_view name);

/// Makes a GGUF file of a Hugging Face folder (config.json, *.safetensors, tokenizer.json or tiktoken.model,
/// tokenizer_config.json, generation_config.json if there), as the architecture's declaration says; keys
/// and tensor names are mainline's. Every tensor of the checkpoint is used or the conversion fails.
/// Holds one output tensor in memory at a time. `out` appears only when it is complete.
/// Throws sw::Error naming file and key or tensor.
ConvertReport convert_hf(const std::filesystem::path& hf_dir, const std::filesystem::path& out,
                         const ConvertOptions& options = {});

}  // namespace sw
