// SPDX-License-Identifier: MIT
#include "convert/quantize_plan.h"

#include <algorithm>
#include <fmt/core.h>

#include "base/error.h"
#include "convert/target_size.h"
#include "formats/gguf_split.h"

namespace sw {
namespace {

constexpr const char* kEmbedding = "token_embd.weight";
constexpr const char* kOutput = "output.weight";

/// Blocks of the model; nothing in the file can make it more than its tensors.
int64_t count_layers(const GgufFile& file) {
  const std::string key = file.metadata().get_string("general.architecture").value_or("") + ".block_count";
  const int64_t n_layer = file.metadata().get_int(key).value_or(0);
  if (n_layer < 0 || static_cast<uint64_t>(n_layer) > file.tensors().size()) {
    throw Error({.what = "a file claims more blocks than it has tensors",
                 .where = file.name() + ", key " + key,
                 .expected = fmt::format("at most {}", file.tensors().size()),
                 .got = std::to_string(n_layer)});
  }
  return n_layer;
}

/// A format that the user chose for a tensor. Throws sw::Error where it does not fit: what was asked for is
/// not what another type would be.
void check_fits(Type type, const GgufTensor& tensor) {
  const int block_elems = traits(type).block_elems;
  if (tensor.shape.n_cols() % block_elems == 0) return;
  throw Error({.what = "a tensor's rows do not fit the format that a rule chooses",
               .where = "tensor " + printable(tensor.name),
               .expected = fmt::format("rows of a multiple of {} ({})", block_elems, type_name(type)),
               .got = std::to_string(tensor.shape.n_cols()),
               .hint = "choose a format of smaller blocks for it by an earlier --tensor-type"});
}

void refuse_requantizing(const QuantizedTensor& tensor) {
  throw Error({.what = "a tensor is quantised already, and quantising it again loses more",
               .where = "tensor " + tensor.name,
               .expected = std::string("F32, F16, BF16 or ") + type_name(tensor.to),
               .got = type_name(tensor.from),
               .hint = "start from the converted file, or allow it with --allow-requantize"});
}

uint64_t encoded_bytes(Type type, const Shape& shape) {
  return row_bytes(type, shape.n_cols()) * static_cast<uint64_t>(shape.n_rows());
}

/// A number of the model that may be a list, one for each block: then the first that is not 0.
int64_t first_of(const GgufFile& file, const std::string& key) {
  const GgufValue* value = file.metadata().find(key);
  if (!value || value->type != GgufType::Array) return file.metadata().get_int(key).value_or(0);
  const std::vector<int64_t> all = *file.metadata().get_ints(key);
  const auto used = std::ranges::find_if(all, [](int64_t n) { return n != 0; });
  return used == all.end() ? 0 : *used;
}

MixModel describe(const GgufFile& file, const QuantizeOptions& options) {
  const std::string arch = file.metadata().get_string("general.architecture").value_or("");
  const int64_t n_head = first_of(file, arch + ".attention.head_count");
  const int64_t n_head_kv = first_of(file, arch + ".attention.head_count_kv");
  return {.n_layer = count_layers(file),
          .has_output = file.find_tensor(kOutput) != nullptr,
          .n_expert = file.metadata().get_int(arch + ".expert_count").value_or(0),
          .heads_per_kv = n_head_kv > 0 ? n_head / n_head_kv : 1,
          .has_importance = options.importance != nullptr};
}

/// A flag that names one tensor, which the model must have.
TensorTypeRule rule_for(const std::string& tensor, Type type, const char* flag, const GgufFile& file) {
  if (!file.find_tensor(tensor)) {
    throw Error({.what = "the model does not have the tensor that a flag is for",
                 .where = std::string(flag) + ", " + file.name(),
                 .expected = "tensor " + tensor});
  }
  std::string pattern = tensor;
  pattern.insert(pattern.find('.'), 1, '\\');
  return {"^" + pattern + "$", type, flag};
}

/// The user's rules in the order in which they count.
std::vector<TensorTypeRule> rules_of(const QuantizeOptions& options, const GgufFile& file, bool has_output) {
  constexpr const char *kEmbeddingFlag = "--token-embedding-type", *kOutputFlag = "--output-tensor-type";
  const std::optional<Type> embedding = options.embedding_type, output = options.output_type;
  if (embedding && output && !has_output && *embedding != *output) {
    throw Error({.what = "the model has one tensor for what two flags name",
                 .where = std::string(kEmbeddingFlag) + " and " + kOutputFlag + ", tensor " + kEmbedding,
                 .expected = "one of the flags, or one format",
                 .got = std::string(type_name(*embedding)) + " and " + type_name(*output)});
  }
  std::vector<TensorTypeRule> rules;
  if (embedding) rules.push_back(rule_for(kEmbedding, *embedding, kEmbeddingFlag, file));
  if (output && (has_output || !embedding)) {
    rules.push_back(rule_for(has_output ? kOutput : kEmbedding, *output, kOutputFlag, file));
  }
  rules.insert(rules.end(), options.tensor_types.begin(), options.tensor_types.end());
  return rules;
}

/// A matrix whose format is to be chosen by measured errors, where there is a choice.
MixChoice leave_open(const MixTensor& asked, const QuantizeOptions& options, QuantizedTensor& tensor) {
  if (traits(tensor.from).quantized && !options.allow_requantize) {
    return {tensor.from, fmt::format("{}: {} already, and kept (--allow-requantize changes it)",
                                     printable(tensor.name), type_name(tensor.from))};
  }
  tensor.open = has_formats(tensor.shape.n_cols());
  if (tensor.open) return {tensor.from};
  constexpr QuantMix kEightBits = {.base = Type::Q8_0};
  return choose_type(kEightBits, asked);
}

}  // namespace

void refuse_lone_part(const GgufFile& file) {
  constexpr const char* kKey = gguf::kSplitTensorCount;
  const auto n_tensor = static_cast<int64_t>(file.tensors().size());
  const int64_t n_claimed = file.metadata().get_int(kKey).value_or(n_tensor);
  if (n_claimed == n_tensor) return;
  throw Error({.what = "this file is one part of a split",
               .where = file.name() + ", key " + kKey,
               .expected = fmt::format("{} tensors", n_claimed),
               .got = std::to_string(n_tensor),
               .hint = "merge the parts first"});
}

QuantizeReport plan_types(const GgufFile& file, const QuantMix* mix, const QuantizeOptions& options) {
  QuantizeReport report;
  const MixModel model = describe(file, options);
  constexpr QuantMix kAnyMatrix = {.base = Type::F16};
  TypeRules rules(rules_of(options, file, model.has_output));
  for (const GgufTensor& source : file.tensors()) {
    QuantizedTensor tensor{.name = source.name,
                           .shape = source.shape,
                           .from = file.require_type(source),
                           .from_bytes = source.size_bytes,
                           .output = source.name == (model.has_output ? kOutput : kEmbedding)};
    const MixTensor asked{source.name, source.shape, model};
    // Tensors that every mix leaves in F32 are beyond the rules.
    const bool is_matrix = choose_type(kAnyMatrix, asked).type == Type::F16;
    const std::optional<Type> chosen = is_matrix ? rules.find(source.name) : std::nullopt;
    MixChoice choice;
    if (chosen) {
      check_fits(*chosen, source);
      choice.type = *chosen;
    } else if (mix || !is_matrix) {
      choice = choose_type(mix ? *mix : kAnyMatrix, asked);
    } else {
      choice = leave_open(asked, options, tensor);
    }
    report.from_bytes += tensor.from_bytes;
    report.tensors.push_back(std::move(tensor));
    set_type(report, report.tensors.size() - 1, choice.type, options);
    if (!choice.note.empty()) report.notes.push_back(std::move(choice.note));
  }
  rules.refuse_unused();
  return report;
}

void set_type(QuantizeReport& report, size_t i, Type type, const QuantizeOptions& options) {
  QuantizedTensor& tensor = report.tensors[i];
  tensor.to = type;
  if (traits(tensor.from).quantized && type != tensor.from && !options.allow_requantize) {
    refuse_requantizing(tensor);
  }
  report.to_bytes -= tensor.to_bytes;
  tensor.to_bytes = encoded_bytes(type, tensor.shape);
  report.to_bytes += tensor.to_bytes;
}

double bits_per_weight(const QuantizeReport& report) {
  int64_t n_weight = 0;
  for (const QuantizedTensor& tensor : report.tensors) n_weight += tensor.shape.n_elements();
  return n_weight > 0 ? 8.0 * static_cast<double>(report.to_bytes) / static_cast<double>(n_weight) : 0.0;
}

}  // namespace sw
