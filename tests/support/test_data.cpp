// SPDX-License-Identifier: MIT
#include "support/test_data.h"

#include <cstdlib>
#include <stdexcept>

namespace sw::testing {
namespace fs = std::filesystem;

fs::path source_dir() {
  const char* env = std::getenv("SWITCHYARD_SOURCE");
  return env ? env : SW_SOURCE_DIR;
}

std::optional<fs::path> find_data(const std::string& below_data) {
  const char* env = std::getenv("SWITCHYARD_SHARED");
  const fs::path shared = env ? fs::path(env) : source_dir().parent_path() / "shared";
  for (const fs::path& root : {shared / "data", source_dir() / "tests" / "data"}) {
    std::error_code ignored;
    if (fs::exists(root / below_data, ignored)) return root / below_data;
  }
  return std::nullopt;
}

std::string golden_folder(const std::string& name) {
  const std::string next = "golden_next/" + name;
  return find_data(next) ? next : "golden/" + name;
}

TempDir::TempDir() {
  std::string pattern = (fs::temp_directory_path() / "switchyard-XXXXXX").string();
  if (!mkdtemp(pattern.data())) throw std::runtime_error("mkdtemp failed for " + pattern);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace sw::testing
