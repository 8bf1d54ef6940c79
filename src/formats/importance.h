// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "formats/gguf.h"

namespace sw {

/// How strongly the columns of a weight tensor's matrices are used: sums of the squares of their inputs.
struct Importance {
  std::vector<float> sum_squares = {};  ///< [n_matrix, n_col]: experts, heads; else one matrix
  std::vector<float> counts = {};       ///< inputs that were seen [n_matrix], or one number for all matrices

  /// Whether this is of a tensor of so many matrices with such rows.
  bool fits(int64_t n_matrix, int64_t n_col) const;
  /// Inputs that a matrix has seen.
  float count(int64_t matrix) const {
    return counts.size() == 1 ? counts[0] : counts[static_cast<size_t>(matrix)];
  }
  /// Mean squares of one matrix's inputs [n_col]; empty where it has seen none.
  std::vector<float> means(int64_t matrix, int64_t n_col) const;
};

/// By the weight tensor's name.
using ImportanceTensors = std::map<std::string, Importance, std::less<>>;

/// What was measured on some texts with one routing, as a GGUF file in mainline's form: NAME.in_sum2 and
/// NAME.counts for each weight tensor, and keys. Source: llama.cpp, tools/imatrix (facts of the format).
struct ImportanceMatrix {
  ImportanceTensors tensors = {};
  std::vector<std::string> datasets = {};  ///< names of the texts
  int64_t n_chunk = 0, chunk_tokens = 0;
  // Nothing in files of others.
  std::string architecture = {};                        ///< of the model; empty: not said
  std::optional<std::string> routing = {};              ///< the policy as JSON, "" for the model's own
  std::map<std::string, std::string> expert_keys = {};  ///< of the model, as expert_keys() gives them

  /// Throws sw::Error where another, or one that will have its keys, cannot be added: it is of another model
  /// or of another routing, or sums become too large.
  void check_merge(const ImportanceMatrix& other, const std::string& other_name) const;
  /// Adds what another has seen, as check_merge() allows. Where one does not say its routing, the sum does
  /// not either.
  void merge(const ImportanceMatrix& other, const std::string& other_name);
  /// Reads mainline's form, and its older one without keys (.dat), which has means of unknown counts: those
  /// count as one input a chunk. Throws sw::Error naming the file and what is wrong in it, as GgufFile does.
  static ImportanceMatrix read(const std::filesystem::path& path);
  /// Throws sw::SystemError as AtomicFile.
  void write(const std::filesystem::path& path) const;
};

/// What a model's metadata says about its experts, overridden or not: "ARCH.expert_used_count" -> "4".
std::map<std::string, std::string> expert_keys(const GgufMetadata& metadata);

/// Tensors of which some experts have seen no input: "blk.3.ffn_down_exps.weight: 2 of 32 experts (4, 17)".
std::vector<std::string> unseen_experts(const ImportanceMatrix& matrix);

}  // namespace sw
