// SPDX-License-Identifier: MIT
#include "formats/importance.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/core.h>
#include <functional>
#include <limits>
#include <span>

#include "base/error.h"
#include "formats/gguf_scalar.h"
#include "formats/reader.h"

namespace sw {
namespace {

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";
constexpr const char* kTypeKey = "general.type";
constexpr const char* kType = "imatrix";
constexpr const char* kDatasets = "imatrix.datasets";
constexpr const char* kChunks = "imatrix.chunk_count";
constexpr const char* kChunkTokens = "imatrix.chunk_size";
// Ours: mainline passes over them.
constexpr const char* kArchitecture = "imatrix.switchyard.architecture";
constexpr const char* kRouting = "imatrix.switchyard.routing";
constexpr const char* kModelKeys = "imatrix.switchyard.model.";
constexpr int64_t kMostChunks = std::numeric_limits<int32_t>::max();

/// Throws where a value is no sum of squares.
void check_values(const std::vector<float>& values, const std::string& place) {
  const auto bad = std::ranges::find_if(values, [](float v) { return !std::isfinite(v) || v < 0; });
  if (bad == values.end()) return;
  throw Error({.what = "an importance matrix has a value that is no sum of squares",
               .where = fmt::format("{}, element {}", place, bad - values.begin()),
               .got = fmt::format("{}", *bad)});
}

/// Throws where a mean of what one matrix has seen is too large for a float.
void check_means(const Importance& one, const std::string& place) {
  const auto n_matrix = std::ssize(one.counts), n_col = std::ssize(one.sum_squares) / n_matrix;
  for (int64_t m = 0; m < n_matrix; ++m) check_values(one.means(m, n_col), place);
}

std::vector<float> floats_of(const GgufFile& file, const GgufTensor& tensor) {
  const Type type = file.require_type(tensor);
  if (type != Type::F32) {
    throw Error({.what = "an importance matrix has a tensor of another type",
                 .where = file.place_of(tensor),
                 .expected = type_name(Type::F32),
                 .got = type_name(type)});
  }
  std::vector<float> values(static_cast<size_t>(tensor.shape.n_elements()));
  std::memcpy(values.data(), tensor.data, values.size() * sizeof(float));
  check_values(values, file.place_of(tensor));
  return values;
}

Importance read_tensor(const GgufFile& file, const GgufTensor& sums, std::string_view name) {
  const std::string counts_name = std::string(name) + std::string(kCounts);
  const GgufTensor* counts = file.find_tensor(counts_name);
  if (!counts) {
    throw Error({.what = "an importance matrix lacks the counts of a tensor",
                 .where = file.place_of(sums),
                 .expected = counts_name});
  }
  Importance one{.sum_squares = floats_of(file, sums), .counts = floats_of(file, *counts)};
  if (!one.counts.empty() && one.sum_squares.size() % one.counts.size() == 0) {
    check_means(one, file.place_of(sums));
    return one;
  }
  throw Error({.what = "an importance matrix has a wrong number of counts",
               .where = file.place_of(*counts),
               .expected = fmt::format("a divisor of {}", one.sum_squares.size()),
               .got = std::to_string(one.counts.size())});
}

/// A number of chunks or tokens; 0 where it is not said.
int64_t number_of(const GgufMetadata& metadata, const char* key) {
  const int64_t n = metadata.get_int(key).value_or(0);
  if (n < 0 || n > kMostChunks) metadata.refuse(key, "a number from 0 to 2147483647", std::to_string(n));
  return n;
}

ImportanceMatrix read_gguf(const std::filesystem::path& path) {
  const GgufFile file(path);
  const GgufMetadata& metadata = file.metadata();
  const std::string type = metadata.get_string(kTypeKey).value_or("none");
  if (type != kType) {
    throw Error({.what = "this file is no importance matrix",
                 .where = path.string() + ", key " + kTypeKey,
                 .expected = kType,
                 .got = type,
                 .hint = "switchyard imatrix makes one"});
  }
  ImportanceMatrix all{.n_chunk = number_of(metadata, kChunks),
                       .chunk_tokens = number_of(metadata, kChunkTokens),
                       .architecture = metadata.get_string(kArchitecture).value_or(""),
                       .routing = metadata.get_string(kRouting)};
  if (const auto* names = metadata.get_strings(kDatasets)) all.datasets = *names;
  for (const auto& [key, value] : metadata.entries()) {
    if (!key.starts_with(kModelKeys)) continue;
    all.expert_keys[key.substr(std::strlen(kModelKeys))] = metadata.require_string(key);
  }
  for (const GgufTensor& tensor : file.tensors()) {
    const std::string_view name = tensor.name;
    if (!name.ends_with(kSums)) continue;
    const std::string_view weight = name.substr(0, name.size() - kSums.size());
    all.tensors.emplace(weight, read_tensor(file, tensor, weight));
  }
  file.check_unchanged();
  return all;
}

/// n_entry, then for each its name, how many chunks it saw and its means times those; after them, perhaps,
/// the number of chunks and the text's name. All numbers are i32, sizes come before what they count.
ImportanceMatrix read_older(const MappedFile& mapped) {
  ByteReader reader(mapped.bytes(), mapped.path().string());
  const auto size = [&](const char* field) {
    const uint64_t offset = reader.offset();
    const auto n = reader.number<int32_t>(field);
    if (n > 0) return static_cast<uint64_t>(n);
    reader.fail(offset, field,
                {.what = "this file is no importance matrix",
                 .expected = "a positive number",
                 .got = std::to_string(n),
                 .hint = "switchyard imatrix makes one"});
  };
  ImportanceMatrix all;
  const uint64_t n_entry = size("number of tensors");
  for (uint64_t i = 0; i < n_entry; ++i) {
    const std::string name(reader.text(size("length of a name"), "name"));
    reader.set_subject("tensor " + printable(name));
    Importance one{.counts = {static_cast<float>(size("number of chunks"))}};
    const uint64_t n_value = size("number of values");
    const std::span<const std::byte> bytes = reader.take(n_value * sizeof(float), "values");
    one.sum_squares.resize(n_value);
    std::memcpy(one.sum_squares.data(), bytes.data(), bytes.size());
    check_values(one.sum_squares, mapped.path().string() + ", tensor " + printable(name));
    if (!all.tensors.emplace(name, std::move(one)).second)
      reader.fail(reader.offset(), "name", {.what = "an importance matrix has a tensor twice"});
  }
  reader.set_subject("");
  if (reader.remaining() > 0) all.n_chunk = static_cast<int64_t>(size("number of chunks"));
  if (reader.remaining() > 0) all.datasets = {std::string(reader.text(size("length of a name"), "text"))};
  mapped.check_unchanged();
  return all;
}

bool is_gguf(const MappedFile& mapped) {
  const std::span<const std::byte> bytes = mapped.bytes();
  return bytes.size() >= sizeof(gguf::kMagic) &&
         std::memcmp(bytes.data(), &gguf::kMagic, sizeof(gguf::kMagic)) == 0;
}

[[noreturn]] void refuse_merge(const std::string& name, const char* what, const std::string& expected,
                               const std::string& got) {
  throw Error({.what = what, .where = name, .expected = expected, .got = got});
}

std::string show_routing(const std::string& routing) {
  return routing.empty() ? "the model's own" : printable(routing);
}

using Keys = std::map<std::string, std::string>;

std::string value_of(const Keys& keys, const std::string& key) {
  const auto at = keys.find(key);
  return at == keys.end() ? "nothing" : printable(at->second);
}

/// A key that two models have with different values, or that one of them lacks; empty where none is.
std::string differing_key(const Keys& a, const Keys& b) {
  for (const Keys* keys : {&a, &b}) {
    for (const auto& [key, value] : *keys) {
      if (value_of(a, key) != value_of(b, key)) return key;
    }
  }
  return "";
}

/// Adds one tensor's sums and counts to another's of as many values.
void add(const Importance& from, Importance& to) {
  std::ranges::transform(to.sum_squares, from.sum_squares, to.sum_squares.begin(), std::plus());
  if (to.counts.size() < from.counts.size()) to.counts.resize(from.counts.size(), to.counts.front());
  for (size_t i = 0; i < to.counts.size(); ++i) to.counts[i] += from.count(static_cast<int64_t>(i));
}

bool can_add(const Importance& a, const Importance& b) {
  return a.sum_squares.size() == b.sum_squares.size() &&
         (a.counts.size() == b.counts.size() || a.counts.size() == 1 || b.counts.size() == 1);
}

}  // namespace

bool Importance::fits(int64_t n_matrix, int64_t n_col) const {
  return std::ssize(sum_squares) == n_matrix * n_col &&
         (counts.size() == 1 || std::ssize(counts) == n_matrix);
}

std::vector<float> Importance::means(int64_t matrix, int64_t n_col) const {
  const float n = count(matrix);
  if (!(n > 0)) return {};
  const auto begin = sum_squares.begin() + matrix * n_col;
  std::vector<float> out(begin, begin + n_col);
  for (float& v : out) v /= n;
  return out;
}

void ImportanceMatrix::check_merge(const ImportanceMatrix& other, const std::string& other_name) const {
  if (!architecture.empty() && !other.architecture.empty() && other.architecture != architecture) {
    refuse_merge(other_name, "this importance matrix is of another model", architecture, other.architecture);
  }
  constexpr const char* kOtherRouting = "this importance matrix was made with another routing";
  if (routing && other.routing && *other.routing != *routing)
    refuse_merge(other_name, kOtherRouting, show_routing(*routing), show_routing(*other.routing));
  if (const std::string key = differing_key(expert_keys, other.expert_keys);
      routing && other.routing && !key.empty()) {
    refuse_merge(fmt::format("{}, {}", other_name, printable(key)), kOtherRouting, value_of(expert_keys, key),
                 value_of(other.expert_keys, key));
  }
  if ((other.chunk_tokens == 0) != (chunk_tokens == 0)) {
    refuse_merge(other_name, "of these importance matrices one does not say how many tokens it has seen",
                 "the tokens of a chunk in both, or in neither", std::to_string(other.chunk_tokens));
  }
  for (const auto& [name, theirs] : other.tensors) {
    const auto ours = tensors.find(name);
    if (ours == tensors.end()) continue;
    const std::string place = other_name + ", tensor " + printable(name);
    if (!can_add(ours->second, theirs)) {
      refuse_merge(place, "this importance matrix is of another model",
                   fmt::format("{} values", ours->second.sum_squares.size()),
                   std::to_string(theirs.sum_squares.size()));
    }
    Importance sum = ours->second;
    add(theirs, sum);
    check_values(sum.sum_squares, place);
  }
}

void ImportanceMatrix::merge(const ImportanceMatrix& other, const std::string& other_name) {
  check_merge(other, other_name);
  for (const auto& [name, theirs] : other.tensors) {
    const auto [ours, is_new] = tensors.try_emplace(name, theirs);
    if (!is_new) add(theirs, ours->second);
  }
  // Chunks of another length count by their tokens.
  const int64_t size = std::max<int64_t>(1, chunk_tokens);
  n_chunk += (other.n_chunk * std::max<int64_t>(1, other.chunk_tokens) + size - 1) / size;
  n_chunk = std::min(n_chunk, kMostChunks);
  if (architecture.empty() || other.architecture.empty()) architecture.clear();
  if (!other.routing) routing.reset();
  if (!routing) expert_keys.clear();
  for (const std::string& name : other.datasets) {
    if (std::ranges::find(datasets, name) == datasets.end()) datasets.push_back(name);
  }
}

ImportanceMatrix ImportanceMatrix::read(const std::filesystem::path& path) {
  const MappedFile mapped(path);
  ImportanceMatrix all = is_gguf(mapped) ? read_gguf(path) : read_older(mapped);
  if (all.tensors.empty()) {
    throw Error({.what = "an importance matrix has no tensors", .where = path.string()});
  }
  return all;
}

void ImportanceMatrix::write(const std::filesystem::path& path) const {
  GgufWriter writer(path);
  writer.set(kTypeKey, GgufValue::string(kType));
  writer.set(kDatasets, GgufValue::strings(datasets));
  writer.set(kChunks, GgufValue::u32(static_cast<uint32_t>(n_chunk)));
  writer.set(kChunkTokens, GgufValue::u32(static_cast<uint32_t>(chunk_tokens)));
  if (!architecture.empty()) writer.set(kArchitecture, GgufValue::string(architecture));
  if (routing) writer.set(kRouting, GgufValue::string(*routing));
  for (const auto& [key, value] : expert_keys) writer.set(kModelKeys + key, GgufValue::string(value));
  for (const auto& [name, one] : tensors) {
    const auto n_count = std::ssize(one.counts);
    writer.add_tensor(name + std::string(kSums), Type::F32, {n_count, std::ssize(one.sum_squares) / n_count});
    writer.add_tensor(name + std::string(kCounts), Type::F32, {n_count, 1});
  }
  for (const auto& [name, one] : tensors) {
    writer.write_tensor(std::as_bytes(std::span(one.sum_squares)));
    writer.write_tensor(std::as_bytes(std::span(one.counts)));
  }
  writer.finish();
}

std::map<std::string, std::string> expert_keys(const GgufMetadata& metadata) {
  const std::string prefix = metadata.get_string("general.architecture").value_or("") + ".expert_";
  std::map<std::string, std::string> out;
  for (const auto& entry : metadata.entries()) {
    if (!entry.first.starts_with(prefix)) continue;
    std::visit(
        [&]<class T>(const T& v) {
          if constexpr (std::is_arithmetic_v<T>) out[entry.first] = fmt::format("{}", v);
        },
        entry.second.data);
  }
  return out;
}

std::vector<std::string> unseen_experts(const ImportanceMatrix& matrix) {
  constexpr int64_t kMostShown = 8;
  std::vector<std::string> lines;
  for (const auto& [name, one] : matrix.tensors) {
    const int64_t n = std::ranges::count(one.counts, 0.0f);
    if (n == 0 || one.counts.size() == 1) continue;
    std::string ids;
    int64_t n_shown = 0;
    for (size_t i = 0; i < one.counts.size() && n_shown < kMostShown; ++i) {
      if (one.counts[i] != 0) continue;
      ids += fmt::format("{}{}", n_shown++ == 0 ? "" : ", ", i);
    }
    lines.push_back(fmt::format("{}: {} of {} experts ({}{})", printable(name), n, one.counts.size(), ids,
                                n > kMostShown ? ", ..." : ""));
  }
  return lines;
}

}  // namespace sw
