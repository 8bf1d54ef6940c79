// SPDX-License-Identifier: MIT
#include "base/cpu.h"

#include <cstdlib>
#include <gtest/gtest.h>
#include <string>

#include "base/error.h"

namespace sw {
namespace {

constexpr Isa kIsas[] = {Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Avx512Vnni, Isa::AmxInt8};

/// isa_limit() in a fresh process (it asks SW_ISA once) as an exit code: the set's number, 99 for an Error.
void exit_with_limit(const char* sw_isa) {
  setenv("SW_ISA", sw_isa, 1);
  try {
    std::_Exit(static_cast<int>(isa_limit()));
  } catch (const Error&) {
    std::_Exit(99);
  }
}

TEST(Cpu, FactsAreThere) {
  const CpuFacts& f = cpu_facts();
  EXPECT_FALSE(f.name.empty());
  EXPECT_NE(f.name.front(), ' ');
  EXPECT_GE(f.n_core, 1);
  EXPECT_EQ(&f, &cpu_facts());
}

TEST(Cpu, SetsComeWithTheWeakerOnes) {
  EXPECT_TRUE(cpu_has(Isa::Scalar));
  for (size_t i = 1; i < std::size(kIsas); ++i) {
    EXPECT_LE(cpu_has(kIsas[i]), cpu_has(kIsas[i - 1])) << isa_name(kIsas[i]);
  }
}

#if defined(__x86_64__)
TEST(Cpu, AgreesWithTheCompilersDetection) {
  __builtin_cpu_init();
  EXPECT_EQ(cpu_has(Isa::Avx2), __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
  EXPECT_EQ(cpu_has(Isa::Avx512), __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                      __builtin_cpu_supports("avx512dq") &&
                                      __builtin_cpu_supports("avx512vl"));
  EXPECT_EQ(cpu_facts().features.find("avx2") != std::string::npos, cpu_has(Isa::Avx2));
}
#endif

TEST(CpuDeathTest, SwIsaLimits) {
  for (const Isa isa : kIsas) {
    const int code = cpu_has(isa) ? static_cast<int>(isa) : 99;
    EXPECT_EXIT(exit_with_limit(isa_name(isa)), ::testing::ExitedWithCode(code), "") << isa_name(isa);
  }
  EXPECT_EXIT(exit_with_limit("sse9"), ::testing::ExitedWithCode(99), "");
  int best = 0;
  for (const Isa isa : kIsas) best = cpu_has(isa) ? static_cast<int>(isa) : best;
  EXPECT_EXIT(exit_with_limit(""), ::testing::ExitedWithCode(best), "");
}

}  // namespace
}  // namespace sw
