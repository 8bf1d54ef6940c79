// SPDX-License-Identifier: MIT
#include <nlohmann/json.hpp>

#include "base/checked.h"
#include "base/error.h"
#include "formats/safetensors.h"

namespace sw {

void SafetensorsWriter::add(const std::string& tensor_name, const Shape& shape, std::vector<float> values) {
  add(tensor_name, StDtype::F32, shape, std::as_bytes(std::span(values)));
}

void SafetensorsWriter::add(const std::string& tensor_name, const Shape& shape, std::vector<int32_t> values) {
  add(tensor_name, StDtype::I32, shape, std::as_bytes(std::span(values)));
}

void SafetensorsWriter::add(const std::string& tensor_name, const Shape& shape, std::vector<int16_t> values) {
  add(tensor_name, StDtype::I16, shape, std::as_bytes(std::span(values)));
}

void SafetensorsWriter::add_f16(const std::string& tensor_name, const Shape& shape,
                                std::vector<uint16_t> values) {
  add(tensor_name, StDtype::F16, shape, std::as_bytes(std::span(values)));
}

void SafetensorsWriter::add(const std::string& tensor_name, StDtype dtype, const Shape& shape,
                            std::span<const std::byte> bytes) {
  SW_ASSERT(bytes.size() == static_cast<size_t>(shape.n_elements()) * st_dtype_bytes(dtype));
  entries_.push_back({tensor_name, dtype, shape, {bytes.begin(), bytes.end()}});
}

void SafetensorsWriter::write(const std::filesystem::path& path) const {
  nlohmann::json header = nlohmann::json::object();
  if (!metadata_.empty()) header["__metadata__"] = metadata_;
  uint64_t offset = 0;
  for (const Entry& entry : entries_) {
    SW_ASSERT(!header.contains(entry.name));
    nlohmann::json dims = nlohmann::json::array();
    for (int i = 0; i < entry.shape.n_dims(); ++i) dims.push_back(entry.shape[i]);
    header[entry.name] = {{"dtype", st_dtype_name(entry.dtype)},
                          {"shape", dims},
                          {"data_offsets", {offset, offset + entry.bytes.size()}}};
    offset += entry.bytes.size();
  }
  // Names come from files: bytes that are no UTF-8 are replaced rather than refused.
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.resize(*align_up(Checked(text.size()), 8).value(), ' ');  // data aligned for readers that map it
  const uint64_t n_bytes = text.size();
  AtomicFile file(path, FileKind::Safetensors);
  file.write(std::as_bytes(std::span(&n_bytes, 1)));
  file.write(text);
  for (const Entry& entry : entries_) file.write(entry.bytes);
  file.commit();
}

}  // namespace sw
