// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <bit>
#include <fmt/core.h>
#include <limits>
#include <tuple>

#include "base/checked.h"
#include "base/error.h"
#include "formats/foreign_types.h"
#include "formats/gguf.h"
#include "formats/gguf_scalar.h"
#include "formats/reader.h"

namespace sw {
namespace {

// The least bytes that one metadata pair (key length, one byte of key, type, one byte of value), one
// tensor entry (name length, one byte of name, n_dims, one dimension, type, offset) and one string take.
constexpr uint64_t kMinPairBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;
constexpr uint64_t kMinStringBytes = 8;

// An item in memory takes more bytes than in the file (a string four times as many), so the file's size
// alone is no bound that protects us. The largest vocabularies have a sixteenth of this.
constexpr uint64_t kMaxArrayItems = 1 << 24;

constexpr uint64_t kMinAlignment = 8, kMaxAlignment = 1 << 20;
constexpr uint64_t kMaxElements = std::numeric_limits<int64_t>::max();

void read_magic(ByteReader& reader) {
  const std::string_view magic = reader.text(4, "magic");
  if (magic == "GGUF") return;
  const bool lfs = magic == "vers";  // "version https://git-lfs.github.com/spec/v1"
  reader.fail(0, "magic",
              {.what = "this is not a GGUF file",
               .expected = "GGUF",
               .got = printable(std::string(magic)),
               .hint = lfs ? "this looks like a Git LFS pointer: fetch the file itself" : ""});
}

uint32_t read_version(ByteReader& reader) {
  const uint64_t at = reader.offset();
  const auto version = reader.number<uint32_t>("version");
  if (version == 2 || version == 3) return version;
  if (version == 0x02000000 || version == 0x03000000) {
    reader.fail(at, "version",
                {.what = "this GGUF file is big-endian, which is not supported",
                 .hint = "convert it to little-endian"});
  }
  reader.fail(
      at, "version",
      {.what = "this GGUF version is not supported", .expected = "2 or 3", .got = std::to_string(version)});
}

/// A key or tensor name.
std::string read_name(ByteReader& reader) {
  constexpr const char* kField = "name";
  const uint64_t at = reader.offset();
  const auto n_bytes = reader.number<uint64_t>(kField);
  if (n_bytes == 0 || n_bytes > kGgufMaxNameBytes) {
    reader.fail(at, kField,
                {.what = "a name is empty or too long",
                 .expected = fmt::format("1 to {} bytes", kGgufMaxNameBytes),
                 .got = std::to_string(n_bytes)});
  }
  const std::string_view name = reader.text(n_bytes, kField);
  if (name.find('\0') != name.npos) reader.fail(at, kField, {.what = "a name holds a zero byte"});
  return std::string(name);
}

GgufType read_type(ByteReader& reader, const char* field) {
  const uint64_t at = reader.offset();
  const auto id = reader.number<uint32_t>(field);
  if (id >= kGgufTypeCount) {
    reader.fail(at, field,
                {.what = "unknown type of a metadata value",
                 .expected = fmt::format("below {}", kGgufTypeCount),
                 .got = std::to_string(id)});
  }
  return static_cast<GgufType>(id);
}

template <class T>
T read_scalar(ByteReader& reader) {
  if constexpr (std::is_same_v<T, bool>) {
    const uint64_t at = reader.offset();
    const auto byte = reader.number<uint8_t>("value");
    if (byte > 1) {
      reader.fail(at, "value",
                  {.what = "a bool is neither", .expected = "0 or 1", .got = std::to_string(byte)});
    }
    return byte == 1;
  } else {
    return reader.number<T>("value");
  }
}

std::string read_string(ByteReader& reader) {
  return std::string(reader.text(reader.number<uint64_t>("string length"), "string"));
}

/// `n` items, each got from read_item(). The caller has checked that the file holds them.
template <class T, class F>
std::vector<T> read_items(uint64_t n, F&& read_item) {
  std::vector<T> items;
  items.reserve(n);
  for (uint64_t i = 0; i < n; ++i) items.push_back(read_item());
  return items;
}

uint64_t read_array_count(ByteReader& reader, uint64_t min_item_bytes) {
  const uint64_t at = reader.offset();
  const uint64_t n = reader.count(min_item_bytes, "array length");
  if (n > kMaxArrayItems) {
    reader.fail(at, "array length",
                {.what = "an array is too long",
                 .expected = fmt::format("at most {} items", kMaxArrayItems),
                 .got = std::to_string(n)});
  }
  return n;
}

GgufArray read_array(ByteReader& reader) {
  const uint64_t at = reader.offset();
  GgufArray array = {.element = read_type(reader, "array type")};
  if (array.element == GgufType::Array) {
    reader.fail(at, "array type", {.what = "arrays of arrays are not supported"});
  }
  if (array.element == GgufType::String) {
    const uint64_t n = read_array_count(reader, kMinStringBytes);
    array.items = read_items<std::string>(n, [&] { return read_string(reader); });
  } else {
    gguf::with_scalar(array.element, [&]<class T>() {
      const uint64_t n = read_array_count(reader, sizeof(T));
      array.items = read_items<gguf::Item<T>>(n, [&] { return gguf::Item<T>{read_scalar<T>(reader)}; });
    });
  }
  return array;
}

GgufValue read_value(ByteReader& reader) {
  GgufValue value = {.offset = reader.offset()};
  value.type = read_type(reader, "value type");
  if (value.type == GgufType::String) {
    value.data = read_string(reader);
  } else if (value.type == GgufType::Array) {
    value.data = read_array(reader);
  } else {
    gguf::with_scalar(value.type, [&]<class T>() { value.data = gguf::Held<T>{read_scalar<T>(reader)}; });
  }
  return value;
}

/// Dimensions stand innermost first in the file. None is zero and the number of elements fits i64.
Shape read_shape(ByteReader& reader) {
  const uint64_t at = reader.offset();
  const auto n_dims = reader.number<uint32_t>("number of dimensions");
  if (n_dims < 1 || n_dims > Shape::kMaxDims) {
    reader.fail(at, "number of dimensions",
                {.what = "a tensor's number of dimensions is out of range",
                 .expected = fmt::format("1 to {}", Shape::kMaxDims),
                 .got = std::to_string(n_dims)});
  }
  std::array<int64_t, Shape::kMaxDims> dims = {};
  Checked n_elements = 1;
  for (uint32_t i = 0; i < n_dims; ++i) {
    const uint64_t dim_at = reader.offset();
    const auto dim = reader.number<uint64_t>("dimension");
    n_elements = n_elements * dim;
    if (dim == 0 || !n_elements.at_most(kMaxElements)) {
      reader.fail(dim_at, "dimension",
                  {.what = dim == 0 ? "a tensor's dimension is zero" : "a tensor has too many elements",
                   .expected = "1 to 2^63 - 1 elements",
                   .got = fmt::format("dimension {}", dim)});
    }
    dims[i] = static_cast<int64_t>(dim);
  }
  Shape shape;
  for (uint32_t i = n_dims; i-- > 0;) shape.push_back(dims[i]);
  return shape;
}

/// Bytes of a tensor whose type is none of ours; 0 where only its number is known. Nothing is read of them,
/// but that they end inside the file is checked as for others.
uint64_t foreign_size_bytes(const GgufTensor& tensor) {
  const ForeignType* type = find_foreign_type(tensor.type_id);
  if (!type || type->block_elems == 0 || tensor.shape.n_cols() % type->block_elems != 0) return 0;
  const auto n_block = static_cast<uint64_t>(tensor.shape.n_elements() / type->block_elems);
  return (Checked(n_block) * type->block_bytes).value().value_or(0);
}

/// Bytes of a tensor's data, at most the file's.
uint64_t tensor_size_bytes(const ByteReader& reader, const GgufTensor& tensor) {
  const std::optional<Type> type = type_from_id(tensor.type_id);
  if (!type) return foreign_size_bytes(tensor);
  const int block_elems = traits(*type).block_elems;
  if (tensor.shape.n_cols() % block_elems != 0) {
    reader.fail(tensor.info_offset, "shape",
                {.what = "a tensor's rows are not whole blocks of its type",
                 .expected = fmt::format("a multiple of {} ({})", block_elems, type_name(*type)),
                 .got = tensor.shape.to_string()});
  }
  // No format stores an element in less than a bit. Checked first, so that row_bytes() cannot overflow.
  const bool fits = static_cast<uint64_t>(tensor.shape.n_elements()) / 8 <= reader.size_bytes();
  const Checked size =
      fits ? Checked(row_bytes(*type, tensor.shape.n_cols())) * static_cast<uint64_t>(tensor.shape.n_rows())
           : Checked(std::numeric_limits<uint64_t>::max());
  if (!size.at_most(reader.size_bytes())) {
    reader.fail(tensor.info_offset, "shape",
                {.what = "a tensor is larger than the file",
                 .expected = fmt::format("at most {} bytes", reader.size_bytes()),
                 .got = fmt::format("{} of {}", tensor.shape.to_string(), type_name(*type)),
                 .hint = "is the file complete?"});
  }
  return *size.value();
}

}  // namespace

GgufFile::GgufFile(const std::filesystem::path& path) : GgufFile(path, OnePart{}) { read_other_parts(); }

GgufFile::GgufFile(const std::filesystem::path& path, OnePart) : name_(path.string()), metadata_(name_) {
  mappings_.push_back(std::make_unique<MappedFile>(path));
  parse(mappings_.front()->bytes());
  check_unchanged();
}

GgufFile::GgufFile(std::span<const std::byte> bytes, std::string name)
    : name_(std::move(name)), metadata_(name_) {
  parse(bytes);
}

void GgufFile::parse(std::span<const std::byte> bytes) {
  size_bytes_ = bytes.size();
  ByteReader reader(bytes, name_);
  read_magic(reader);
  version_ = read_version(reader);
  const uint64_t n_tensors = reader.count(kMinTensorBytes, "tensor count");
  const uint64_t n_keys = reader.count(kMinPairBytes, "key count");
  read_metadata(reader, n_keys);
  read_alignment(reader);
  read_tensors(reader, n_tensors);
  place_tensors(reader, bytes);
  refuse_overlaps(reader);
}

void GgufFile::read_metadata(ByteReader& reader, uint64_t n_keys) {
  for (uint64_t i = 0; i < n_keys; ++i) {
    const uint64_t at = reader.offset();
    reader.set_subject(fmt::format("key {} of {}", i + 1, n_keys));
    const std::string key = read_name(reader);
    reader.set_subject("key " + key);
    if (metadata_.find(key)) reader.fail(at, "name", {.what = "a key is there twice"});
    metadata_.set(key, read_value(reader));
  }
  reader.set_subject("");
}

void GgufFile::read_alignment(ByteReader& reader) {
  const GgufValue* value = metadata_.find(gguf::kAlignmentKey);
  if (!value) return;
  if (value->type != GgufType::U32) metadata_.refuse(gguf::kAlignmentKey, "u32", gguf_type_name(value->type));
  alignment_ = std::get<uint64_t>(value->data);
  if (!std::has_single_bit(alignment_) || alignment_ < kMinAlignment || alignment_ > kMaxAlignment) {
    reader.fail(value->offset, gguf::kAlignmentKey,
                {.what = "the file's alignment cannot be used",
                 .expected = fmt::format("a power of two, {} to {}", kMinAlignment, kMaxAlignment),
                 .got = std::to_string(alignment_)});
  }
}

void GgufFile::read_tensors(ByteReader& reader, uint64_t n_tensors) {
  for (uint64_t i = 0; i < n_tensors; ++i) {
    GgufTensor tensor = {.info_offset = reader.offset()};
    reader.set_subject(fmt::format("tensor {} of {}", i + 1, n_tensors));
    tensor.name = read_name(reader);
    reader.set_subject("tensor " + tensor.name);
    if (!tensor_index_.emplace(tensor.name, i).second) {
      reader.fail(tensor.info_offset, "name", {.what = "a tensor's name is there twice"});
    }
    tensor.shape = read_shape(reader);
    tensor.type_id = reader.number<uint32_t>("type");
    tensor.offset = reader.number<uint64_t>("data offset");
    tensor.size_bytes = tensor_size_bytes(reader, tensor);
    tensors_.push_back(std::move(tensor));
  }
  reader.set_subject("");
}

void GgufFile::place_tensors(ByteReader& reader, std::span<const std::byte> bytes) {
  data_offset_ = *align_up(Checked(reader.offset()), alignment_).value();
  for (GgufTensor& tensor : tensors_) {
    reader.set_subject("tensor " + tensor.name);
    const Checked begin = Checked(data_offset_) + tensor.offset;
    if (tensor.offset % alignment_ != 0) {
      reader.fail(tensor.info_offset, "data offset",
                  {.what = "a tensor's data is not aligned",
                   .expected = fmt::format("a multiple of {}", alignment_),
                   .got = std::to_string(tensor.offset)});
    }
    if (!(begin + tensor.size_bytes).at_most(size_bytes_)) {
      reader.fail(tensor.info_offset, "data offset",
                  {.what = "a tensor's data ends past the end of the file",
                   .expected = fmt::format("at most {} bytes", size_bytes_),
                   .got = fmt::format("{} bytes at {} + {}", tensor.size_bytes, data_offset_, tensor.offset),
                   .hint = "is the file complete?"});
    }
    tensor.data = bytes.data() + *begin.value();
  }
  reader.set_subject("");
}

/// Shared bytes would let a small file claim any amount of memory once its tensors are copied.
void GgufFile::refuse_overlaps(ByteReader& reader) const {
  std::vector<const GgufTensor*> by_offset;
  for (const GgufTensor& tensor : tensors_) by_offset.push_back(&tensor);
  std::sort(by_offset.begin(), by_offset.end(), [](const GgufTensor* a, const GgufTensor* b) {
    return std::tie(a->offset, a->size_bytes) < std::tie(b->offset, b->size_bytes);
  });
  for (size_t i = 1; i < by_offset.size(); ++i) {
    const GgufTensor& before = *by_offset[i - 1];
    const GgufTensor& tensor = *by_offset[i];
    if (before.offset + before.size_bytes <= tensor.offset) continue;  // both were checked against the file
    reader.set_subject("tensor " + tensor.name);
    reader.fail(tensor.info_offset, "data offset",
                {.what = "two tensors overlap",
                 .expected = fmt::format("at least {}", before.offset + before.size_bytes),
                 .got = fmt::format("{}, inside {}", tensor.offset, printable(before.name))});
  }
}

}  // namespace sw
