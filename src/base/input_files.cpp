// SPDX-License-Identifier: MIT
#include "base/input_files.h"

#include <mutex>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

namespace sw {
namespace {

constexpr const char* kStandardInput = "/dev/stdin";

struct Inputs {
  std::mutex mutex;
  int n_protection = 0;
  std::set<std::filesystem::path> paths;
};

Inputs& inputs() {
  static Inputs instance;
  return instance;
}

}  // namespace

InputProtection::InputProtection() {
  {
    const std::lock_guard lock(inputs().mutex);
    if (++inputs().n_protection > 1) return;
  }
  struct stat info = {};
  if (fstat(STDIN_FILENO, &info) == 0 && S_ISREG(info.st_mode)) note_input(kStandardInput);
}

InputProtection::~InputProtection() {
  const std::lock_guard lock(inputs().mutex);
  if (--inputs().n_protection == 0) inputs().paths.clear();
}

void note_input(const std::filesystem::path& path) {
  const std::lock_guard lock(inputs().mutex);
  if (inputs().n_protection > 0) inputs().paths.insert(path);
}

void refuse_input_as_output(const std::filesystem::path& out) {
  const std::lock_guard lock(inputs().mutex);
  for (const std::filesystem::path& input : inputs().paths) {
    std::error_code none_yet;
    if (!std::filesystem::equivalent(input, out, none_yet)) continue;
    throw Error({.what = "input and output are the same file", .where = out.string()});
  }
}

}  // namespace sw
