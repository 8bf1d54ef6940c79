// SPDX-License-Identifier: MIT
#include "convert/split.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <memory>
#include <span>

#include "base/error.h"
#include "base/input_files.h"
#include "convert/fingerprint.h"
#include "formats/gguf.h"
#include "formats/gguf_split.h"

namespace sw {
namespace {

namespace fs = std::filesystem;

/// Tensors of parts without names yet; a first part without any stands before those of the loop.
std::vector<SplitPart> plan_parts(const GgufFile& file, const SplitOptions& options) {
  constexpr uint64_t kAny = std::numeric_limits<uint64_t>::max();
  const uint64_t max_bytes = options.max_bytes ? options.max_bytes : kAny;
  const uint64_t max_tensors = options.max_tensors ? options.max_tensors : kAny;
  std::vector<SplitPart> parts(options.first_without_tensors ? 2 : 1);
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    const uint64_t n_bytes = file.tensors()[i].size_bytes;
    const SplitPart& last = parts.back();
    const bool full = last.n_tensor > 0 && (last.n_tensor >= max_tensors ||
                                            n_bytes > max_bytes - std::min(max_bytes, last.tensor_bytes));
    if (full) parts.push_back({.first_tensor = i});
    ++parts.back().n_tensor;
    parts.back().tensor_bytes += n_bytes;
  }
  return parts;
}

/// Two models differ in it, however alike they are.
uint64_t fingerprint(const GgufFile& file) {
  Fingerprint model;
  model.add(file, 1);
  return model.value();
}

/// Appends tensors to a file's list, and later their bytes.
void list_tensors(const GgufFile& file, std::span<const GgufTensor> tensors, GgufWriter& writer) {
  for (const GgufTensor& t : tensors) writer.add_tensor(t.name, file.require_type(t), t.shape);
}

class Copier {
 public:
  Copier(const GgufFile& file, const Progress& progress) : progress_(progress) {
    for (const GgufTensor& tensor : file.tensors()) total_bytes_ += tensor.size_bytes;
  }
  void copy(std::span<const GgufTensor> tensors, GgufWriter& writer) {
    for (const GgufTensor& tensor : tensors) {
      writer.write_tensor({tensor.data, tensor.size_bytes});
      done_bytes_ += tensor.size_bytes;
      if (progress_) progress_(done_bytes_, total_bytes_);
    }
  }

 private:
  const Progress& progress_;
  uint64_t done_bytes_ = 0, total_bytes_ = 0;
};

void copy_metadata(const GgufFile& file, GgufWriter& writer) {
  for (const auto& [key, value] : file.metadata().entries()) {
    if (!gguf::is_split_key(key)) writer.set(key, value);
  }
}

}  // namespace

uint64_t parse_size(const std::string& text, const char* flag) {
  uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  const std::string_view unit(end, text.data() + text.size());
  const uint64_t unit_bytes = unit == "M" ? 1'000'000 : unit == "G" ? 1'000'000'000 : 0;
  if (error == std::errc() && n > 0 && unit_bytes > 0 &&
      n <= std::numeric_limits<int64_t>::max() / unit_bytes)
    return n * unit_bytes;
  throw Error({.what = "not a size of a file",
               .where = flag,
               .expected = "a whole number and M or G, as in 2G",
               .got = text});
}

std::vector<SplitPart> split_gguf(const fs::path& in, const fs::path& prefix, const SplitOptions& options) {
  const InputProtection protection;
  const GgufFile file(in);
  std::vector<SplitPart> parts = plan_parts(file, options);
  const int64_t n_part = std::ssize(parts);
  if (n_part > gguf::kMaxParts) {
    throw Error({.what = "too many parts",
                 .where = in.string(),
                 .expected = "at most " + std::to_string(gguf::kMaxParts),
                 .got = std::to_string(n_part)});
  }
  for (int64_t i = 0; i < n_part; ++i) {
    SplitPart& part = parts[static_cast<size_t>(i)];
    part.path = gguf::split_path(prefix, i, n_part);
    refuse_input_as_output(part.path);
  }
  if (options.dry_run) return parts;

  const uint64_t model = fingerprint(file);
  Copier copier(file, options.progress);
  std::vector<std::unique_ptr<GgufWriter>> writers;
  for (const SplitPart& part : parts) {
    GgufWriter& writer = *writers.emplace_back(std::make_unique<GgufWriter>(part.path));
    const size_t i = writers.size() - 1;
    if (i == 0) copy_metadata(file, writer);
    gguf::set_split_keys(static_cast<int64_t>(i), n_part, std::ssize(file.tensors()), model, writer);
    const auto tensors = std::span(file.tensors()).subspan(part.first_tensor, part.n_tensor);
    list_tensors(file, tensors, writer);
    copier.copy(tensors, writer);
    writer.seal();
  }
  file.check_unchanged();  // or what was read may be wrong
  // Without its first part a split cannot be opened, so none looks whole before it is.
  for (size_t i = writers.size(); i-- > 0;) writers[i]->finish();
  return parts;
}

void merge_gguf(const fs::path& in, const fs::path& out, const Progress& progress) {
  const InputProtection protection;
  const GgufFile file(in);
  if (file.metadata().get_int(gguf::kSplitCount).value_or(0) <= 1) {
    throw Error({.what = "this file is not a part of a split model", .where = file.name()});
  }
  GgufWriter writer(out);
  copy_metadata(file, writer);
  list_tensors(file, file.tensors(), writer);
  Copier(file, progress).copy(file.tensors(), writer);
  file.check_unchanged();
  writer.finish();
}

}  // namespace sw
