// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arch/spec.h"

namespace sw {

/// A JSON object of a Hugging Face folder (config.json, generation_config.json): at most 16 MiB, nested
/// at most 64 deep. Throws sw::Error naming the file, and the key where one is wrong. null counts as
/// absent everywhere; what an object "text_config" says is as if it stood beside it. What a config leaves out
/// is as its model class has it, where that is known.
class HfConfig {
 public:
  explicit HfConfig(const std::filesystem::path& file);

  bool has(std::string_view key) const { return value(key) != nullptr; }
  /// A number, or a boolean as 0 or 1; nothing where absent.
  std::optional<double> number(std::string_view key) const;
  std::optional<std::string> string(std::string_view key) const;
  std::optional<std::vector<int64_t>> integers(std::string_view key) const;
  /// The architecture of "architectures"[0].
  const ArchSpec& arch() const;
  /// The hyperparameters of `arch`, defaults filled in; `read`, if given, says where each came from.
  HParams hparams(const ArchSpec& arch, std::vector<ReadKey>* read = nullptr) const;
  /// Throws where a setting is not what the architecture takes for granted.
  void check(const ArchSpec& arch, const HParams& h) const;

  /// Where a key stands, for messages: "FILE, key K".
  std::string where(std::string_view key) const;
  /// "a.b|c": member b of the object a or, where that is absent, c. Null where absent or null.
  const nlohmann::json* value(std::string_view key) const;
  /// A value as a message shows it: short, and never a whole array.
  static std::string shown(const nlohmann::json& value);

 private:
  static constexpr const char* kRopeType = "rope_scaling.rope_type|rope_scaling.type";
  /// The names of "a|b.c|d".
  static std::vector<std::string_view> alternatives(std::string_view names);
  static bool reads(const ArchSpec& arch, std::string_view key);
  void spell_rope_as_before();
  void add_class_defaults();
  void add_longrope_factor();
  std::vector<float> rope_factors(const char* key, const HParams& h) const;
  bool says(const ArchSpec& arch, std::string_view key) const;
  void check_router(const ArchSpec& arch, const RouterSpec& router) const;
  std::string name_of(const ArchSpec& arch, std::string_view gguf_key) const;
  void check_rope_scaling() const;
  void check_rotated(const HParams& h) const;
  void refuse_unknown_keys(const ArchSpec& arch) const;
  void check_windows(const ArchSpec& arch, const HParams& h) const;
  void settle_windows(HParams& h) const;
  void check_granted(std::span<const Granted> all) const;
  std::optional<double> lookup(const Key& key) const;
  /// The values that an array's texts stand for.
  std::optional<std::vector<int64_t>> named(const ListKey& key) const;

  std::string file_;
  nlohmann::json object_ = nlohmann::json::object();
};

}  // namespace sw
