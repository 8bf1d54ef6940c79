// SPDX-License-Identifier: MIT
// The same program where there is no GPU: what it says, and that it runs. GPUs of this machine are hidden.
#include <gtest/gtest.h>

#include "support/process.h"

namespace sw {
namespace {

using testing::ProcessResult;

ProcessResult run_without_gpu(const std::vector<std::string>& arguments) {
  return testing::run_switchyard(arguments, {.environment = {"CUDA_VISIBLE_DEVICES=-1"}});
}

ProcessResult generate_on(const std::string& device) {
  std::vector<std::string> arguments{"run", "-p", "Once upon a time", "-n", "8", "--temp", "0"};
  if (!device.empty()) arguments.insert(arguments.end(), {"--device", device});
  return run_without_gpu(arguments);
}

/// Why there is no GPU, as `version` says it: "GPUs: none (why)".
std::string reason_of_version() {
  const ProcessResult r = run_without_gpu({"version"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  const std::string before = "\nGPUs:      none (", after = ")\n";
  const size_t begin = r.out.find(before), end = r.out.find(after, begin);
  if (begin == std::string::npos || end == std::string::npos) return "";
  return r.out.substr(begin + before.size(), end - begin - before.size());
}

TEST(CliDevices, VersionSaysWhyThereIsNoGpu) { EXPECT_NE(reason_of_version(), ""); }

TEST(CliDevices, AGpuThatIsNotThereIsOneLineWithTheReason) {
  const ProcessResult r = generate_on("CUDA0");
  EXPECT_EQ(r.exit_code, 1);
  EXPECT_EQ(r.out, "");
  EXPECT_EQ(r.err, "error: there is no such device: --device: expected none or fake:N, got CUDA0 (" +
                       reason_of_version() + ")\n");
}

TEST(CliDevices, ProcessorAndFakeDevicesWriteTheSame) {
  const ProcessResult alone = generate_on("none"), unsaid = generate_on(""), fakes = generate_on("fake:2");
  for (const ProcessResult* r : {&alone, &unsaid, &fakes}) {
    EXPECT_EQ(r->exit_code, 0) << r->err;
    EXPECT_TRUE(r->out.starts_with("Once upon a time")) << r->out;
    EXPECT_EQ(r->out, alone.out);
  }
  EXPECT_EQ(alone.err.find("fake"), std::string::npos) << alone.err;
  for (const char* plan : {"fake1: weights", "fake2: weights"})
    EXPECT_NE(fakes.err.find(plan), std::string::npos) << fakes.err;
}

TEST(CliDevices, AListOfOverridesIsAsSeveral) {
  const auto stderr_of = [](const std::vector<std::string>& overrides) {
    std::vector<std::string> arguments{"run", "-p", "x", "-n", "0", "--seed", "1", "--device", "fake:2"};
    for (const std::string& text : overrides) arguments.insert(arguments.end(), {"-ot", text});
    const ProcessResult r = run_without_gpu(arguments);
    return r.err.substr(0, r.err.find("prefill: "));  // the speeds differ
  };
  const std::string several = stderr_of({"blk\\.[12]{1,2}\\.=fake1", "exps=CPU"});
  EXPECT_EQ(stderr_of({"blk\\.[12]{1,2}\\.=fake1,exps=CPU"}), several);
  EXPECT_EQ(several.find("error: "), std::string::npos) << several;
  EXPECT_NE(stderr_of({"exps=CPU"}), several);
  EXPECT_NE(stderr_of({"exps=CPU,nothing=fake1"}).find("nothing"), std::string::npos)
      << "the one that finds nothing";
}

}  // namespace
}  // namespace sw
