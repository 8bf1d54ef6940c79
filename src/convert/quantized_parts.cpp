// SPDX-License-Identifier: MIT
#include "convert/quantized_parts.h"

#include <algorithm>
#include <fmt/core.h>
#include <iterator>

#include "base/error.h"
#include "base/input_files.h"
#include "convert/encode.h"
#include "convert/fingerprint.h"
#include "convert/quantize_importance.h"
#include "formats/gguf_split.h"

namespace sw {
namespace {

namespace fs = std::filesystem;

/// Differs for all that decides the bytes of any part, so that parts of two requests are never mixed up.
uint64_t fingerprint(const GgufFile& file, uint32_t file_type, const QuantizeOptions& options,
                     const QuantizeReport& report) {
  constexpr uint64_t kSamples = 64;
  Fingerprint all;
  all.add(file, kSamples);
  all.add(uint64_t{file_type});
  for (const QuantizedTensor& tensor : report.tensors) all.add(static_cast<uint64_t>(tensor.to));
  if (!options.importance) return all.value();
  all.add(options.importance_name);
  for (const auto& [name, one] : options.importance->tensors) {
    all.add(name);
    all.add(std::as_bytes(std::span(one.sum_squares)));
    all.add(std::as_bytes(std::span(one.counts)));
  }
  return all.value();
}

void copy_metadata(const GgufFile& file, uint32_t file_type, GgufHeader& header) {
  for (const auto& [key, value] : file.metadata().entries()) {
    if (!gguf::is_split_key(key)) header.set(key, value);
  }
  header.set("general.quantization_version", GgufValue::u32(kQuantizationVersion));
  header.set("general.file_type", GgufValue::u32(file_type));
}

fs::path prefix_of(const fs::path& out, int64_t n_part) {
  if (const auto prefix = gguf::split_prefix(out, 0, n_part)) return *prefix;
  return out.extension() == ".gguf" ? fs::path(out).replace_extension() : out;
}

/// Whether a file is this part, whole. What cannot be read as one is written anew.
bool is_finished(const QuantizedPart& part, int64_t i, uint64_t model) {
  std::error_code failed;
  if (!fs::exists(part.path, failed)) return false;
  try {
    const MappedFile mapped(part.path, Reading::Update);
    if (mapped.bytes().size() != part.file_bytes) return false;
    const GgufMetadata metadata = GgufFile(mapped.bytes(), part.path.string()).metadata();
    return metadata.get_int(gguf::kSplitNo) == i &&
           metadata.get_int(gguf::kSplitFingerprint) == static_cast<int64_t>(model);
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::vector<QuantizedPart> plan_files(const GgufFile& file, const fs::path& out, uint32_t file_type,
                                      const QuantizeOptions& options, QuantizeReport& report) {
  const int64_t n_claimed = options.keep_split ? file.metadata().get_int(gguf::kSplitCount).value_or(1) : 1;
  const int64_t n_part = std::max<int64_t>(1, n_claimed);
  const uint64_t model = n_part > 1 ? fingerprint(file, file_type, options, report) : 0;
  std::vector<QuantizedPart> parts;
  size_t next = 0;
  report.file_bytes = 0;
  report.paths.clear();
  for (int64_t i = 0; i < n_part; ++i) {
    const fs::path path = n_part > 1 ? gguf::split_path(prefix_of(out, n_part), i, n_part) : out;
    refuse_input_as_output(path);
    QuantizedPart part{.path = path, .first_tensor = next, .header = GgufHeader(path.string())};
    if (i == 0) {
      copy_metadata(file, file_type, part.header);
      describe_importance(options, part.header);
    }
    if (n_part > 1) gguf::set_split_keys(i, n_part, std::ssize(report.tensors), model, part.header);
    for (; next < report.tensors.size() && (n_part == 1 || file.tensors()[next].split == i); ++next) {
      const QuantizedTensor& tensor = report.tensors[next];
      part.header.add_tensor(tensor.name, tensor.to, tensor.shape);
    }
    part.n_tensor = next - part.first_tensor;
    part.file_bytes = part.header.file_bytes();
    part.finished = n_part > 1 && is_finished(part, i, model);
    report.file_bytes += part.file_bytes;
    report.paths.push_back(path);
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace sw
