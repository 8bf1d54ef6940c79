// SPDX-License-Identifier: MIT
// Writes every broken file of broken_files() to the folder given, for tests of the programs.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "support/broken_files.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_broken_files FOLDER\n");
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  for (const auto& file : sw::testing::broken_files()) {
    std::ofstream out(folder / file.name, std::ios::binary);
    out << file.bytes;
    if (!out.flush()) {
      std::fprintf(stderr, "cannot write %s\n", (folder / file.name).c_str());
      return 3;
    }
  }
  return 0;
}
