// SPDX-License-Identifier: MIT
#include "fuzz/mutate_gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "formats/gguf.h"
#include "fuzz/edge_values.h"
#include "fuzz/mutate_json.h"

namespace sw::fuzz {
namespace {

struct Field {
  enum class Kind { Number, Text } kind = Kind::Number;
  size_t at = 0, n_bytes = 0;
};

/// The head of the file, a key with its value, or a tensor's entry.
struct Entry {
  size_t begin = 0, end = 0;
  size_t value_at = 0;  ///< of a key: where its value type stands
  std::vector<Field> fields = {};
};

constexpr uint64_t kMaxAlignment = 4096;  // a larger one would make the file large, too
constexpr size_t kCountsAt = 8;           // the number of tensors, then that of keys

size_t scalar_bytes(uint32_t type) {
  constexpr size_t kBytes[kGgufTypeCount] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < kGgufTypeCount ? kBytes[type] : 0;
}

/// Finds the fields of a header, as far as it can be read.
class Layout {
 public:
  explicit Layout(const std::string& file) : file_(file) { good_ = read(); }

  bool good() const { return good_; }
  size_t header_end() const { return at_; }
  uint64_t alignment() const { return alignment_; }
  uint64_t n_key() const { return n_key_; }
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  bool number(size_t n_bytes, uint64_t& value) {
    value = 0;
    if (n_bytes > file_.size() - at_) return false;
    std::memcpy(&value, file_.data() + at_, n_bytes);
    entries_.back().fields.push_back({Field::Kind::Number, at_, n_bytes});
    at_ += n_bytes;
    return true;
  }
  bool text(std::string& value) {
    uint64_t n_bytes = 0;
    if (!number(8, n_bytes) || n_bytes > file_.size() - at_) return false;
    value = file_.substr(at_, n_bytes);
    entries_.back().fields.push_back({Field::Kind::Text, at_, n_bytes});
    at_ += n_bytes;
    return true;
  }
  bool scalar(uint32_t type, uint64_t& value) {
    std::string ignored;
    if (static_cast<GgufType>(type) == GgufType::String) return text(ignored);
    const size_t n_bytes = scalar_bytes(type);
    return n_bytes > 0 && number(n_bytes, value);
  }
  bool key() {
    std::string name;
    uint64_t type = 0, value = 0, n = 1;
    if (!text(name)) return false;
    entries_.back().value_at = at_;
    if (!number(4, type)) return false;
    const bool array = static_cast<GgufType>(type) == GgufType::Array;
    if (array && (!number(4, type) || !number(8, n))) return false;
    for (uint64_t i = 0; i < n; ++i) {
      if (!scalar(static_cast<uint32_t>(type), value)) return false;
    }
    const bool usable = std::has_single_bit(value) && value <= kMaxAlignment;
    if (name == "general.alignment" && usable) alignment_ = value;
    return true;
  }
  bool tensor() {
    std::string name;
    uint64_t n_dims = 0, ignored = 0;
    if (!text(name) || !number(4, n_dims)) return false;
    for (uint64_t i = 0; i < n_dims; ++i) {
      if (!number(8, ignored)) return false;
    }
    return number(4, ignored) && number(8, ignored);
  }
  template <class F>
  bool entry(F&& read_fields) {
    entries_.push_back({.begin = at_});
    const bool complete = read_fields();
    entries_.back().end = at_;
    return complete;
  }
  bool read() {
    uint64_t ignored = 0, n_tensor = 0;
    const bool head = entry(
        [&] { return number(4, ignored) && number(4, ignored) && number(8, n_tensor) && number(8, n_key_); });
    if (!head) return false;
    for (uint64_t i = 0; i < n_key_; ++i) {
      if (!entry([&] { return key(); })) return false;
    }
    for (uint64_t i = 0; i < n_tensor; ++i) {
      if (!entry([&] { return tensor(); })) return false;
    }
    return true;
  }

  const std::string& file_;
  size_t at_ = 0;
  uint64_t alignment_ = 32, n_key_ = 0;
  std::vector<Entry> entries_;
  bool good_ = false;
};

template <class T>
std::string bytes_of(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string with_length(const std::string& text) { return bytes_of(uint64_t{text.size()}) + text; }

/// Puts `now` in place of part of the header; tensor data stays at its place behind it.
void splice(std::string& file, const Layout& layout, size_t at, size_t n_bytes, const std::string& now) {
  const auto padded = [&](size_t n) {
    return (n + layout.alignment() - 1) / layout.alignment() * layout.alignment();
  };
  const size_t data_at = std::min(padded(layout.header_end()), file.size());
  file.replace(at, n_bytes, now);
  if (!layout.good()) return;
  const size_t header_end = layout.header_end() - n_bytes + now.size();
  file.replace(header_end, data_at - layout.header_end(), padded(header_end) - header_end, '\0');
}

/// Zero, infinity, not a number, the least and the largest: as f64, its upper half fits f32 alike.
double edge_float(Rng& rng) {
  constexpr double kFloats[] = {0.0, -0.0, 1.0, -1.0, 1e-45, 1e38, 1e39, 1e308, -1e308};
  const uint64_t i = rng.below(std::size(kFloats) + 2);
  if (i >= std::size(kFloats)) return i == std::size(kFloats) ? __builtin_nan("") : __builtin_inf();
  return kFloats[i];
}

/// The bytes of some value, with its type in front.
std::string random_value(Rng& rng) {
  const auto type = static_cast<uint32_t>(rng.below(kGgufTypeCount));
  const std::string head = bytes_of(type);
  if (static_cast<GgufType>(type) == GgufType::String) return head + with_length(edge_text(rng));
  if (static_cast<GgufType>(type) == GgufType::Array) {
    const auto element = static_cast<uint32_t>(rng.below(kGgufTypeCount));
    const uint64_t n = rng.below(4);
    const std::string item = scalar_bytes(element) > 0
                                 ? bytes_of(pick(kEdgeNumbers, rng)).substr(0, scalar_bytes(element))
                                 : with_length(edge_text(rng));
    return head + bytes_of(element) + bytes_of(n) + repeated(item, n);
  }
  if (static_cast<GgufType>(type) == GgufType::F32)
    return head + bytes_of(static_cast<float>(edge_float(rng)));
  if (static_cast<GgufType>(type) == GgufType::F64) return head + bytes_of(edge_float(rng));
  return head + bytes_of(pick(kEdgeNumbers, rng)).substr(0, scalar_bytes(type));
}

void mutate_anywhere(std::string& file, Rng& rng) { file = mutate_bytes(std::move(file), rng); }

void change_field(std::string& file, const Layout& layout, Rng& rng) {
  const Entry& entry = layout.entries()[rng.below(layout.entries().size())];
  if (entry.fields.empty()) return mutate_anywhere(file, rng);
  const Field& field = entry.fields[rng.below(entry.fields.size())];
  const std::string old = file.substr(field.at, field.n_bytes);
  if (field.kind == Field::Kind::Text) {
    std::string now = rng.below(2) == 0 ? edge_text(rng) : mutate_bytes(old, rng);
    // Half of the time the length in front of it goes along.
    if (rng.below(2) == 0) return splice(file, layout, field.at - 8, 8 + field.n_bytes, with_length(now));
    now.resize(old.size(), '\0');
    return splice(file, layout, field.at, field.n_bytes, now);
  }
  if (rng.below(8) == 0 && field.n_bytes >= 4) {
    const std::string now =
        field.n_bytes == 4 ? bytes_of(static_cast<float>(edge_float(rng))) : bytes_of(edge_float(rng));
    return splice(file, layout, field.at, field.n_bytes, now);
  }
  uint64_t value = 0;
  std::memcpy(&value, old.data(), old.size());
  return splice(file, layout, field.at, field.n_bytes,
                bytes_of(changed_number(value, rng)).substr(0, field.n_bytes));
}

/// Leaves an entry out or doubles it, mostly with the count that belongs to it.
void drop_or_double(std::string& file, const Layout& layout, Rng& rng) {
  if (layout.entries().size() < 2) return mutate_anywhere(file, rng);
  const size_t i = 1 + rng.below(layout.entries().size() - 1);
  const Entry& entry = layout.entries()[i];
  const std::string old = file.substr(entry.begin, entry.end - entry.begin);
  const bool drop = rng.below(2) == 0;
  splice(file, layout, entry.begin, old.size(), drop ? "" : old + old);
  if (rng.below(8) == 0) return;
  const size_t count_at = kCountsAt + (i <= layout.n_key() ? 8 : 0);
  uint64_t count = 0;
  std::memcpy(&count, file.data() + count_at, sizeof count);
  count += drop ? ~uint64_t{0} : 1;
  std::memcpy(file.data() + count_at, &count, sizeof count);
}

void change_value_type(std::string& file, const Layout& layout, Rng& rng) {
  const uint64_t n_key = std::min<uint64_t>(layout.n_key(), layout.entries().size() - 1);
  if (n_key == 0) return mutate_anywhere(file, rng);
  const Entry& key = layout.entries()[1 + rng.below(n_key)];
  if (key.value_at == 0) return mutate_anywhere(file, rng);
  return splice(file, layout, key.value_at, key.end - key.value_at, random_value(rng));
}

void change_data(std::string& file, const Layout& layout, Rng& rng) {
  const size_t from = layout.header_end();
  if (file.size() < from + 16) return mutate_anywhere(file, rng);
  const size_t at = from + rng.below(file.size() - from - 8);
  const std::string now =
      rng.below(2) == 0 ? bytes_of(static_cast<float>(edge_float(rng))) : bytes_of(rng.next());
  file.replace(at, now.size(), now);
}

}  // namespace

std::string mutate_gguf(std::string file, Rng& rng) {
  for (uint64_t n = 1 + rng.below(3); n-- > 0;) {
    const Layout layout(file);
    const uint64_t kind = rng.below(20);
    if (kind < 12) {
      change_field(file, layout, rng);
    } else if (kind < 14) {
      drop_or_double(file, layout, rng);
    } else if (kind < 17) {
      change_value_type(file, layout, rng);
    } else if (kind < 19) {
      change_data(file, layout, rng);
    } else {
      mutate_anywhere(file, rng);
    }
  }
  return file;
}

}  // namespace sw::fuzz
