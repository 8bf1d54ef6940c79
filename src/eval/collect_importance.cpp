// SPDX-License-Identifier: MIT
#include "eval/collect_importance.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "arch/tensors.h"
#include "base/error.h"
#include "formats/gguf.h"

namespace sw {

ImportanceCollector::ImportanceCollector(const Model& model, bool with_output) {
  for (const GgufTensor& tensor : model.file().tensors()) {
    const std::optional<Role> role = role_of_name(tensor.name);
    const bool is_output = role == Role::Output || role == Role::TokenEmbd;
    if (tensor.shape.n_dims() < 2 || (is_output && !with_output)) continue;
    const int64_t n_matrix = tensor.shape.n_matrices(), n_col = tensor.shape.n_cols();
    Importance sums;
    sums.sum_squares.resize(static_cast<size_t>(n_matrix * n_col));
    sums.counts.resize(static_cast<size_t>(n_matrix));
    entries_.push_back({.name = tensor.name,
                        .begin = tensor.data,
                        .matrix_bytes = tensor.size_bytes / static_cast<size_t>(n_matrix),
                        .n_col = n_col,
                        .sums = std::move(sums)});
  }
  std::ranges::sort(entries_, {}, &Entry::begin);
}

/// The tensor of which a matrix begins there; null where none does.
ImportanceCollector::Entry* ImportanceCollector::find(const std::byte* matrix) {
  const auto behind = std::ranges::upper_bound(entries_, matrix, {}, &Entry::begin);
  if (behind == entries_.begin()) return nullptr;
  Entry& entry = *std::prev(behind);
  const auto offset = static_cast<size_t>(matrix - entry.begin);
  const bool is_first_row = offset % entry.matrix_bytes == 0;
  return is_first_row && offset / entry.matrix_bytes < entry.sums.counts.size() ? &entry : nullptr;
}

/// One matrix is shown by one thread, so that sums need no lock and have one order.
void ImportanceCollector::on_product(const MatmulArgs& args) {
  Entry* entry = find(args.weights);
  if (!entry || entry->n_col != args.n_in) return;
  const auto matrix = static_cast<size_t>(args.weights - entry->begin) / entry->matrix_bytes;
  float* sums = entry->sums.sum_squares.data() + matrix * static_cast<size_t>(args.n_in);
  for (int64_t t = 0; t < args.n_token; ++t) {
    const float* x = input(args, t);
    for (int64_t i = 0; i < args.n_in; ++i) sums[i] += x[i] * x[i];
  }
  entry->sums.counts[matrix] += static_cast<float>(args.n_token);
}

ImportanceTensors ImportanceCollector::result() const {
  ImportanceTensors all;
  for (const Entry& entry : entries_) {
    if (std::ranges::none_of(entry.sums.counts, [](float n) { return n > 0; })) continue;
    if (!std::ranges::all_of(entry.sums.sum_squares, [](float v) { return std::isfinite(v); })) {
      throw Error({.what = "the inputs of a tensor are not finite numbers",
                   .where = "tensor " + printable(entry.name),
                   .hint = "are the model's weights damaged?"});
    }
    all.emplace(entry.name, entry.sums);
  }
  return all;
}

ImportanceMatrix no_importance_yet(const Model& model, int64_t chunk_tokens) {
  ImportanceMatrix matrix;
  matrix.chunk_tokens = chunk_tokens;
  matrix.architecture = model.arch().name;
  matrix.expert_keys = expert_keys(model.file().metadata());
  return matrix;
}

ImportanceMatrix collect_importance(Forward& forward, const Model& model, std::span<const int32_t> tokens,
                                    const PerplexityOptions& options, bool with_output,
                                    const std::function<void(const Perplexity&, int64_t)>& on_chunk) {
  SW_ASSERT(forward.options().observe_products);
  ImportanceCollector collector(model, with_output);
  const Observation observation(collector);
  const Perplexity result = measure_perplexity(forward, model, tokens, options, on_chunk);
  ImportanceMatrix matrix = no_importance_yet(model, options.n_ctx);
  matrix.tensors = collector.result();
  matrix.n_chunk = result.n_chunk;
  return matrix;
}

}  // namespace sw
