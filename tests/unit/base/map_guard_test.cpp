// SPDX-License-Identifier: MIT
#include "base/map_guard.h"

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "support/test_data.h"

namespace sw {
namespace {

constexpr size_t kBytes = 1 << 20;

std::filesystem::path make_file(const testing::TempDir& temp) {
  std::filesystem::path path = temp.path() / "file";
  std::ofstream(path, std::ios::binary) << std::string(kBytes, 'x');
  return path;
}

size_t count_zeros(std::span<const std::byte> bytes) {
  size_t n = 0;
  for (const std::byte b : bytes) n += b == std::byte{0};
  return n;
}

TEST(MapGuard, ACutFileReadsAsZerosAndIsNoticed) {
  const testing::TempDir temp;
  const std::filesystem::path path = make_file(temp);
  const MappedFile file(path);
  file.check_unchanged();
  std::filesystem::resize_file(path, kBytes / 2);
  EXPECT_THROW(file.check_unchanged(), SystemError) << "before anything is read";
  EXPECT_EQ(count_zeros(file.bytes()), kBytes / 2) << "no signal ends the program";
  EXPECT_THROW(file.check_unchanged(), SystemError);
}

TEST(MapGuard, ManyThreadsMayMeetTheEnd) {
  const testing::TempDir temp;
  const std::filesystem::path path = make_file(temp);
  const MappedFile file(path);
  std::filesystem::resize_file(path, 0);
  std::vector<std::thread> threads;
  std::atomic<size_t> zeros{0};
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { zeros += count_zeros(file.bytes()); });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(zeros, 4 * kBytes);
}

TEST(MapGuard, AnOverwrittenFileIsNoticed) {
  const testing::TempDir temp;
  const std::filesystem::path path = make_file(temp);
  const MappedFile file(path);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the file system's clock may tick slowly
  std::fstream(path, std::ios::binary | std::ios::in | std::ios::out) << 'y';
  EXPECT_THROW(file.check_unchanged(), SystemError);
}

TEST(MapGuard, SlotsAreUsedAgain) {
  const testing::TempDir temp;
  const std::filesystem::path path = make_file(temp);
  for (int i = 0; i < 2 * MapGuard::kMaxMaps; ++i) MappedFile(path).check_unchanged();
}

TEST(MapGuardDeathTest, OtherBusErrorsStillEndTheProgram) {
  const testing::TempDir temp;
  const MappedFile file(make_file(temp));  // the handler is there
  EXPECT_EXIT(raise(SIGBUS), ::testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace sw
