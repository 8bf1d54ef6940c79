// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "convert/type_rules.h"
#include "quant/type.h"
#include "tensor/shape.h"

namespace sw {

struct QuantizeOptions {
  std::vector<TensorTypeRule> tensor_types = {};  ///< before the mix; the first that finds a name counts
  std::optional<Type> output_type = {};     ///< before those; of the token embedding too where that is both
  std::optional<Type> embedding_type = {};  ///< of the token embedding, before all others
  bool allow_requantize = false;            ///< re-encode tensors that lost precision already
  bool dry_run = false;                     ///< report only: read the header, write nothing
  int n_thread = 1;
  Progress progress = {};  ///< bytes of tensors written, of all
};

/// What becomes of one tensor.
struct QuantizedTensor {
  std::string name = {};
  Shape shape = {};
  Type from = Type::F32, to = Type::F32;
  uint64_t from_bytes = 0, to_bytes = 0;
};

struct QuantizeReport {
  std::vector<QuantizedTensor> tensors = {};  ///< in the order of the file
  std::vector<std::string> notes = {};        ///< fallbacks and the like, one line each
  uint64_t from_bytes = 0, to_bytes = 0;      ///< of all tensors
};

/// Re-encodes the weights of a GGUF file as a mix ("Q4_K_M") or a plain format ("Q8_0") says; vectors and
/// routers stay as they are. Metadata is kept, but for general.file_type, general.quantization_version and
/// the keys of a split, which the output is not. The same bytes for any number of threads. Holds one
/// output tensor in memory at a time. `out` appears only when it is complete.
/// Throws sw::Error: unknown mix, bad rule, or a tensor that cannot be re-encoded.
QuantizeReport quantize(const std::filesystem::path& in, const std::filesystem::path& out,
                        std::string_view mix_name, const QuantizeOptions& options = {});

}  // namespace sw
