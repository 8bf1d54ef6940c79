// SPDX-License-Identifier: MIT
// Every broken file, after published holes of other readers, through every command that reads it: exit 1, one
// line that names the file and the place in it, at once, and nothing written.
#include "support/broken_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "support/process.h"
#include "support/test_data.h"

namespace sw::testing {
namespace {

namespace fs = std::filesystem;

void expect_refused(const std::vector<std::string>& arguments, const std::string& path,
                    const std::string& says) {
  const ProcessResult result = run_switchyard(arguments);
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_TRUE(result.err.starts_with("error: ")) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_NE(result.err.find(path), std::string::npos) << result.err;
  EXPECT_NE(result.err.find(says), std::string::npos) << "lacks \"" << says << "\": " << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_LT(result.processor_s, kMaxRefusalSeconds);
}

std::vector<BrokenFile> broken(const std::string& extension) {
  std::vector<BrokenFile> files = broken_files();
  std::erase_if(files, [&](const BrokenFile& file) { return !file.name.ends_with(extension); });
  return files;
}

void write(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

TEST(BrokenFiles, GgufThroughEveryCommand) {
  const TempDir temp;
  const std::string out = temp.path() / "out.gguf";
  for (const BrokenFile& file : broken(".gguf")) {
    const std::string path = temp.path() / file.name;
    write(path, file.bytes);
    const std::vector<std::string> commands[] = {{"info", path},
                                                 {"run", "-m", path, "-p", "x", "-n", "1"},
                                                 {"tokenize", "-m", path, "-p", "x"},
                                                 {"quantize", path, out, "Q8_0"}};
    for (const auto& arguments : commands) {
      SCOPED_TRACE(file.name + ", " + arguments[0]);
      expect_refused(arguments, path, file.says);
    }
    EXPECT_FALSE(fs::exists(out));
  }
}

TEST(BrokenFiles, SafetensorsThroughTheConverter) {
  const TempDir temp;
  const fs::path folder = temp.path() / "hf";
  fs::copy(source_dir() / "tests/data/golden/bailing_moe_v2", folder);
  const fs::path model = folder / "model.safetensors", out = temp.path() / "out.gguf";
  for (const BrokenFile& file : broken(".safetensors")) {
    SCOPED_TRACE(file.name);
    fs::remove(model);
    write(model, file.bytes);
    expect_refused({"convert", folder.string(), "-o", out.string()}, model.string(), file.says);
    EXPECT_FALSE(fs::exists(out));
  }
}

}  // namespace
}  // namespace sw::testing
