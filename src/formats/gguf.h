// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/file.h"
#include "quant/type.h"
#include "tensor/shape.h"

namespace sw {

class ByteReader;

/// Value types of GGUF metadata, by their number in the file.
enum class GgufType : uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64 };
constexpr uint32_t kGgufTypeCount = 13;
/// "u8", ..., "string", "array"
const char* gguf_type_name(GgufType type);

/// The longest key or tensor name, in bytes.
constexpr uint64_t kGgufMaxNameBytes = 65535;

/// An array of one scalar type or of strings. Integers are widened, a bool is 0 or 1 in the vector of
/// u64. Nested arrays are refused when read.
struct GgufArray {
  GgufType element = GgufType::U8;
  std::variant<std::vector<int64_t>, std::vector<uint64_t>, std::vector<double>, std::vector<std::string>>
      items = {};
  size_t size() const;
};

/// One metadata value. Integers are widened; `type` keeps what the file said.
struct GgufValue {
  GgufType type = GgufType::U8;
  std::variant<int64_t, uint64_t, double, bool, std::string, GgufArray> data = {};
  uint64_t offset = 0;  ///< where its type number stands in the file, for messages; 0 where set by hand

  static GgufValue u16(uint16_t v);
  static GgufValue u32(uint32_t v);
  static GgufValue i32(int32_t v);
  static GgufValue u64(uint64_t v);
  static GgufValue f32(float v);
  static GgufValue boolean(bool v);
  static GgufValue string(std::string v);
  static GgufValue strings(std::vector<std::string> v);
  static GgufValue i32s(const std::vector<int32_t>& v);
  static GgufValue f32s(const std::vector<float>& v);
};

/// Where a tensor lies. `type` is the number in the file: it may be one that we cannot decode.
struct GgufTensor {
  std::string name = {};
  uint32_t type_id = 0;
  Shape shape = {};         ///< outermost first
  uint64_t offset = 0;      ///< from the start of the file's data section
  uint64_t size_bytes = 0;  ///< 0 where the type is unknown to us
  const std::byte* data = nullptr;
  int split = 0;             ///< which part of a split file holds it
  uint64_t info_offset = 0;  ///< where its entry stands in the file's header, for messages
};

/// A file's metadata, in its order. Throws sw::Error that says where the key stands.
class GgufMetadata {
 public:
  /// `file_name` for messages.
  explicit GgufMetadata(std::string file_name) : file_name_(std::move(file_name)) {}

  const std::vector<std::pair<std::string, GgufValue>>& entries() const { return entries_; }
  /// Null where there is none of that name. O(log n).
  const GgufValue* find(std::string_view key) const;
  /// Adds a value, or replaces the one that is there.
  void set(const std::string& key, GgufValue value);
  /// Where a key's value stands, for messages: "FILE, offset N, key K". No offset where the file lacks the
  /// key.
  std::string place_of(std::string_view key) const;
  /// Throws that a key's value cannot be used.
  [[noreturn]] void refuse(std::string_view key, const char* expected, std::string got) const;

  // Typed getters. Integers of any width and sign convert where the value fits, and where a
  // float is asked for. A key of the wrong type or out of range throws sw::Error; a missing one gives
  // nothing (get) or throws (require).
  std::optional<int64_t> get_int(std::string_view key) const;
  std::optional<double> get_float(std::string_view key) const;
  std::optional<bool> get_bool(std::string_view key) const;
  std::optional<std::string> get_string(std::string_view key) const;
  const std::vector<std::string>* get_strings(std::string_view key) const;
  std::optional<std::vector<int64_t>> get_ints(std::string_view key) const;
  /// Likewise an array of booleans, as 0 and 1.
  std::optional<std::vector<int64_t>> get_bools_or_ints(std::string_view key) const;
  std::optional<std::vector<double>> get_floats(std::string_view key) const;
  int64_t require_int(std::string_view key) const;
  std::string require_string(std::string_view key) const;

 private:
  template <class T>
  T required(std::optional<T> value, std::string_view key) const;

  std::string file_name_;
  std::vector<std::pair<std::string, GgufValue>> entries_ = {};
  std::map<std::string, size_t, std::less<>> index_ = {};
};

/// A GGUF file (version 2 or 3), read with every count and offset checked against the bytes that are
/// there. Holds the mapping: tensor data is valid as long as this lives.
/// Throws sw::Error naming file, offset and field on anything malformed. Cost: one pass over the header;
/// memory at most a small multiple of the header's size, never what a count in it claims.
class GgufFile {
 public:
  /// The first part of a split (see gguf_split.h) is read with the others, which stand beside it: metadata
  /// is the first part's, tensors are those of all parts in order.
  explicit GgufFile(const std::filesystem::path& path);
  /// The same from bytes in memory, which must outlive this (tests, fuzzing).
  GgufFile(std::span<const std::byte> bytes, std::string name);

  const std::string& name() const { return name_; }
  uint32_t version() const { return version_; }
  /// Of all parts.
  uint64_t size_bytes() const { return size_bytes_; }
  uint64_t alignment() const { return alignment_; }
  uint64_t data_offset() const { return data_offset_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  /// Null where there is none of that name. O(log n).
  const GgufTensor* find_tensor(std::string_view tensor_name) const;
  /// A tensor's format; throws sw::Error where it is none of ours.
  Type require_type(const GgufTensor& tensor) const;
  const GgufMetadata& metadata() const { return metadata_; }
  GgufMetadata& metadata() { return metadata_; }
  /// Where a tensor is listed, for messages: "FILE, offset N, tensor NAME", FILE being the part that holds
  /// it.
  std::string place_of(const GgufTensor& tensor) const;
  /// Throws sw::SystemError where the file was changed since it was opened: what was read may be wrong.
  void check_unchanged() const {
    for (const auto& mapping : mappings_) mapping->check_unchanged();
  }

 private:
  struct OnePart {};
  GgufFile(const std::filesystem::path& path, OnePart);
  void read_other_parts();
  void check_part(const GgufFile& part, int64_t i) const;
  void add_part(GgufFile part);
  void parse(std::span<const std::byte> bytes);
  void read_metadata(ByteReader& reader, uint64_t n_keys);
  void read_alignment(ByteReader& reader);
  void read_tensors(ByteReader& reader, uint64_t n_tensors);
  void place_tensors(ByteReader& reader, std::span<const std::byte> bytes);
  void refuse_overlaps(ByteReader& reader) const;

  std::string name_;
  std::vector<std::unique_ptr<MappedFile>> mappings_;  ///< one a part; none for bytes in memory
  uint32_t version_ = 0;
  uint64_t size_bytes_ = 0, alignment_ = 32, data_offset_ = 0;
  GgufMetadata metadata_;
  std::map<std::string, size_t, std::less<>> tensor_index_;
  std::vector<GgufTensor> tensors_;
};

/// What GGUF v3 files begin with: metadata and a list of tensors, whose bytes follow, aligned to 32.
/// Throws sw::Error for a key, name or shape that the format cannot hold.
class GgufHeader {
 public:
  /// `file_name` for messages.
  explicit GgufHeader(std::string file_name) : file_name_(std::move(file_name)) {}

  /// A key that is there already is replaced in place. general.alignment is passed over: the alignment is
  /// the writer's own, so that another file's metadata can be copied whole.
  void set(const std::string& key, GgufValue value);
  void add_tensor(const std::string& tensor_name, Type type, const Shape& shape);
  /// As in the file, without the padding behind it.
  std::string bytes() const;
  /// Of the whole file, tensors included. Cost: makes bytes().
  uint64_t file_bytes() const;

  size_t n_tensor() const { return entries_.size(); }
  uint64_t tensor_bytes(size_t i) const { return entries_[i].size_bytes; }

 private:
  struct Entry {
    std::string name = {};
    Type type = Type::F32;
    Shape shape = {};
    uint64_t size_bytes = 0, offset = 0;
  };
  static void put_entry(std::string& out, const Entry& entry);
  void check_name(const std::string& name) const;
  [[noreturn]] void refuse(const std::string& name, const char* what, std::string got) const;

  std::string file_name_;
  std::vector<std::pair<std::string, GgufValue>> metadata_ = {};
  std::map<std::string, size_t> key_index_ = {};
  std::set<std::string> tensor_names_ = {};
  std::vector<Entry> entries_ = {};
};

/// Writes GGUF v3. Metadata and the tensor list first, then each tensor's bytes in the order of the list, so
/// that a tensor can be made, written and forgotten. The file gets its name in finish(); destroyed before
/// that, nothing remains. Throws sw::Error as GgufHeader, sw::SystemError as AtomicFile.
class GgufWriter {
 public:
  explicit GgufWriter(const std::filesystem::path& path);
  /// Of a file whose header is known.
  GgufWriter(const std::filesystem::path& path, GgufHeader header);
  ~GgufWriter();
  /// As GgufHeader has them.
  void set(const std::string& key, GgufValue value);
  void add_tensor(const std::string& tensor_name, Type type, const Shape& shape);
  /// Bytes of the next tensor of the list; the first call writes the header. The size must be exact.
  void write_tensor(std::span<const std::byte> bytes);
  /// Everything is on disk, the name still to be given: of several files none appears before all are there.
  void seal();
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sw
