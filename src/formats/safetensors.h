// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "tensor/shape.h"

namespace sw {

/// Element types of safetensors that are read.
enum class StDtype { F64, F32, F16, BF16, F8_E4M3, F8_E8M0, I64, I32, I16, I8, U8, Bool };
constexpr int kStDtypeCount = 12;
size_t st_dtype_bytes(StDtype dtype);
const char* st_dtype_name(StDtype dtype);

struct StTensor {
  std::string name = {};
  StDtype dtype = StDtype::F32;
  Shape shape = {};  ///< where the file has more than four dimensions, the outermost are multiplied together
  std::span<const std::byte> data = {};  ///< little endian, exactly n_elements * dtype size
};

using StTensors = std::map<std::string, StTensor, std::less<>>;

/// One .safetensors file, or a folder with model.safetensors or model.safetensors.index.json and its
/// shards, of which the tensors that the index lists are taken. Header at most 100 MB, spans inside the
/// file, no overlaps and no gaps; an element type that is not in StDtype is refused.
/// Holds the mappings: tensor data is valid as long as this lives (or what it was moved to).
/// Throws sw::Error naming file and tensor or offset.
class Safetensors {
 public:
  explicit Safetensors(const std::filesystem::path& file_or_folder);
  /// One file in memory; the bytes must outlive this.
  Safetensors(std::span<const std::byte> bytes, std::string name);
  Safetensors(Safetensors&&) noexcept;
  ~Safetensors();

  const StTensors& tensors() const { return tensors_; }
  /// Null where there is none of that name.
  const StTensor* find(std::string_view tensor_name) const;
  /// Throws sw::SystemError where a file was changed since it was opened: what was read may be wrong.
  void check_unchanged() const {
    for (const MappedFile& mapping : mappings_) mapping.check_unchanged();
  }
  /// Throws sw::Error where it is missing.
  const StTensor& require(std::string_view tensor_name) const;
  /// The tensor's values as f32 (from any float type, or integers).
  static std::vector<float> to_f32(const StTensor& tensor);
  /// As i32; throws where a value does not fit or the type is a float.
  static std::vector<int32_t> to_i32(const StTensor& tensor);

 private:
  void add_shards(const std::filesystem::path& folder, const std::filesystem::path& index);

  std::string name_;
  std::vector<MappedFile> mappings_;
  StTensors tensors_;
};

/// Collects tensors and writes one .safetensors file (traces, dumps), data in the order of add(). Names
/// must differ and values must fill the shape.
class SafetensorsWriter {
 public:
  void add(const std::string& tensor_name, const Shape& shape, std::vector<float> values);
  void add(const std::string& tensor_name, const Shape& shape, std::vector<int32_t> values);
  void add(const std::string& tensor_name, const Shape& shape, std::vector<int16_t> values);
  /// Bits of f16.
  void add_f16(const std::string& tensor_name, const Shape& shape, std::vector<uint16_t> values);
  /// An entry of the header's `__metadata__`.
  void describe(const std::string& key, const std::string& value) { metadata_[key] = value; }
  void write(const std::filesystem::path& path) const;

 private:
  void add(const std::string& tensor_name, StDtype dtype, const Shape& shape,
           std::span<const std::byte> bytes);

  struct Entry {
    std::string name = {};
    StDtype dtype = StDtype::F32;
    Shape shape = {};
    std::vector<std::byte> bytes = {};
  };
  std::vector<Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace sw
