// SPDX-License-Identifier: MIT
#include "convert/convert_hf.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <fmt/core.h>
#include <limits>
#include <map>

#include "arch/spec.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "convert/encode.h"
#include "convert/generation.h"
#include "convert/hf_config.h"
#include "convert/quant_mix.h"
#include "convert/tensor_plan.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "tensor/buffer.h"
#include "tokenizer/tokenizer.h"

namespace sw {
namespace {

namespace fs = std::filesystem;

constexpr Type kOutTypes[] = {Type::F32, Type::F16, Type::BF16, Type::Q8_0};

/// "fable-ling" -> "Fable Ling".
std::string name_of_folder(const fs::path& folder) {
  std::string name = fs::canonical(folder).filename().string();
  bool word_begins = true;
  for (char& c : name) {
    if (c == '-') c = ' ';
    const auto byte = static_cast<unsigned char>(c);
    if (word_begins) c = static_cast<char>(std::toupper(byte));
    word_begins = !std::isalpha(byte);
  }
  return name;
}

/// general.*: what the file is and how its makers sample from it.
void set_general(GgufWriter& writer, const ArchSpec& arch, const std::string& name,
                 const Recommended& recommended) {
  writer.set("general.architecture", GgufValue::string(std::string(arch.name)));
  writer.set("general.type", GgufValue::string("model"));
  for (const auto& [key, value] : recommended.keys) writer.set(key, value);
  writer.set("general.name", GgufValue::string(name));
}

/// A model whose scaling the tensor rope_freqs says, or that has none in its context, has no keys for it: a
/// reader would take a factor for linear scaling.
HParams without_unsaid_scaling(HParams h) {
  const RopeScaling kind = h.rope.kind();
  if (kind != RopeScaling::None && kind != RopeScaling::Llama3 && kind != RopeScaling::Dynamic) return h;
  h.rope.scaling = static_cast<int>(RopeScaling::None);
  h.rope.factor = 1;
  h.rope.n_ctx_orig = h.n_ctx_train;
  return h;
}

/// The keys that a reader of the file needs or that are always said, in the order declared.
std::vector<const Key*> written_keys(const HParams& h, const std::vector<ReadKey>& read) {
  HParams seen;  // what a reader of the file makes of it
  const auto said = [](const ReadKey& r) {
    return r.key->written == Written::Always || (r.key->written == Written::IfSaid && r.from_file);
  };
  for (const ReadKey& r : read) {
    if (!r.key->gguf.empty() && said(r)) r.key->field.set(seen, r.key->field.get(h));
  }
  std::vector<const Key*> keys;
  for (const ReadKey& r : read) {
    const Key& key = *r.key;
    const double value = key.field.get(h);
    const double assumed = key.gguf_count.empty() ? key.fallback.get(seen).value_or(NAN) : value;
    const bool needed = !key.gguf.empty() && (said(r) || assumed != value);
    if (needed) keys.push_back(&key);
    if (!said(r)) key.field.set(seen, needed ? value : assumed);
  }
  return keys;
}

/// "<arch>.<key>", in the type of the field.
void set_figures(GgufWriter& writer, const ArchSpec& arch, HParams h, const std::vector<ReadKey>& read) {
  h = without_unsaid_scaling(h);
  for (const Key* key : written_keys(h, read)) {
    const std::string name = fmt::format("{}.{}", arch.name, key->gguf);
    const double value = key->field.get(h);
    if (!key->gguf_names.empty()) {
      const std::string_view text = name_of_value(key->gguf_names, static_cast<int>(value));
      writer.set(name, GgufValue::string(std::string(text)));
      continue;
    }
    switch (key->field.type) {
      case Field::Type::Int:
        writer.set(name, GgufValue::u32(static_cast<uint32_t>(value)));
        break;
      case Field::Type::Float:
        writer.set(name, GgufValue::f32(static_cast<float>(value)));
        break;
      case Field::Type::Bool:
        writer.set(name, GgufValue::boolean(value != 0));
        break;
    }
  }
}

void set_lists(GgufWriter& writer, const ArchSpec& arch, HParams h) {
  for (const ListKey& key : arch.lists) {
    const int64_t one = key.one.get ? static_cast<int64_t>(key.one.get(h)) : 1;
    std::vector<int64_t> items;
    for (const int item : key.field(h)) items.push_back(item * one);
    if (items.empty()) continue;
    GgufArray array{GgufType::I32, items};
    if (key.booleans) array = {GgufType::Bool, std::vector<uint64_t>(items.begin(), items.end())};
    writer.set(fmt::format("{}.{}", arch.name, key.gguf),
               {.type = GgufType::Array, .data = std::move(array)});
  }
}

/// The format that holds most of the bytes stands for the file.
Type main_type(const TensorPlan& plan) {
  std::map<Type, uint64_t> bytes;
  for (const PlannedTensor& tensor : plan.tensors) bytes[tensor.type] += tensor.size_bytes();
  return std::ranges::max_element(bytes, {}, &std::pair<const Type, uint64_t>::second)->first;
}

/// Rows of each head from the rotary pairs (i, i + n / 2) to (2i, 2i + 1).
Buffer pairs_to_neighbours(const Buffer& rows, size_t row_bytes, int64_t n_row, int64_t head_rows) {
  Buffer out(rows.size_bytes());
  for (int64_t r = 0; r < n_row; ++r) {
    const int64_t in_head = r % head_rows, half = head_rows / 2;
    const int64_t to = r - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
    std::memcpy(out.data() + static_cast<size_t>(to) * row_bytes,
                rows.data() + static_cast<size_t>(r) * row_bytes, row_bytes);
  }
  return out;
}

Buffer encode_tensor(const PlannedTensor& tensor, ThreadPool& pool) {
  Buffer bytes(tensor.size_bytes());
  if (tensor.parts.empty()) {
    std::memcpy(bytes.data(), tensor.computed.data(), bytes.size_bytes());
    return bytes;
  }
  const size_t part_bytes = bytes.size_bytes() / tensor.parts.size();
  const int64_t part_rows = tensor.shape.n_rows() / static_cast<int64_t>(tensor.parts.size());
  std::byte* dst = bytes.data();
  for (const CheckpointRows& part : tensor.parts) {
    RowBytes stored;
    std::vector<float> as_f32;
    EncodedRows rows{part.tensor->rows_as, nullptr, part_rows, tensor.shape.n_cols()};
    if (tensor.from.any()) {
      as_f32 = rearrange(rows_to_f32(part, pool), tensor.from);
      rows.type = Type::F32;
      rows.data = reinterpret_cast<const std::byte*>(as_f32.data());
    } else {
      stored = read_rows(part, pool);
      rows.data = stored.data;
    }
    if (const auto bad = reencode(rows, tensor.type, dst, pool))
      refuse_bad_weight(*bad, tensor.type, part.tensor->name);
    dst += part_bytes;
  }
  if (tensor.head_rows == 0) return bytes;
  // A bias is a column: its rows are single values.
  const int64_t n_row = tensor.shape.n_dims() > 1 ? tensor.shape.n_rows() : tensor.shape.n_elements();
  return pairs_to_neighbours(bytes, bytes.size_bytes() / static_cast<size_t>(n_row), n_row, tensor.head_rows);
}

void write_tensors(GgufWriter& writer, const TensorPlan& plan, const ConvertOptions& options,
                   ConvertReport& report) {
  uint64_t total_bytes = 0;
  for (const PlannedTensor& tensor : plan.tensors) {
    writer.add_tensor(tensor.name, tensor.type, tensor.shape);
    total_bytes += tensor.size_bytes();
  }
  ThreadPool pool(options.n_thread);
  for (const PlannedTensor& tensor : plan.tensors) {
    const Buffer bytes = encode_tensor(tensor, pool);
    writer.write_tensor({bytes.data(), bytes.size_bytes()});
    report.tensor_bytes += tensor.size_bytes();
    if (options.progress) options.progress(report.tensor_bytes, total_bytes);
  }
  report.n_tensors = plan.tensors.size();
}

}  // namespace

std::optional<Type> parse_out_type(std::string_view name) {
  if (name == "auto") return std::nullopt;
  const std::optional<Type> type = type_from_name(name);
  if (type && std::ranges::find(kOutTypes, *type) != std::end(kOutTypes)) return type;
  throw Error({.what = "unknown output type",
               .expected = "f32, f16, bf16, q8_0 or auto",
               .got = std::string(name),
               .hint = "other formats are made from the converted file by quantize"});
}

ConvertReport convert_hf(const fs::path& hf_dir, const fs::path& out, const ConvertOptions& options) {
  const HfConfig config(hf_dir / "config.json");
  const ArchSpec& arch = config.arch();
  std::vector<ReadKey> read;
  HParams h = config.hparams(arch, &read);
  config.check(arch, h);
  const HfQuantization quantization = read_quantization(config);
  const Recommended recommended = read_recommended(hf_dir / "generation_config.json");
  const Safetensors file(hf_dir);
  const Checkpoint checkpoint = naming_file(hf_dir.string(), [&] { return Checkpoint(file, quantization); });
  const bool lacks_nextn = forget_absent_nextn(arch, h, checkpoint);
  const std::optional<double> tied = config.number("tie_word_embeddings");
  const PlanOptions plan_options{.out_type = options.out_type,
                                 .tied = tied ? std::optional(*tied != 0) : std::nullopt};
  const TensorPlan plan =
      naming_file(hf_dir.string(), [&] { return plan_tensors(arch, h, checkpoint, plan_options); });
  const TokenizerSpec tokenizer = read_hf_tokenizer(hf_dir);
  static_cast<void>(
      Tokenizer(tokenizer));  // refuses what contradicts itself, which no reader would take either

  GgufWriter writer(out);
  set_general(writer, arch, options.name.empty() ? name_of_folder(hf_dir) : options.name, recommended);
  set_figures(writer, arch, h, read);
  set_lists(writer, arch, h);
  writer.set("general.file_type", GgufValue::u32(file_type_of(options.out_type.value_or(main_type(plan)))));
  writer.set("general.quantization_version", GgufValue::u32(kQuantizationVersion));
  for (auto& [key, value] : gguf_keys(tokenizer, static_cast<size_t>(h.n_vocab)))
    writer.set(key, std::move(value));
  ConvertReport report;
  report.notes = plan.notes;
  report.notes.insert(report.notes.end(), recommended.left_out.begin(), recommended.left_out.end());
  report.notes.insert(report.notes.end(), tokenizer.notes.begin(), tokenizer.notes.end());
  if (checkpoint.n_activation_scale() > 0) {
    report.notes.push_back(
        fmt::format("{} scales of activations are left out: activations are not quantised here",
                    checkpoint.n_activation_scale()));
  }
  if (lacks_nextn)
    report.notes.emplace_back("the checkpoint lacks the next-token layers that its configuration counts");
  if (h.rope.kind() == RopeScaling::Dynamic) {
    report.notes.push_back(fmt::format(
        "rope_scaling \"dynamic\" changes nothing up to {} tokens; longer sequences are rotated as "
        "these are",
        h.n_ctx_train));
  }
  naming_file(hf_dir.string(), [&] { write_tensors(writer, plan, options, report); });
  file.check_unchanged();  // or what was read may be wrong
  writer.finish();
  return report;
}

}  // namespace sw
