// SPDX-License-Identifier: MIT
// What a machine may lack: memory, room on the disk, a part of a model. One line, and exit 3 or 1.
#include <algorithm>
#include <gtest/gtest.h>

#include "formats/gguf.h"
#include "support/process.h"
#include "support/test_data.h"

namespace sw::testing {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

std::string model() { return source_dir() / "models" / "fable-ling-Q4_K_M.gguf"; }

/// Sanitizers reserve terabytes of addresses: a limit on them ends the program before it begins.
bool memory_can_be_limited() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#else
  return true;
#endif
}

void expect_line(const ProcessResult& result, int exit_code, const std::string& part) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  const size_t line = result.err.rfind("error: ");
  ASSERT_NE(line, std::string::npos) << result.err;
  EXPECT_EQ(std::count(result.err.begin() + static_cast<std::ptrdiff_t>(line), result.err.end(), '\n'), 1)
      << result.err;
}

TEST(Faults, TooLittleMemoryForTheCacheSaysWhatIsNeeded) {
  if (!memory_can_be_limited()) GTEST_SKIP() << "under a sanitizer";
  const ProcessResult result =
      run_switchyard({"run", "-m", model(), "-p", "x", "-n", "1", "-t", "1", "-c", "4000000"},
                     {.max_memory_bytes = 512 * kMiB});
  expect_line(result, 3, "not enough memory: needs ");
  EXPECT_NE(result.err.find(" MiB, have "), std::string::npos) << result.err;
}

TEST(Faults, WithoutAContextNamedWhatFitsIsTaken) {
  if (!memory_can_be_limited()) GTEST_SKIP() << "under a sanitizer";
  const auto run = [](std::vector<std::string> more) {
    std::vector<std::string> arguments{"run", "-m", model(), "-p", "x", "-n", "1", "-t", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_switchyard(arguments, {.max_memory_bytes = 1024 * kMiB});
  };
  const std::vector<std::string> claim{"--override-kv", "bailingmoe2.context_length=int:2147483647"};
  const ProcessResult cut = run(claim);
  EXPECT_EQ(cut.exit_code, 0) << cut.err;
  const size_t at = cut.err.find("context: ");
  ASSERT_NE(at, std::string::npos) << cut.err;
  const long n_ctx = std::stol(cut.err.substr(at + 9));
  EXPECT_GT(n_ctx, 10'000);
  EXPECT_NE(cut.err.find("of 2147483647 tokens"), std::string::npos) << cut.err;
  EXPECT_EQ(run({}).err.find("context: "), std::string::npos) << "all of it fits";
  // Named, it is taken or refused, never cut.
  expect_line(run({claim[0], claim[1], "-c", "16777216"}), 3, "not enough memory: needs ");
}

TEST(Faults, AContextThatDoesNotFitIsToldWithOneThatDoes) {
  if (!memory_can_be_limited()) GTEST_SKIP() << "under a sanitizer";
  const auto run = [](const std::string& n_ctx) {
    return run_switchyard({"run", "-m", model(), "-p", "x", "-n", "1", "-t", "1", "-c", n_ctx},
                          {.max_memory_bytes = 1024 * kMiB});
  };
  const ProcessResult refused = run("4000000");
  expect_line(refused, 3, "a context of 4000000 tokens (cache ");
  const size_t hint = refused.err.find("(-c ");
  ASSERT_NE(hint, std::string::npos) << refused.err;
  const std::string fits = std::to_string(std::stol(refused.err.substr(hint + 4)));
  EXPECT_GT(std::stol(fits), 10'000);
  EXPECT_EQ(run(fits).exit_code, 0) << "-c " << fits << ": " << run(fits).err;
}

TEST(Faults, AnyMemoryLimitIsOneLineAndNoSignal) {
  if (!memory_can_be_limited()) GTEST_SKIP() << "under a sanitizer";
  int n_refused = 0;
  for (uint64_t mib = 40; mib <= 400; mib += 20) {
    const ProcessResult result = run_switchyard({"run", "-m", model(), "-p", "x", "-n", "1", "-t", "4"},
                                                {.max_memory_bytes = mib * kMiB});
    if (result.exit_code == 0) continue;
    SCOPED_TRACE(std::to_string(mib) + " MiB");
    if (result.exit_code == 127) continue;  // not even the libraries could be loaded
    expect_line(result, 3, "error: ");
    ++n_refused;
  }
  EXPECT_GT(n_refused, 0);
}

TEST(Faults, ALimitOnFilesIsOneLineAndLeavesNothing) {
  const TempDir temp;
  const std::string folder = source_dir() / "tests/data/golden/bailing_moe_v2";
  const auto run_limited = [&](const std::vector<std::string>& arguments) {
    expect_line(run_switchyard(arguments, {.max_file_bytes = 100'000}), 3, "cannot write the output file");
    EXPECT_TRUE(std::filesystem::is_empty(temp.path()));
  };
  const std::string out = temp.path() / "out.gguf";
  run_limited({"convert", folder, "-o", out});
  run_limited({"quantize", model(), out, "Q8_0", "--allow-requantize"});
  run_limited({"split", model(), out});
  const TempDir parts;
  ASSERT_EQ(run_switchyard({"split", model(), parts.path() / "part", "--split-max-tensors", "60"}).exit_code,
            0);
  run_limited({"merge", parts.path() / "part-00001-of-00002.gguf", out});
}

TEST(Faults, OnePartOfASplitIsRefused) {
  const TempDir temp;
  const std::string part = temp.path() / "part-00001-of-00002.gguf", out = temp.path() / "out.gguf";
  {
    const GgufFile whole{std::filesystem::path(model())};
    GgufWriter writer(part);
    for (const auto& [key, value] : whole.metadata().entries()) writer.set(key, value);
    writer.set("split.no", GgufValue::u32(0));
    writer.set("split.count", GgufValue::u32(2));
    writer.set("split.tensors.count", GgufValue::i32(static_cast<int32_t>(whole.tensors().size())));
    const GgufTensor& first = whole.tensors().front();
    writer.add_tensor(first.name, *type_from_id(first.type_id), first.shape);
    writer.write_tensor({first.data, first.size_bytes});
    writer.finish();
  }
  expect_line(run_switchyard({"run", "-m", part, "-p", "x"}), 1, "missing");
  expect_line(run_switchyard({"quantize", part, out, "Q8_0"}), 1, "a part of a split model is missing");
  EXPECT_FALSE(std::filesystem::exists(out));
}

}  // namespace
}  // namespace sw::testing
