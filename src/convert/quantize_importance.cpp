// SPDX-License-Identifier: MIT
#include "convert/quantize_importance.h"

#include <algorithm>
#include <fmt/format.h>
#include <span>

#include "base/error.h"

namespace sw {
namespace {

[[noreturn]] void refuse_matrix(const QuantizeOptions& options, const std::string& where,
                                const std::string& expected, const std::string& got) {
  throw Error({.what = "the importance matrix is of another model",
               .where = options.importance_name + where,
               .expected = expected,
               .got = got});
}

/// A matrix that was made as the model does not run by itself weighs experts and columns by another use.
void warn_of_routing(const GgufFile& file, const ImportanceMatrix& matrix, QuantizeReport& report) {
  constexpr const char* kOther = "the importance matrix was made with another routing than the model's own: ";
  if (!matrix.routing)
    report.notes.emplace_back("the importance matrix does not say with which routing it was made");
  if (matrix.routing && !matrix.routing->empty())
    report.warnings.push_back(kOther + printable(*matrix.routing));
  const std::map<std::string, std::string> own = expert_keys(file.metadata());
  for (const auto& [key, value] : matrix.expert_keys) {
    const auto at = own.find(key);
    const std::string here = at == own.end() ? "nothing" : at->second;
    if (here == value) continue;
    report.warnings.push_back(
        fmt::format("{}{} {} (the model: {})", kOther, printable(key), printable(value), printable(here)));
  }
}

/// "3 tensors (a, b, c): ", the first few by name.
std::string list_names(const std::vector<std::string>& names) {
  constexpr size_t kMostShown = 4;
  const std::span<const std::string> shown = std::span(names).first(std::min(kMostShown, names.size()));
  return fmt::format("{} tensor{} ({}{}):", names.size(), names.size() == 1 ? "" : "s",
                     fmt::join(shown, ", "), names.size() > kMostShown ? ", ..." : "");
}

}  // namespace

const Importance* importance_of(const QuantizeOptions& options, const std::string& tensor) {
  if (!options.importance) return nullptr;
  const auto found = options.importance->tensors.find(tensor);
  return found == options.importance->tensors.end() ? nullptr : &found->second;
}

void check_importance(const GgufFile& file, const QuantizeOptions& options, QuantizeReport& report) {
  if (!options.importance) return;
  const ImportanceMatrix& matrix = *options.importance;
  const std::string arch = file.metadata().get_string("general.architecture").value_or("");
  if (!matrix.architecture.empty() && matrix.architecture != arch) {
    refuse_matrix(options, "", arch, matrix.architecture);
  }
  int64_t n_known = 0;
  std::vector<std::string> without;
  for (const QuantizedTensor& tensor : report.tensors) {
    const Importance* one = importance_of(options, tensor.name);
    const int64_t n_matrix = tensor.shape.n_matrices(), n_col = tensor.shape.n_cols();
    if (one && !one->fits(n_matrix, n_col)) {
      refuse_matrix(options, ", tensor " + printable(tensor.name),
                    fmt::format("{} x {} values", n_matrix, n_col),
                    fmt::format("{} values, {} counts", one->sum_squares.size(), one->counts.size()));
    }
    n_known += one != nullptr;
    const bool is_encoded = tensor.open || (traits(tensor.to).quantized && tensor.to != tensor.from);
    if (!one && is_encoded) without.push_back(printable(tensor.name));
  }
  if (n_known == 0 && !without.empty()) {
    refuse_matrix(options, "", "tensors of the model, as " + without.front(), matrix.tensors.begin()->first);
  }
  const std::vector<std::string> unseen = unseen_experts(matrix);
  for (const std::string& line : unseen) report.notes.push_back(line + " are not in the importance matrix");
  if (!without.empty()) report.notes.push_back(list_names(without) + " not in the importance matrix");
  if (!without.empty() || !unseen.empty()) {
    report.notes.emplace_back("what is not in the importance matrix is encoded as without one");
  }
  warn_of_routing(file, matrix, report);
}

void describe_importance(const QuantizeOptions& options, GgufHeader& header) {
  if (!options.importance) return;
  const ImportanceMatrix& matrix = *options.importance;
  header.set("quantize.imatrix.file",
             GgufValue::string(std::filesystem::path(options.importance_name).filename().string()));
  if (!matrix.datasets.empty())
    header.set("quantize.imatrix.dataset", GgufValue::string(matrix.datasets.front()));
  header.set("quantize.imatrix.entries_count", GgufValue::i32(static_cast<int32_t>(matrix.tensors.size())));
  header.set("quantize.imatrix.chunks_count", GgufValue::i32(static_cast<int32_t>(matrix.n_chunk)));
}

}  // namespace sw
