// SPDX-License-Identifier: MIT
#include "convert/quantize_target.h"

#include <algorithm>
#include <fmt/core.h>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "arch/tensors.h"
#include "base/error.h"
#include "convert/quant_mix.h"
#include "convert/quantize_importance.h"
#include "convert/quantize_plan.h"
#include "convert/target_size.h"
#include "formats/gguf_scalar.h"

namespace sw {
namespace {

/// What a target leaves to the tensors whose formats are open.
struct Budget {
  uint64_t settled_bytes = 0;  ///< of all else
  uint64_t most_bytes = 0;     ///< of the file, or of its tensors
  double n_weight = 0;
};

/// `report` of a file in which open tensors are as they were.
Budget make_budget(const SizeTarget& target, const QuantizeReport& report) {
  const bool is_bits = target.bits_per_weight > 0;
  Budget budget{.settled_bytes = is_bits ? 0 : report.file_bytes, .most_bytes = target.file_bytes};
  for (const QuantizedTensor& t : report.tensors) {
    budget.n_weight += static_cast<double>(t.shape.n_elements());
    if (is_bits && !t.open) budget.settled_bytes += t.to_bytes;
    if (!is_bits && t.open) budget.settled_bytes -= gguf::padded(t.to_bytes);
  }
  if (is_bits) budget.most_bytes = static_cast<uint64_t>(target.bits_per_weight * budget.n_weight / 8);
  return budget;
}

[[noreturn]] void refuse_target(const SizeTarget& target, const Budget& budget, uint64_t smallest_bytes,
                                const char* hint) {
  const uint64_t bytes = budget.settled_bytes + smallest_bytes;
  if (target.bits_per_weight == 0) {
    throw Error({.what = "no choice of formats makes the file so small",
                 .where = "--target-size",
                 .expected = fmt::format("at least {} bytes", bytes),
                 .got = fmt::format("{} bytes", target.file_bytes),
                 .hint = hint});
  }
  throw Error(
      {.what = "no choice of formats makes the file so small",
       .where = "--target-bpw",
       .expected = fmt::format("at least {:.3f}", 8 * static_cast<double>(bytes) / budget.n_weight + 0.0005),
       .got = fmt::format("{}", target.bits_per_weight),
       .hint = hint});
}

/// How many tensors' errors one in the output matrix is worth: nothing behind it evens it out, so it counts
/// as all tensors of a block together. With less, divergences grew at both sizes measured (docs/adr/0021).
double output_share(const QuantizeReport& report) {
  std::set<int> blocks;
  std::set<std::pair<int, Role>> tensors;  // experts in separate tensors are one
  for (const QuantizedTensor& t : report.tensors) {
    const std::optional<int> block = block_of_name(t.name);
    const std::optional<Role> role = role_of_name(t.name);
    if (!t.open || !block || !role) continue;
    blocks.insert(*block);
    tensors.emplace(*block, *role);
  }
  return blocks.empty() ? 1 : static_cast<double>(tensors.size()) / static_cast<double>(blocks.size());
}

}  // namespace

void choose_types(const GgufFile& file, const QuantizeOptions& options, ThreadPool& pool,
                  QuantizeReport& report) {
  const Budget budget = make_budget(*options.target, report);
  uint64_t done_bytes = 0, smallest_bytes = 0;
  for (const QuantizedTensor& t : report.tensors) smallest_bytes += t.open ? least_bytes(t.shape) : 0;
  if (budget.settled_bytes + smallest_bytes > budget.most_bytes) {
    const bool keeps = std::ranges::any_of(
        report.tensors, [](const QuantizedTensor& t) { return !t.open && traits(t.from).quantized; });
    refuse_target(*options.target, budget, smallest_bytes,
                  keeps ? "--allow-requantize lets tensors change that are quantised already" : "");
  }
  std::vector<size_t> open;
  std::vector<std::vector<FormatChoice>> choices;
  const double share = output_share(report);
  for (size_t i = 0; i < report.tensors.size(); ++i) {
    const QuantizedTensor& t = report.tensors[i];
    done_bytes += t.from_bytes;
    if (!t.open) continue;
    const MeasuredTensor measured{
        .rows = {t.from, file.tensors()[i].data, t.shape.n_rows(), t.shape.n_cols()},
        .n_matrix = t.shape.n_matrices(),
        .importance = importance_of(options, t.name)};
    open.push_back(i);
    choices.push_back(measure_formats(measured, pool));
    if (t.output) {
      for (FormatChoice& choice : choices.back()) choice.error *= share;
    }
    if (options.on_measured) options.on_measured(done_bytes, report.from_bytes);
  }
  const std::vector<size_t> chosen =
      choose_formats(choices, budget.most_bytes - budget.settled_bytes).value();
  for (size_t i = 0; i < open.size(); ++i) set_type(report, open[i], choices[i][chosen[i]].type, options);
}

uint32_t file_type_of(const QuantizeReport& report) {
  std::map<Type, uint64_t> bytes;
  for (const QuantizedTensor& t : report.tensors) bytes[t.to] += t.to_bytes;
  uint64_t most_bytes = 0;
  uint32_t number = file_type_of(Type::F32);
  for (const auto& [type, n] : bytes) {
    if (n <= most_bytes || !has_file_type(type)) continue;
    most_bytes = n;
    number = file_type_of(type);
  }
  return number;
}

}  // namespace sw
