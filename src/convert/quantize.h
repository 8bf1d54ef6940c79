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
#include "formats/importance.h"
#include "quant/type.h"
#include "tensor/shape.h"

namespace sw {

/// How large a file may become at most; one of the two.
struct SizeTarget {
  double bits_per_weight = 0;  ///< of all tensors
  uint64_t file_bytes = 0;     ///< of the whole file, or of all parts
};

struct QuantizeOptions {
  std::vector<TensorTypeRule> tensor_types = {};  ///< before the mix; the first that finds a name counts
  std::optional<Type> output_type = {};     ///< before those; of the token embedding too where that is both
  std::optional<Type> embedding_type = {};  ///< of the token embedding, before all others
  std::optional<SizeTarget> target = {};    ///< in place of a mix: types by measured errors
  const ImportanceMatrix* importance = nullptr;  ///< how much each column of a tensor counts; borrowed
  std::string importance_name = {};              ///< its file; the new file has the name without folders
  bool allow_requantize = false;                 ///< re-encode tensors that lost precision already
  bool keep_split = false;                       ///< as many parts as the input has, each with its tensors
  bool dry_run = false;                          ///< report only: write nothing
  int n_thread = 1;
  Progress progress = {};     ///< bytes of tensors written, of all
  Progress on_measured = {};  ///< bytes of tensors whose errors were measured, of all; see `target`
};

/// What becomes of one tensor.
struct QuantizedTensor {
  std::string name = {};
  Shape shape = {};
  Type from = Type::F32, to = Type::F32;
  uint64_t from_bytes = 0, to_bytes = 0;
  bool open = false;    ///< its type is to be chosen by measured errors
  bool output = false;  ///< it makes the logits
};

struct QuantizeReport {
  std::vector<QuantizedTensor> tensors = {};      ///< in the order of the file
  std::vector<std::string> notes = {};            ///< fallbacks and the like, one line each
  std::vector<std::string> warnings = {};         ///< what a user should know about the result, one line each
  uint64_t from_bytes = 0, to_bytes = 0;          ///< of all tensors
  uint64_t file_bytes = 0;                        ///< of the whole file, or of all parts: headers too
  std::vector<std::filesystem::path> paths = {};  ///< the file, or all parts
  size_t n_kept = 0;                              ///< parts that an earlier run has written
};

/// 8 * report.to_bytes over the weights of all tensors.
double bits_per_weight(const QuantizeReport& report);

/// Re-encodes the weights of a GGUF file as a mix ("Q4_K_M") or a plain format ("Q8_0") says, or, where
/// options.target is set and `mix_name` is empty, as measured errors say (target_size.h); vectors and routers
/// stay as they are. Metadata is kept, but for general.file_type, general.quantization_version and the keys
/// of a split, which the output is not unless options.keep_split. The same bytes for any number of threads.
/// Holds one output tensor in memory at a time. `out` appears only when it is complete; of parts each does,
/// the first one last, and parts that an earlier run of the same request finished are kept.
/// With an importance matrix errors are weighed by it, expert by expert; tensors and experts of which it
/// knows nothing are encoded as without one, and a note says so.
/// Throws sw::Error: unknown mix, bad rule, an importance matrix of another model, a target that cannot be
/// met, a tensor that cannot be re-encoded, an output that is the input. sw::NoSpaceError where the disk has
/// no room, before the work.
QuantizeReport quantize(const std::filesystem::path& in, const std::filesystem::path& out,
                        std::string_view mix_name, const QuantizeOptions& options = {});

}  // namespace sw
