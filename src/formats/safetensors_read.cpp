// SPDX-License-Identifier: MIT
#include <algorithm>
#include <fmt/core.h>
#include <limits>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/checked.h"
#include "base/error.h"
#include "formats/json.h"
#include "formats/reader.h"
#include "formats/safetensors.h"

namespace sw {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kHeaderOffset = 8;              // behind its length
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr uint64_t kMaxElements = std::numeric_limits<int64_t>::max();

/// A tensor's entry in the header, with its place in the data section.
struct Entry {
  StTensor tensor = {};
  uint64_t begin = 0, end = 0;
};

/// Reads the header of one file; every failure names file and tensor.
class HeaderReader {
 public:
  HeaderReader(std::span<const std::byte> bytes, const std::string& file_name) : file_name_(file_name) {
    ByteReader reader(bytes, file_name);
    const auto n_bytes = reader.number<uint64_t>("header length");
    if (n_bytes > kMaxHeaderBytes) {
      reader.fail(0, "header length",
                  {.what = "this is not a safetensors file, or its header is too long",
                   .expected = fmt::format("at most {} bytes", kMaxHeaderBytes),
                   .got = std::to_string(n_bytes)});
    }
    header_ = parse_json(reader.text(n_bytes, "header"), file_name, kHeaderOffset);
    if (!header_.is_object()) {
      reader.fail(kHeaderOffset, "header", {.what = "a safetensors header is not a JSON object"});
    }
    data_ = reader.take(reader.remaining(), "data");
  }

  StTensors read() {
    std::vector<Entry> entries;
    for (const auto& [name, value] : header_.items()) {
      if (name != "__metadata__") entries.push_back(read_entry(name, value));
    }
    place(entries);
    StTensors tensors;
    for (Entry& entry : entries) tensors.emplace(entry.tensor.name, std::move(entry.tensor));
    return tensors;
  }

 private:
  [[noreturn]] void fail(const std::string& tensor, const char* field, Error::Parts parts) const {
    parts.where = fmt::format("{}, header at offset {}, {} of tensor {}", file_name_, kHeaderOffset, field,
                              printable(tensor));
    throw Error(std::move(parts));
  }

  /// A list of numbers such as "shape".
  std::vector<uint64_t> numbers(const std::string& tensor, const json& entry, const char* field) const {
    const auto found = entry.find(field);
    const bool good =
        found != entry.end() && found->is_array() &&
        std::all_of(found->begin(), found->end(), [](const json& n) { return n.is_number_unsigned(); });
    if (!good) {
      fail(tensor, field, {.what = "a field is missing or wrong", .expected = "a list of whole numbers"});
    }
    return found->get<std::vector<uint64_t>>();
  }

  StDtype dtype(const std::string& tensor, const json& entry) const {
    const auto found = entry.find("dtype");
    if (found == entry.end() || !found->is_string()) {
      fail(tensor, "dtype",
           {.what = "a field is missing or wrong", .expected = "the name of an element type"});
    }
    const auto& name = found->get_ref<const std::string&>();
    for (int i = 0; i < kStDtypeCount; ++i) {
      if (name == st_dtype_name(static_cast<StDtype>(i))) return static_cast<StDtype>(i);
    }
    fail(tensor, "dtype", {.what = "an element type that is not supported", .got = printable(name)});
  }

  Shape shape(const std::string& tensor, const json& entry) const {
    const std::vector<uint64_t> dims = numbers(tensor, entry, "shape");
    const size_t n_folded = dims.size() > Shape::kMaxDims ? dims.size() - Shape::kMaxDims : 0;
    Checked product = 1;  // zeros left out, so that no product of some of the dimensions overflows either
    int64_t outermost = 1;
    Shape shape;
    for (size_t i = 0; i < dims.size(); ++i) {
      product = product * std::max<uint64_t>(dims[i], 1);
      if (!product.at_most(kMaxElements)) {
        fail(tensor, "shape", {.what = "a tensor has too many elements", .expected = "at most 2^63 - 1"});
      }
      outermost *= static_cast<int64_t>(dims[i]);
      if (i < n_folded) continue;
      shape.push_back(i == n_folded ? outermost : static_cast<int64_t>(dims[i]));
    }
    return shape;
  }

  Entry read_entry(const std::string& name, const json& value) const {
    if (!value.is_object()) fail(name, "entry", {.what = "a tensor's entry is not a JSON object"});
    if (name.empty()) fail(name, "name", {.what = "a tensor's name is empty"});
    Entry entry = {.tensor = {.name = name, .dtype = dtype(name, value), .shape = shape(name, value)}};
    const std::vector<uint64_t> offsets = numbers(name, value, "data_offsets");
    if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_.size()) {
      fail(name, "data_offsets",
           {.what = "a tensor's data does not lie in the file",
            .expected = fmt::format("begin and end, at most {}", data_.size()),
            .got = printable(value["data_offsets"].dump()),
            .hint = "is the file complete?"});
    }
    std::tie(entry.begin, entry.end) = std::pair(offsets[0], offsets[1]);
    const Checked size =
        Checked(static_cast<uint64_t>(entry.tensor.shape.n_elements())) * st_dtype_bytes(entry.tensor.dtype);
    if (size.value() != entry.end - entry.begin) {
      fail(name, "data_offsets",
           {.what = "a tensor's data has the wrong size",
            .expected =
                fmt::format("{} of {}", entry.tensor.shape.to_string(), st_dtype_name(entry.tensor.dtype)),
            .got = fmt::format("{} bytes", entry.end - entry.begin)});
    }
    entry.tensor.data = data_.subspan(entry.begin, entry.end - entry.begin);
    return entry;
  }

  /// The spans must cover the data section exactly: no overlap, no gap, nothing behind the last.
  void place(std::vector<Entry>& entries) const {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
    });
    uint64_t at = 0;
    for (const Entry& entry : entries) {
      if (entry.begin != at) {
        fail(entry.tensor.name, "data_offsets",
             {.what = entry.begin < at ? "two tensors overlap" : "there is a gap before a tensor's data",
              .expected = fmt::format("begin at {}", at),
              .got = std::to_string(entry.begin)});
      }
      at = entry.end;
    }
    if (at != data_.size()) {
      throw Error({.what = "a safetensors file has bytes that belong to no tensor",
                   .where = fmt::format("{}, data offset {}", file_name_, at),
                   .expected = fmt::format("{} bytes of data", at),
                   .got = std::to_string(data_.size())});
    }
  }

  const std::string& file_name_;
  json header_;
  std::span<const std::byte> data_;
};

/// weight_map of an index: tensor -> name of a file that lies beside the index.
std::map<std::string, std::string> read_weight_map(const fs::path& index) {
  const json parsed = parse_json(read_file(index, kMaxHeaderBytes), index.string());
  const auto fail = [&](const char* what, const std::string& got) {
    throw Error({.what = what, .where = index.string() + ", weight_map", .got = printable(got)});
  };
  if (!parsed.is_object() || !parsed.contains("weight_map") || !parsed["weight_map"].is_object()) {
    fail("the index has no map from tensors to files", "");
  }
  std::map<std::string, std::string> shard_of;
  for (const auto& [tensor, value] : parsed["weight_map"].items()) {
    if (!value.is_string()) fail("a file name is not a string", tensor);
    const auto& file = value.get_ref<const std::string&>();
    if (!file.ends_with(".safetensors") || file.find_first_of(std::string_view("/\\\0", 3)) != file.npos) {
      fail("a shard must be a plain .safetensors name in the same folder", file);
    }
    shard_of.emplace(tensor, file);
  }
  return shard_of;
}

}  // namespace

Safetensors::Safetensors(std::span<const std::byte> bytes, std::string name) : name_(std::move(name)) {
  tensors_ = HeaderReader(bytes, name_).read();
}

Safetensors::Safetensors(const fs::path& file_or_folder) : name_(file_or_folder.string()) {
  std::error_code ignored;
  const bool folder = fs::is_directory(file_or_folder, ignored);
  const fs::path file = folder ? file_or_folder / "model.safetensors" : file_or_folder;
  const fs::path index = file_or_folder / "model.safetensors.index.json";
  if (!folder || fs::exists(file, ignored)) {
    mappings_.emplace_back(file);
    tensors_ = HeaderReader(mappings_.back().bytes(), file.string()).read();
  } else if (fs::exists(index, ignored)) {
    add_shards(file_or_folder, index);
  } else {
    throw Error({.what = "the folder holds no safetensors model",
                 .where = name_,
                 .expected = "model.safetensors or model.safetensors.index.json"});
  }
}

void Safetensors::add_shards(const fs::path& folder, const fs::path& index) {
  std::map<std::string, StTensors> shards;
  for (const auto& [tensor, file] : read_weight_map(index)) {
    auto shard = shards.find(file);
    if (shard == shards.end()) {
      const fs::path path = folder / file;
      std::error_code ignored;
      if (!fs::exists(path, ignored)) {
        throw Error({.what = "a shard of the model is missing",
                     .where = path.string(),
                     .hint = "the index names it; is the download complete?"});
      }
      mappings_.emplace_back(path);
      shard = shards.emplace(file, HeaderReader(mappings_.back().bytes(), path.string()).read()).first;
    }
    const auto found = shard->second.find(tensor);
    if (found == shard->second.end()) {
      throw Error({.what = "a tensor that the index names is not in its shard",
                   .where = fmt::format("{}, tensor {}", (folder / file).string(), printable(tensor))});
    }
    tensors_.insert(shard->second.extract(found));
  }
}

Safetensors::Safetensors(Safetensors&&) noexcept = default;
Safetensors::~Safetensors() = default;

const StTensor* Safetensors::find(std::string_view tensor_name) const {
  const auto found = tensors_.find(tensor_name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const StTensor& Safetensors::require(std::string_view tensor_name) const {
  if (const StTensor* tensor = find(tensor_name)) return *tensor;
  throw Error({.what = "a tensor is missing",
               .where = fmt::format("{}, tensor {}", name_, printable(std::string(tensor_name)))});
}

}  // namespace sw
