// SPDX-License-Identifier: MIT
#include <fmt/core.h>
#include <utility>

#include "base/error.h"
#include "formats/gguf.h"
#include "formats/gguf_scalar.h"

namespace sw {
namespace {

constexpr uint32_t kVersion = 3;

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_string(std::string& out, const std::string& text) {
  put(out, uint64_t{text.size()});
  out += text;
}

void put_array(std::string& out, const GgufArray& array) {
  put(out, static_cast<uint32_t>(array.element));
  put(out, uint64_t{array.size()});
  if (array.element == GgufType::String) {
    for (const std::string& text : std::get<std::vector<std::string>>(array.items)) put_string(out, text);
    return;
  }
  gguf::with_scalar(array.element, [&]<class T>() {
    for (const auto item : std::get<std::vector<gguf::Item<T>>>(array.items)) put(out, static_cast<T>(item));
  });
}

void put_value(std::string& out, const GgufValue& value) {
  put(out, static_cast<uint32_t>(value.type));
  if (value.type == GgufType::String) {
    put_string(out, std::get<std::string>(value.data));
  } else if (value.type == GgufType::Array) {
    put_array(out, std::get<GgufArray>(value.data));
  } else {
    gguf::with_scalar(value.type,
                      [&]<class T>() { put(out, static_cast<T>(std::get<gguf::Held<T>>(value.data))); });
  }
}

}  // namespace

void GgufHeader::refuse(const std::string& name, const char* what, std::string got) const {
  throw Error(
      {.what = what, .where = fmt::format("{}, {}", file_name_, printable(name)), .got = std::move(got)});
}

void GgufHeader::check_name(const std::string& name) const {
  if (name.empty() || name.size() > kGgufMaxNameBytes) {
    refuse(name, "GGUF cannot hold a name of this length", fmt::format("{} bytes", name.size()));
  }
}

void GgufHeader::set(const std::string& key, GgufValue value) {
  check_name(key);
  if (key == gguf::kAlignmentKey) return;
  const auto [at, is_new] = key_index_.emplace(key, metadata_.size());
  if (is_new) {
    metadata_.emplace_back(key, std::move(value));
  } else {
    metadata_[at->second].second = std::move(value);
  }
}

void GgufHeader::add_tensor(const std::string& tensor_name, Type type, const Shape& shape) {
  check_name(tensor_name);
  if (!tensor_names_.insert(tensor_name).second) {
    refuse(tensor_name, "a tensor's name is there twice", shape.to_string());
  }
  const TypeTraits& format = traits(type);
  if (shape.n_dims() == 0 || shape.n_elements() == 0 || shape.n_cols() % format.block_elems != 0) {
    refuse(tensor_name, "GGUF cannot hold a tensor of this shape and type",
           fmt::format("{} {}", format.name, shape.to_string()));
  }
  const uint64_t size_bytes = row_bytes(type, shape.n_cols()) * static_cast<uint64_t>(shape.n_rows());
  uint64_t offset = 0;
  if (!entries_.empty()) {
    const Entry& last = entries_.back();
    offset = gguf::padded(Checked(last.offset) + last.size_bytes);
  }
  entries_.push_back({tensor_name, type, shape, size_bytes, offset});
}

void GgufHeader::put_entry(std::string& out, const Entry& entry) {
  put_string(out, entry.name);
  put(out, static_cast<uint32_t>(entry.shape.n_dims()));
  for (int i = entry.shape.n_dims(); i-- > 0;) put(out, static_cast<uint64_t>(entry.shape[i]));
  put(out, static_cast<uint32_t>(entry.type));
  put(out, entry.offset);
}

std::string GgufHeader::bytes() const {
  std::string out;
  put(out, gguf::kMagic);
  put(out, kVersion);
  put(out, uint64_t{entries_.size()});
  put(out, uint64_t{metadata_.size()});
  for (const auto& [key, value] : metadata_) {
    put_string(out, key);
    put_value(out, value);
  }
  for (const Entry& entry : entries_) put_entry(out, entry);
  return out;
}

uint64_t GgufHeader::file_bytes() const {
  const uint64_t header_bytes = gguf::padded(bytes().size());
  if (entries_.empty()) return header_bytes;
  return header_bytes + gguf::padded(Checked(entries_.back().offset) + entries_.back().size_bytes);
}

struct GgufWriter::Impl {
  Impl(const std::filesystem::path& path, GgufHeader first)
      : header(std::move(first)), file(path, FileKind::Gguf) {}

  void write_header();
  void pad() { file.write(std::string(gguf::padded(file.size_bytes()) - file.size_bytes(), '\0')); }

  GgufHeader header;
  AtomicFile file;
  size_t n_written = 0;
  bool header_written = false;
};

void GgufWriter::Impl::write_header() {
  if (header_written) return;
  header_written = true;
  file.write(header.bytes());
  pad();
}

GgufWriter::GgufWriter(const std::filesystem::path& path) : GgufWriter(path, GgufHeader(path.string())) {}
GgufWriter::GgufWriter(const std::filesystem::path& path, GgufHeader header)
    : impl_(std::make_unique<Impl>(path, std::move(header))) {}
GgufWriter::~GgufWriter() = default;

void GgufWriter::set(const std::string& key, GgufValue value) {
  SW_ASSERT(!impl_->header_written);
  impl_->header.set(key, std::move(value));
}

void GgufWriter::add_tensor(const std::string& tensor_name, Type type, const Shape& shape) {
  SW_ASSERT(!impl_->header_written);
  impl_->header.add_tensor(tensor_name, type, shape);
}

void GgufWriter::write_tensor(std::span<const std::byte> bytes) {
  impl_->write_header();
  SW_ASSERT(impl_->n_written < impl_->header.n_tensor());
  SW_ASSERT(bytes.size() == impl_->header.tensor_bytes(impl_->n_written));
  impl_->file.write(bytes);
  impl_->pad();
  ++impl_->n_written;
}

void GgufWriter::seal() {
  SW_ASSERT(impl_->n_written == impl_->header.n_tensor());
  impl_->write_header();
  impl_->file.seal();
}

void GgufWriter::finish() {
  seal();
  impl_->file.commit();
}

}  // namespace sw
