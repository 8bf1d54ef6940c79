// SPDX-License-Identifier: MIT
#include "convert/target_size.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <queue>

#include "base/rng.h"
#include "formats/gguf_scalar.h"

namespace sw {
namespace {

/// From one bit to eight; each is in a mix, so that a file of it has a number.
constexpr Type kFormats[] = {Type::IQ1_S,  Type::IQ1_M, Type::IQ2_XXS, Type::IQ2_XS, Type::IQ2_S,
                             Type::Q2_K,   Type::Q3_K,  Type::IQ3_XXS, Type::IQ3_S,  Type::IQ4_XS,
                             Type::IQ4_NL, Type::Q4_K,  Type::Q5_0,    Type::Q5_K,   Type::Q5_1,
                             Type::Q6_K,   Type::Q8_0};

/// Of a tensor in a file.
uint64_t padded_bytes(Type type, const Shape& shape) {
  return gguf::padded(row_bytes(type, shape.n_cols()) * static_cast<uint64_t>(shape.n_rows()));
}

/// Formats of a tensor by rising size, of which each takes less error away per byte than the one before: what
/// no mixture of two others beats. Indices into `choices`.
std::vector<size_t> hull_of(std::span<const FormatChoice> choices) {
  std::vector<size_t> order(choices.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) {
    const FormatChoice &x = choices[a], &y = choices[b];
    return x.size_bytes != y.size_bytes ? x.size_bytes < y.size_bytes : x.error < y.error;
  });
  const auto gain = [&](size_t from, size_t to) {
    const FormatChoice &a = choices[from], &b = choices[to];
    return (a.error - b.error) / static_cast<double>(b.size_bytes - a.size_bytes);
  };
  std::vector<size_t> hull;
  for (const size_t i : order) {
    if (!hull.empty() && choices[i].error >= choices[hull.back()].error) continue;
    if (!hull.empty() && choices[i].size_bytes == choices[hull.back()].size_bytes) continue;
    while (hull.size() > 1 && gain(hull[hull.size() - 2], hull.back()) <= gain(hull.back(), i))
      hull.pop_back();
    hull.push_back(i);
  }
  return hull;
}

/// The next format of a tensor's hull.
struct Step {
  double gain = 0;  ///< error taken away per byte
  size_t tensor = 0;
  uint64_t more_bytes = 0;

  friend bool operator<(const Step& a, const Step& b) {
    return a.gain != b.gain ? a.gain < b.gain : a.tensor > b.tensor;
  }
};

/// Takes the best step that fits in what is left, past the hulls too; false where there is none.
bool fill(std::span<const std::vector<FormatChoice>> tensors, uint64_t& left_bytes,
          std::vector<size_t>& chosen) {
  std::optional<Step> best;
  size_t best_format = 0;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const FormatChoice& now = tensors[t][chosen[t]];
    for (size_t f = 0; f < tensors[t].size(); ++f) {
      const FormatChoice& other = tensors[t][f];
      if (other.size_bytes <= now.size_bytes || other.error >= now.error) continue;
      const Step step{(now.error - other.error) / static_cast<double>(other.size_bytes - now.size_bytes), t,
                      other.size_bytes - now.size_bytes};
      if (step.more_bytes > left_bytes || (best && !(*best < step))) continue;
      best = step;
      best_format = f;
    }
  }
  if (!best) return false;
  left_bytes -= best->more_bytes;
  chosen[best->tensor] = best_format;
  return true;
}

/// A row on which formats are measured.
struct SampleRow {
  std::vector<float> weights = {};
  std::vector<float> means = {};  ///< how much each column's errors count; empty: alike
  double share = 1;               ///< how much the row's errors count
};

std::vector<SampleRow> sample_rows(const MeasuredTensor& tensor) {
  constexpr int64_t kWeights = 65536, kMatrices = 64;
  const EncodedRows& rows = tensor.rows;
  const int64_t wanted = std::max(kWeights / rows.n_cols, std::min(tensor.n_matrix, kMatrices));
  const int64_t n_row = std::clamp<int64_t>(wanted, 1, rows.n_rows);
  float most_inputs = 0;
  for (int64_t m = 0; tensor.importance && m < tensor.n_matrix; ++m)
    most_inputs = std::max(most_inputs, tensor.importance->count(m));
  std::vector<SampleRow> sample(static_cast<size_t>(n_row));
  Rng rng(1);  // rows at even steps could all be the first ones of heads, or of experts
  for (int64_t i = 0; i < n_row; ++i) {
    SampleRow& row = sample[static_cast<size_t>(i)];
    const Range stretch = split_range(rows.n_rows, i, n_row);
    const int64_t r = stretch.begin + static_cast<int64_t>(rng.below(static_cast<uint64_t>(stretch.size()))),
                  matrix = r * tensor.n_matrix / rows.n_rows;
    row.weights.resize(static_cast<size_t>(rows.n_cols));
    const size_t offset = row_bytes(rows.type, rows.n_cols) * static_cast<size_t>(r);
    traits(rows.type).decode(rows.data + offset, row.weights.data(), rows.n_cols);
    if (most_inputs == 0) continue;
    row.means = tensor.importance->means(matrix, rows.n_cols);
    row.share = double{tensor.importance->count(matrix)} / double{most_inputs};
  }
  return sample;
}

/// sum over columns of importance x (a - b)^2.
double weighted_distance(const SampleRow& row, const float* other) {
  double sum = 0;
  for (size_t i = 0; i < row.weights.size(); ++i) {
    const double error = double{row.weights[i]} - (other ? double{other[i]} : 0.0);
    sum += (row.means.empty() ? 1.0 : double{row.means[i]}) * error * error;
  }
  return sum * row.share;
}

/// What a thread encodes and decodes a row in.
struct RowScratch {
  std::vector<std::byte> encoded = {};
  std::vector<float> decoded = {};
};

}  // namespace

std::optional<std::vector<size_t>> choose_formats(std::span<const std::vector<FormatChoice>> tensors,
                                                  uint64_t budget_bytes) {
  std::vector<std::vector<size_t>> hulls;
  std::vector<size_t> at(tensors.size()), chosen;
  uint64_t used_bytes = 0;
  for (const std::vector<FormatChoice>& choices : tensors) {
    hulls.push_back(hull_of(choices));
    chosen.push_back(hulls.back().front());
    used_bytes += choices[chosen.back()].size_bytes;
  }
  if (used_bytes > budget_bytes) return std::nullopt;
  uint64_t left_bytes = budget_bytes - used_bytes;
  std::priority_queue<Step> steps;
  const auto add_step = [&](size_t t) {
    if (at[t] + 1 >= hulls[t].size()) return;
    const FormatChoice &now = tensors[t][hulls[t][at[t]]], &next = tensors[t][hulls[t][at[t] + 1]];
    const uint64_t more_bytes = next.size_bytes - now.size_bytes;
    steps.push({(now.error - next.error) / static_cast<double>(more_bytes), t, more_bytes});
  };
  for (size_t t = 0; t < tensors.size(); ++t) add_step(t);
  while (!steps.empty()) {
    const Step step = steps.top();
    steps.pop();
    if (step.more_bytes > left_bytes) continue;
    left_bytes -= step.more_bytes;
    chosen[step.tensor] = hulls[step.tensor][++at[step.tensor]];
    add_step(step.tensor);
  }
  while (fill(tensors, left_bytes, chosen)) {
  }
  return chosen;
}

bool has_formats(int64_t n_col) {
  return std::ranges::any_of(kFormats, [&](Type type) { return n_col % traits(type).block_elems == 0; });
}

uint64_t least_bytes(const Shape& shape) {
  uint64_t least = std::numeric_limits<uint64_t>::max();
  for (const Type type : kFormats) {
    if (shape.n_cols() % traits(type).block_elems == 0) least = std::min(least, padded_bytes(type, shape));
  }
  return least;
}

std::vector<FormatChoice> measure_formats(const MeasuredTensor& tensor, ThreadPool& pool) {
  const int64_t n_col = tensor.rows.n_cols;
  std::vector<FormatChoice> choices;
  size_t most_bytes = 0;
  for (const Type type : kFormats) {
    if (n_col % traits(type).block_elems != 0) continue;
    choices.push_back({.type = type, .size_bytes = padded_bytes(type, {tensor.rows.n_rows, n_col})});
    most_bytes = std::max(most_bytes, row_bytes(type, n_col));
  }
  const std::vector<SampleRow> sample = sample_rows(tensor);
  const size_t n_format = choices.size();
  std::vector<double> errors(sample.size() * n_format);  // [row, format]
  std::vector<RowScratch> scratch(static_cast<size_t>(pool.size()));
  for (RowScratch& one : scratch) {
    one.encoded.resize(most_bytes);
    one.decoded.resize(static_cast<size_t>(n_col));
  }
  pool.for_each(std::ssize(sample), [&](int64_t i, int worker) {
    RowScratch& mine = scratch[static_cast<size_t>(worker)];
    const SampleRow& row = sample[static_cast<size_t>(i)];
    const float* means = row.means.empty() ? nullptr : row.means.data();
    for (size_t f = 0; f < n_format; ++f) {
      const TypeTraits& format = traits(choices[f].type);
      format.encode(row.weights.data(), mine.encoded.data(), n_col, means);
      format.decode(mine.encoded.data(), mine.decoded.data(), n_col);
      errors[static_cast<size_t>(i) * n_format + f] = weighted_distance(row, mine.decoded.data());
    }
  });
  double squares = 0;
  for (size_t i = 0; i < sample.size(); ++i) {
    for (size_t f = 0; f < n_format; ++f) choices[f].error += errors[i * n_format + f];
    squares += weighted_distance(sample[i], nullptr);
  }
  // All that the matrix has seen may lie between the rows of the sample.
  if (squares == 0 && tensor.importance)
    return measure_formats({.rows = tensor.rows, .n_matrix = tensor.n_matrix}, pool);
  // Weights that are all zero, or no numbers: those are refused when they are written.
  const bool is_known = squares > 0 && std::isfinite(squares);
  for (FormatChoice& choice : choices) choice.error = is_known ? choice.error / squares : 0;
  return choices;
}

}  // namespace sw
