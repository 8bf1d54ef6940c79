// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <vector>

#include "eval/perplexity.h"
#include "formats/importance.h"
#include "kernels/product_observer.h"
#include "model/model.h"

namespace sw {

/// Collects how strongly the columns of a model's weights are used while passes run: those of a Forward made
/// with ForwardOptions::observe_products, all on the CPU. The same bits for any number of threads. Weights
/// that were remade at load are not in the file as they are used, and left out; of a tensor that is read in
/// parts (attn_qkv), the first part's inputs are those of all. Memory: a number for each column of each
/// matrix.
class ImportanceCollector : public ProductObserver {
 public:
  /// Without `with_output` the output matrix is left out: errors in it weigh alike for all columns.
  explicit ImportanceCollector(const Model& model, bool with_output = false);

  void on_product(const MatmulArgs& args) override;
  /// What was collected so far: tensors in the order of their names, those that no product read left out.
  /// Throws sw::Error where an input was not a finite number.
  ImportanceTensors result() const;

 private:
  /// A weight tensor as it lies in the file.
  struct Entry {
    std::string name = {};
    const std::byte* begin = nullptr;
    size_t matrix_bytes = 0;
    int64_t n_col = 0;
    Importance sums = {};
  };
  Entry* find(const std::byte* matrix);

  std::vector<Entry> entries_;  // by `begin`
};

/// A matrix of the model before anything was measured: what it will say of the model, and of the text's
/// chunks of so many tokens.
ImportanceMatrix no_importance_yet(const Model& model, int64_t chunk_tokens);

/// Runs a text in chunks, as measure_perplexity() does, through a `forward` that was made with
/// ForwardOptions::observe_products. Texts and routing are the caller's to fill in. Throws sw::Error as
/// measure_perplexity() and ImportanceCollector::result().
ImportanceMatrix collect_importance(
    Forward& forward, const Model& model, std::span<const int32_t> tokens, const PerplexityOptions& options,
    bool with_output = false,
    const std::function<void(const Perplexity&, int64_t n_chunk_in_all)>& on_chunk = {});

}  // namespace sw
