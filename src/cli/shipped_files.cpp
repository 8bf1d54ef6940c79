// SPDX-License-Identifier: MIT
#include "cli/shipped_files.h"

namespace sw::cli {

std::optional<std::filesystem::path> find_shipped(const char* name) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const char* folder : {".", "../share/switchyard/models", "models", "../models", "../../models",
                             "../../../models", "../../../../models"}) {
    const fs::path candidate = program / folder / name;
    if (fs::exists(candidate, ignored)) return candidate.lexically_normal();
  }
  return std::nullopt;
}

}  // namespace sw::cli
