// SPDX-License-Identifier: MIT
#include "base/cpu_quota.h"

#include <fstream>
#include <gtest/gtest.h>

#include "support/test_data.h"

namespace sw {
namespace {

class CpuQuota : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(root_ / "a/b"); }
  void limit(const char* group, const char* text) {
    std::ofstream(root_ / group / "cpu.max") << text << "\n";
  }

  const testing::TempDir temp_;
  const std::filesystem::path root_ = temp_.path();
};

TEST_F(CpuQuota, NoLimit) {
  EXPECT_EQ(cpu_quota(root_, "0::/a/b\n"), std::nullopt) << "no file";
  limit("a", "max 100000");
  EXPECT_EQ(cpu_quota(root_, "0::/a/b\n"), std::nullopt);
  EXPECT_EQ(cpu_quota(root_, ""), std::nullopt);
  EXPECT_EQ(cpu_quota(root_, "4:memory:/a\n"), std::nullopt);
}

TEST_F(CpuQuota, TheLeastOfTheGroupAndThoseAbove) {
  limit("a/b", "400000 100000");
  EXPECT_EQ(cpu_quota(root_, "0::/a/b\n"), 4.0);
  limit("a", "150000 100000");
  EXPECT_EQ(cpu_quota(root_, "4:memory:/x\n0::/a/b\n"), 1.5);
  limit(".", "50000 100000");
  EXPECT_EQ(cpu_quota(root_, "0::/a/b"), 0.5);
  EXPECT_EQ(cpu_quota(root_, "0::/\n"), 0.5) << "the group's own, as a container sees it";
}

TEST_F(CpuQuota, WhatIsNoLimitIsPassedOver) {
  for (const char* text : {"", "-1 100000", "100000", "100000 0", "x y"}) {
    limit("a", text);
    EXPECT_EQ(cpu_quota(root_, "0::/a\n"), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace sw
