// SPDX-License-Identifier: MIT
#include "slots/model_identity.h"

#include <algorithm>
#include <fmt/core.h>
#include <string_view>
#include <type_traits>

#include "base/checksum.h"

namespace sw {
namespace {

constexpr uint64_t kSampleBytes = 4096;

class Identity {
 public:
  template <class T>
  requires std::is_arithmetic_v<T>
  void add(T number) { sum_.add(std::as_bytes(std::span(&number, 1))); }
  void add(std::string_view text) {
    add(text.size());
    sum_.add(std::as_bytes(std::span(text)));
  }
  void add(const std::string& text) { add(std::string_view(text)); }
  template <class T>
  void add(const std::vector<T>& items) {
    add(items.size());
    for (const T& item : items) add(item);
  }
  void add(const GgufArray& array) {
    std::visit([this](const auto& items) { add(items); }, array.items);
  }
  void add(const GgufValue& value) {
    add(value.data.index());
    std::visit([this](const auto& data) { add(data); }, value.data);
  }
  void add(const GgufTensor& tensor) {
    add(tensor.name);
    add(tensor.type_id);
    for (int i = 0; i < tensor.shape.n_dims(); ++i) add(tensor.shape[i]);
    sum_.add({tensor.data, std::min(tensor.size_bytes, kSampleBytes)});
  }
  uint64_t value() const { return sum_.value(); }

 private:
  Checksum sum_;
};

}  // namespace

std::string model_identity(const Model& model) {
  Identity identity;
  const GgufFile& file = model.file();
  const std::string architecture = file.metadata().require_string("general.architecture");
  identity.add(architecture);
  for (const auto& [key, value] : file.metadata().entries()) {
    if (!key.starts_with(architecture + ".")) continue;
    identity.add(key);
    identity.add(value);
  }
  for (const GgufTensor& tensor : file.tensors()) identity.add(tensor);
  return fmt::format("{:016x}", identity.value());
}

}  // namespace sw
