// SPDX-License-Identifier: MIT
#include "convert/quantize.h"

#include <algorithm>
#include <fmt/core.h>

#include "base/error.h"
#include "base/input_files.h"
#include "base/thread_pool.h"
#include "convert/encode.h"
#include "convert/quant_mix.h"
#include "formats/gguf.h"
#include "formats/gguf_split.h"
#include "tensor/buffer.h"

namespace sw {
namespace {

namespace fs = std::filesystem;

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

/// One part of a split alone would come out looking like a whole model.
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

/// A rule of the user's first, then the mix. Tensors that every mix leaves in F32 are beyond the rules.
/// Throws sw::Error where the user's choice does not fit: what was asked for is not what another type would
/// be.
MixChoice choose(const QuantMix& mix, TypeRules& rules, const MixTensor& tensor) {
  const bool is_matrix = choose_type({.base = Type::F16}, tensor).type == Type::F16;
  const std::optional<Type> chosen = is_matrix ? rules.find(std::string(tensor.name)) : std::nullopt;
  if (!chosen) return choose_type(mix, tensor);
  const int block_elems = traits(*chosen).block_elems;
  if (tensor.shape.n_cols() % block_elems == 0) return {*chosen};
  throw Error({.what = "a tensor's rows do not fit the format that a rule chooses",
               .where = "tensor " + printable(std::string(tensor.name)),
               .expected = fmt::format("rows of a multiple of {} ({})", block_elems, type_name(*chosen)),
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

MixModel describe(const GgufFile& file) {
  const std::string arch = file.metadata().get_string("general.architecture").value_or("");
  const int64_t n_head = first_of(file, arch + ".attention.head_count");
  const int64_t n_head_kv = first_of(file, arch + ".attention.head_count_kv");
  return {.n_layer = count_layers(file),
          .has_output = file.find_tensor(kOutput) != nullptr,
          .n_expert = file.metadata().get_int(arch + ".expert_count").value_or(0),
          .heads_per_kv = n_head_kv > 0 ? n_head / n_head_kv : 1};
}

/// The user's rules in the order in which they count.
std::vector<TensorTypeRule> rules_of(const QuantizeOptions& options, const MixModel& model) {
  const auto exactly = [](std::string name) {
    name.insert(name.find('.'), 1, '\\');
    return "^" + name + "$";
  };
  std::vector<TensorTypeRule> rules;
  if (options.embedding_type) {
    rules.push_back({exactly(kEmbedding), *options.embedding_type, "--token-embedding-type"});
  }
  if (options.output_type) {
    const char* output = model.has_output ? kOutput : kEmbedding;
    rules.push_back({exactly(output), *options.output_type, "--output-tensor-type"});
  }
  rules.insert(rules.end(), options.tensor_types.begin(), options.tensor_types.end());
  return rules;
}

/// Decides the type of every tensor, without looking at any weight.
QuantizeReport plan(const GgufFile& file, const QuantMix& mix, const QuantizeOptions& options) {
  QuantizeReport report;
  const MixModel model = describe(file);
  TypeRules rules(rules_of(options, model));
  for (const GgufTensor& source : file.tensors()) {
    QuantizedTensor tensor{.name = source.name, .shape = source.shape, .from = file.require_type(source)};
    MixChoice choice = choose(mix, rules, {source.name, source.shape, model});
    tensor.to = choice.type;
    if (traits(tensor.from).quantized && tensor.to != tensor.from && !options.allow_requantize) {
      refuse_requantizing(tensor);
    }
    tensor.from_bytes = source.size_bytes;
    tensor.to_bytes = encoded_bytes(tensor.to, tensor.shape);
    report.from_bytes += tensor.from_bytes;
    report.to_bytes += tensor.to_bytes;
    if (!choice.note.empty()) report.notes.push_back(std::move(choice.note));
    report.tensors.push_back(std::move(tensor));
  }
  rules.refuse_unused();
  return report;
}

void copy_metadata(const GgufFile& file, uint32_t file_type, GgufWriter& writer) {
  for (const auto& [key, value] : file.metadata().entries()) {
    if (!gguf::is_split_key(key)) writer.set(key, value);
  }
  writer.set("general.quantization_version", GgufValue::u32(kQuantizationVersion));
  writer.set("general.file_type", GgufValue::u32(file_type));
}

void write(const GgufFile& file, const QuantizeReport& report, const QuantizeOptions& options,
           GgufWriter& writer) {
  for (const QuantizedTensor& tensor : report.tensors)
    writer.add_tensor(tensor.name, tensor.to, tensor.shape);
  ThreadPool pool(options.n_thread);
  uint64_t done_bytes = 0;
  for (size_t i = 0; i < report.tensors.size(); ++i) {
    const QuantizedTensor& tensor = report.tensors[i];
    Buffer bytes(tensor.to_bytes);
    const EncodedRows rows{tensor.from, file.tensors()[i].data, tensor.shape.n_rows(), tensor.shape.n_cols()};
    if (const auto bad = reencode(rows, tensor.to, bytes.data(), pool)) {
      naming_file(file.name(), [&]() -> void { refuse_bad_weight(*bad, tensor.to, tensor.name); });
    }
    writer.write_tensor({bytes.data(), bytes.size_bytes()});
    done_bytes += tensor.to_bytes;
    if (options.progress) options.progress(done_bytes, report.to_bytes);
  }
}

}  // namespace

QuantizeReport quantize(const fs::path& in, const fs::path& out, std::string_view mix_name,
                        const QuantizeOptions& options) {
  const QuantMix& mix = quant_mix(mix_name);
  const InputProtection protection;
  const GgufFile file(in);
  refuse_lone_part(file);
  QuantizeReport report = plan(file, mix, options);
  if (options.dry_run) return report;
  GgufWriter writer(out);
  copy_metadata(file, mix.file_type, writer);
  write(file, report, options, writer);
  file.check_unchanged();  // or what was read may be wrong
  writer.finish();
  return report;
}

}  // namespace sw
