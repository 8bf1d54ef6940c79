// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <optional>
#include <string>

/// Where tests find their data: the shared folder beside the checkout ($SWITCHYARD_SHARED, else
/// ../shared), or the small set committed under tests/data with the same layout.
namespace sw::testing {

/// The path of a file or folder below `data/` ("golden/routing.json"), shared first, then
/// committed; nothing where neither has it.
std::optional<std::filesystem::path> find_data(const std::string& below_data);

/// Where a tiny model with the outputs of its Python is, below `data/`: "golden/<name>", or
/// "golden_next/<name>" for the families of the second set.
std::string golden_folder(const std::string& name);

/// The source tree.
std::filesystem::path source_dir();

/// A fresh empty folder that is removed when the object goes.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace sw::testing

/// Declares `var` (a path) or skips the test aloud.
#define SW_DATA_OR_SKIP(var, below_data)                                                        \
  const auto var##_found = ::sw::testing::find_data(below_data);                                \
  if (!var##_found) GTEST_SKIP() << "no ../shared/data/" << (below_data) << " on this machine"; \
  [[maybe_unused]] const std::filesystem::path& var = *var##_found
