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

/// Whether a file is this part, whole. What cannot be read is written anew.
bool is_there(const QuantizedPart& part) {
  std::error_code failed;
  if (!fs::is_regular_file(part.path, failed)) return false;
  try {
    const MappedFile mapped(part.path, Reading::Update);
    const std::string header = part.header.bytes();
    return mapped.bytes().size() == part.file_bytes &&
           std::ranges::equal(mapped.bytes().first(header.size()), std::as_bytes(std::span(header)));
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

int64_t count_parts(const GgufFile& file, const QuantizeOptions& options) {
  const int64_t n_claimed = options.keep_split ? file.metadata().get_int(gguf::kSplitCount).value_or(1) : 1;
  return std::max<int64_t>(1, n_claimed);
}

uint64_t request_fingerprint(const GgufFile& file, const QuantizeOptions& options,
                             const QuantizeReport& report) {
  Fingerprint all;
  for (const GgufTensor& tensor : file.tensors()) {
    all.add(tensor.name);
    all.add({tensor.data, tensor.size_bytes});
  }
  for (const QuantizedTensor& tensor : report.tensors) all.add(static_cast<uint64_t>(tensor.to));
  if (!options.importance) return all.value();
  for (const auto& [name, one] : options.importance->tensors) {
    all.add(name);
    all.add(std::as_bytes(std::span(one.sum_squares)));
    all.add(std::as_bytes(std::span(one.counts)));
  }
  return all.value();
}

std::vector<QuantizedPart> plan_files(const GgufFile& file, const fs::path& out, uint32_t file_type,
                                      uint64_t fingerprint, const QuantizeOptions& options,
                                      QuantizeReport& report) {
  const int64_t n_part = count_parts(file, options);
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
    if (n_part > 1) gguf::set_split_keys(i, n_part, std::ssize(report.tensors), fingerprint, part.header);
    for (; next < report.tensors.size() && (n_part == 1 || file.tensors()[next].split == i); ++next) {
      const QuantizedTensor& tensor = report.tensors[next];
      part.header.add_tensor(tensor.name, tensor.to, tensor.shape);
    }
    part.n_tensor = next - part.first_tensor;
    part.file_bytes = part.header.file_bytes();
    report.file_bytes += part.file_bytes;
    report.paths.push_back(path);
    parts.push_back(std::move(part));
  }
  return parts;
}

void find_finished(std::vector<QuantizedPart>& parts, QuantizeReport& report) {
  if (parts.size() == 1) return;
  for (QuantizedPart& part : parts) {
    part.finished = is_there(part);
    if (!part.finished) continue;
    ++report.n_kept;
    report.notes.push_back(part.path.string() + ": finished by an earlier run, and kept");
  }
}

}  // namespace sw
