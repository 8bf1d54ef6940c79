// SPDX-License-Identifier: MIT
#include "formats/gguf_split.h"

#include <fmt/core.h>

#include "base/error.h"
#include "formats/gguf.h"

namespace sw {
namespace gguf {

bool is_split_key(std::string_view key) { return key.starts_with("split.") || key == kSplitFingerprint; }

std::filesystem::path split_path(const std::filesystem::path& prefix, int64_t i, int64_t n) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", prefix.string(), i + 1, n);
}

std::optional<std::filesystem::path> split_prefix(const std::filesystem::path& path, int64_t i, int64_t n) {
  const std::string name = path.string(), ending = split_path("", i, n).string();
  if (name.size() <= ending.size() || !name.ends_with(ending)) return std::nullopt;
  return name.substr(0, name.size() - ending.size());
}

}  // namespace gguf

void GgufFile::read_other_parts() {
  const int64_t n_part = metadata_.get_int(gguf::kSplitCount).value_or(0);
  if (n_part <= 1) return;  // mainline leaves the keys in merged files, with a count of 0
  const auto i_part = metadata_.require_int(gguf::kSplitNo);
  if (i_part != 0) {
    throw Error({.what = "this is not the first part of a split model",
                 .where = metadata_.place_of(gguf::kSplitNo),
                 .expected = "0",
                 .got = std::to_string(i_part),
                 .hint = "name the first part: the others are found beside it"});
  }
  const auto prefix = gguf::split_prefix(mappings_.front()->path(), 0, n_part);
  if (!prefix) {
    throw Error(
        {.what = "the other parts of a split model are found by the first one's name, which is another",
         .where = name_,
         .expected = gguf::split_path("NAME", 0, n_part).string()});
  }
  for (int64_t i = 1; i < n_part; ++i) {
    const std::filesystem::path path = gguf::split_path(*prefix, i, n_part);
    if (!std::filesystem::exists(path)) {
      throw Error({.what = "a part of a split model is missing",
                   .where = path.string(),
                   .hint = fmt::format("there are {} parts in all", n_part)});
    }
    GgufFile part(path, OnePart{});
    check_part(part, i);
    add_part(std::move(part));
  }
  const int64_t n_tensor = std::ssize(tensors_), n_claimed = metadata_.require_int(gguf::kSplitTensorCount);
  if (n_tensor != n_claimed) {
    throw Error({.what = "the parts of a split model do not have all of its tensors",
                 .where = metadata_.place_of(gguf::kSplitTensorCount),
                 .expected = std::to_string(n_claimed),
                 .got = std::to_string(n_tensor),
                 .hint = "are all parts of the same model?"});
  }
}

/// Part `i` must say of itself what its name says, and belong to the model of this first part.
void GgufFile::check_part(const GgufFile& part, int64_t i) const {
  const auto expect = [&](const char* key, const char* what, int64_t expected) {
    const std::optional<int64_t> got = part.metadata_.get_int(key);
    if (got == expected) return;
    throw Error({.what = what,
                 .where = part.metadata_.place_of(key),
                 .expected = std::to_string(expected),
                 .got = got ? std::to_string(*got) : "nothing"});
  };
  expect(gguf::kSplitNo, "a part of a split model does not match its name", i);
  expect(gguf::kSplitCount, "a part of a split model counts other parts",
         metadata_.require_int(gguf::kSplitCount));
  expect(gguf::kSplitTensorCount, "this is a part of another model",
         metadata_.require_int(gguf::kSplitTensorCount));
  const std::optional<int64_t> model = metadata_.get_int(gguf::kSplitFingerprint);
  if (model && part.metadata_.find(gguf::kSplitFingerprint)) {
    expect(gguf::kSplitFingerprint, "this is a part of another model", *model);
  }
}

void GgufFile::add_part(GgufFile part) {
  for (GgufTensor& tensor : part.tensors_) {
    if (!tensor_index_.emplace(tensor.name, tensors_.size()).second) {
      throw Error({.what = "two parts of a split model have the same tensor",
                   .where = part.place_of(tensor),
                   .got = "also in " + place_of(*find_tensor(tensor.name)),
                   .hint = "are both of the same model?"});
    }
    tensor.split = static_cast<int>(mappings_.size());
    tensors_.push_back(std::move(tensor));
  }
  size_bytes_ += part.size_bytes_;
  mappings_.push_back(std::move(part.mappings_.front()));
}

}  // namespace sw
