// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "formats/gguf.h"

/// A model in several GGUF files, NAME-00001-of-00003.gguf and so on: the first has the metadata, each some
/// of the tensors and the keys below. The names and the first three keys are mainline's.
namespace sw::gguf {

constexpr const char* kSplitNo = "split.no";                      ///< u16, from 0 on
constexpr const char* kSplitCount = "split.count";                ///< u16; 0 or 1: not a split
constexpr const char* kSplitTensorCount = "split.tensors.count";  ///< i32, of all parts
/// u64 below 2^63, equal in all parts of a model: parts of two models that were cut alike cannot be mixed up.
/// Only in files of ours.
constexpr const char* kSplitFingerprint = "switchyard.split.fingerprint";

/// True for the keys that tell of a split, which a whole file does not need.
bool is_split_key(std::string_view key);

/// The keys of part `i` of `n` in a file that is to be written, whose model has `n_tensor` tensors in all.
/// `File` is a GgufHeader or a GgufWriter.
template <class File>
void set_split_keys(int64_t i, int64_t n, int64_t n_tensor, uint64_t fingerprint, File& file) {
  file.set(kSplitNo, GgufValue::u16(static_cast<uint16_t>(i)));
  file.set(kSplitCount, GgufValue::u16(static_cast<uint16_t>(n)));
  file.set(kSplitTensorCount, GgufValue::i32(static_cast<int32_t>(n_tensor)));
  file.set(kSplitFingerprint, GgufValue::u64(fingerprint));
}

constexpr int64_t kMaxParts = 65535;

/// PREFIX-00002-of-00003.gguf for part `i` (from 0 on) of `n`.
std::filesystem::path split_path(const std::filesystem::path& prefix, int64_t i, int64_t n);
/// The prefix of a path which that function made of it, `i` and `n`; nothing for any other path.
std::optional<std::filesystem::path> split_prefix(const std::filesystem::path& path, int64_t i, int64_t n);

}  // namespace sw::gguf
