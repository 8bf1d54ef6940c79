// SPDX-License-Identifier: MIT
#include "convert/quantize.h"

#include <fmt/core.h>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/input_files.h"
#include "base/memory.h"
#include "base/thread_pool.h"
#include "convert/encode.h"
#include "convert/quantize_importance.h"
#include "convert/quantize_plan.h"
#include "convert/quantize_target.h"
#include "convert/quantized_parts.h"
#include "tensor/buffer.h"

namespace sw {
namespace {

namespace fs = std::filesystem;

/// Bytes that are still to be written.
uint64_t bytes_to_write(const std::vector<QuantizedPart>& parts) {
  uint64_t n = 0;
  for (const QuantizedPart& part : parts) n += part.finished ? 0 : part.file_bytes;
  return n;
}

/// The size is known before the work: minutes for a file that finds no room help nobody.
void check_room(const fs::path& path, uint64_t needed_bytes) {
  std::error_code failed;
  const fs::space_info space = fs::space(fs::weakly_canonical(fs::absolute(path)).parent_path(), failed);
  if (failed || space.available >= needed_bytes) return;
  throw NoSpaceError({.what = "the disk has no room for the file",
                      .where = path.string(),
                      .expected = fmt::format("{:.1f} MiB", mib(needed_bytes)),
                      .got = fmt::format("{:.1f} MiB free", mib(space.available))});
}

/// Bytes of weights that a target comes to.
uint64_t target_bytes(const SizeTarget& target, const QuantizeReport& report) {
  if (target.file_bytes > 0) return target.file_bytes;
  int64_t n_weight = 0;
  for (const QuantizedTensor& tensor : report.tensors) n_weight += tensor.shape.n_elements();
  return static_cast<uint64_t>(target.bits_per_weight * static_cast<double>(n_weight) / 8);
}

/// All matrices of a tensor, each with what is known of its inputs.
std::optional<BadWeight> encode(const QuantizedTensor& tensor, const std::byte* src,
                                const Importance* importance, std::byte* dst, ThreadPool& pool) {
  const int64_t n_matrix = importance ? tensor.shape.n_matrices() : 1, n_col = tensor.shape.n_cols();
  const int64_t n_row = tensor.shape.n_rows() / n_matrix;
  for (int64_t m = 0; m < n_matrix; ++m) {
    const std::vector<float> means = importance ? importance->means(m, n_col) : std::vector<float>();
    const auto offset = [&](Type type) { return row_bytes(type, n_col) * static_cast<size_t>(m * n_row); };
    std::optional<BadWeight> bad =
        reencode({tensor.from, src + offset(tensor.from), n_row, n_col}, tensor.to, dst + offset(tensor.to),
                 pool, means.empty() ? nullptr : means.data());
    if (!bad) continue;
    bad->row += m * n_row;
    return bad;
  }
  return std::nullopt;
}

class Writer {
 public:
  Writer(const GgufFile& file, const QuantizeReport& report, const QuantizeOptions& options, ThreadPool& pool)
      : file_(file), report_(report), options_(options), pool_(pool) {}

  void write(QuantizedPart& part) {
    if (part.finished) {
      for (size_t i = 0; i < part.n_tensor; ++i) count(report_.tensors[part.first_tensor + i]);
      return;
    }
    GgufWriter writer(part.path, std::move(part.header));
    for (size_t i = part.first_tensor; i < part.first_tensor + part.n_tensor; ++i) {
      const QuantizedTensor& tensor = report_.tensors[i];
      Buffer bytes(tensor.to_bytes);
      const Importance* importance = importance_of(options_, tensor.name);
      if (const auto bad = encode(tensor, file_.tensors()[i].data, importance, bytes.data(), pool_))
        naming_file(file_.name(), [&]() -> void { refuse_bad_weight(*bad, tensor.to, tensor.name); });
      writer.write_tensor({bytes.data(), bytes.size_bytes()});
      count(tensor);
    }
    file_.check_unchanged();  // or what was read may be wrong
    writer.finish();
  }

 private:
  void count(const QuantizedTensor& tensor) {
    done_bytes_ += tensor.to_bytes;
    if (options_.progress) options_.progress(done_bytes_, report_.to_bytes);
  }

  const GgufFile& file_;
  const QuantizeReport& report_;
  const QuantizeOptions& options_;
  ThreadPool& pool_;
  uint64_t done_bytes_ = 0;
};

}  // namespace

QuantizeReport quantize(const fs::path& in, const fs::path& out, std::string_view mix_name,
                        const QuantizeOptions& options) {
  SW_ASSERT(!options.target || mix_name.empty());
  const QuantMix* mix = options.target ? nullptr : &quant_mix(mix_name);
  const InputProtection protection;
  const GgufFile file(in);
  refuse_lone_part(file);
  QuantizeReport report = plan_types(file, mix, options);
  check_importance(file, options, report);
  ThreadPool pool(options.n_thread);
  // Where all goes is known before the types are, and refused before they are measured.
  std::vector<QuantizedPart> parts = plan_files(file, out, 0, 0, options, report);
  for (const QuantizedPart& part : parts) {
    if (!options.dry_run) check_writable(part.path, FileKind::Gguf);
  }
  if (options.target) {
    if (!options.dry_run) check_room(parts.front().path, target_bytes(*options.target, report));
    choose_types(file, options, pool, report);
  }
  const bool is_split = parts.size() > 1 && !options.dry_run;
  parts = plan_files(file, out, mix ? mix->file_type : file_type_of(report),
                     is_split ? request_fingerprint(file, options, report) : 0, options, report);
  if (options.dry_run) return report;
  find_finished(parts, report);
  check_room(parts.front().path, bytes_to_write(parts));
  // Without its first part a split cannot be opened: none looks whole before it is.
  if (parts.size() > 1 && !parts.front().finished) fs::remove(parts.front().path);
  Writer writer(file, report, options, pool);
  for (size_t i = 1; i < parts.size(); ++i) writer.write(parts[i]);
  writer.write(parts.front());
  return report;
}

}  // namespace sw
