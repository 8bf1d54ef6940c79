// SPDX-License-Identifier: MIT
#include "base/file.h"

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "base/error.h"
#include "support/refusal.h"
#include "support/test_data.h"

namespace sw {
namespace {

namespace fs = std::filesystem;
using testing::expect_refused;
using testing::refusal;

class FileTest : public ::testing::Test {
 protected:
  fs::path path(const std::string& name) const { return dir_.path() / name; }
  fs::path put(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }
  size_t n_files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(dir_.path()), {}));
  }

  testing::TempDir dir_;
};

/// Both ways to read a file refuse `path` with a line that has `part` and the path.
void expect_unreadable(const fs::path& path, const std::string& part) {
  for (const std::string& line : {refusal([&] { MappedFile{path}; }), refusal([&] { read_file(path); })}) {
    EXPECT_NE(line.find(part), line.npos) << line;
    EXPECT_NE(line.find(path.string()), line.npos) << line;
  }
}

/// Runs as an ordinary user for a while: root may read everything.
class NotRoot {
 public:
  NotRoot() : was_root_(geteuid() == 0), good_(!was_root_ || seteuid(65534) == 0) {}
  ~NotRoot() {
    if (was_root_ && good_) {
      EXPECT_EQ(seteuid(0), 0);
    }
  }
  NotRoot(const NotRoot&) = delete;
  NotRoot& operator=(const NotRoot&) = delete;
  bool good() const { return good_; }

 private:
  bool was_root_, good_;
};

TEST_F(FileTest, ReadsBytesUnchanged) {
  const std::string text("a\0\r\n\xff", 5);
  const fs::path file = put("x", text);
  EXPECT_EQ(read_file(file), text);
  const MappedFile mapped(file);
  ASSERT_EQ(mapped.bytes().size(), text.size());
  EXPECT_EQ(std::memcmp(mapped.bytes().data(), text.data(), text.size()), 0);
  EXPECT_EQ(mapped.path(), file);
}

TEST_F(FileTest, ReadsAnEmptyFile) {
  const fs::path file = put("x", "");
  EXPECT_EQ(read_file(file), "");
  EXPECT_TRUE(MappedFile(file).bytes().empty());
}

TEST_F(FileTest, ReadsThroughASymbolicLink) {
  put("x", "text");
  fs::create_symlink("x", path("link"));
  EXPECT_EQ(read_file(path("link")), "text");
  EXPECT_EQ(MappedFile(path("link")).bytes().size(), 4u);
}

TEST_F(FileTest, MovedMappingStays) {
  MappedFile first(put("x", "text"));
  const std::byte* data = first.bytes().data();
  const MappedFile second = std::move(first);
  EXPECT_EQ(second.bytes().data(), data);
  EXPECT_EQ(static_cast<char>(second.bytes()[3]), 't');
}

TEST_F(FileTest, RefusesWhatIsNoFile) {
  expect_unreadable(path("missing"), "No such file");
  expect_unreadable(dir_.path(), "folder");
  fs::create_symlink("nowhere", path("dangling"));
  expect_unreadable(path("dangling"), "No such file");
  put("x", "text");
  expect_unreadable(path("x") / "y", "Not a directory");
  expect_unreadable("/dev/null", "not a regular file");
}

TEST_F(FileTest, RefusesAPipeWithoutWaiting) {
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  expect_unreadable(path("pipe"), "not a regular file");
}

TEST_F(FileTest, RefusesAnUnreadableFile) {
  fs::permissions(dir_.path(), fs::perms(0755));
  fs::permissions(put("x", "text"), fs::perms::none);
  const NotRoot user;
  if (!user.good()) GTEST_SKIP() << "cannot become an ordinary user";
  expect_unreadable(path("x"), "Permission denied");
}

TEST_F(FileTest, ReadFileKeepsItsLimit) {
  const fs::path file = put("x", "text");
  EXPECT_EQ(read_file(file, 4), "text");
  expect_refused([&] { read_file(file, 3); }, "at most 3 bytes, got 4");
}

TEST_F(FileTest, AtomicFileAppearsWhenCommitted) {
  AtomicFile file(path("x"));
  file.write("some ");
  file.write(std::string("text"));
  EXPECT_EQ(file.size_bytes(), 9u);
  EXPECT_FALSE(fs::exists(path("x")));
  file.commit();
  EXPECT_EQ(read_file(path("x")), "some text");
  EXPECT_EQ(n_files(), 1u) << "no temporary file remains";
  const mode_t mask = umask(0);
  umask(mask);
  EXPECT_EQ(fs::status(path("x")).permissions(), fs::perms(0666 & ~mask));
}

TEST_F(FileTest, AtomicFileOfManyBlocks) {
  std::string all;
  AtomicFile file(path("x"));
  for (int i = 0; i < 300; ++i) {
    const std::string part(static_cast<size_t>(i * 40), static_cast<char>(i));
    file.write(part);
    all += part;
  }
  file.commit();
  EXPECT_GT(all.size(), size_t{1} << 20);
  EXPECT_EQ(file.size_bytes(), all.size());
  EXPECT_TRUE(read_file(path("x")) == all);
}

TEST_F(FileTest, AbandonedAtomicFileLeavesNothing) {
  {
    AtomicFile file(path("x"));
    file.write(std::string(3 << 20, 'x'));
  }
  EXPECT_EQ(n_files(), 0u);
}

TEST_F(FileTest, AbandonedAtomicFileKeepsTheOldOne) {
  put("x", "old");
  {
    AtomicFile file(path("x"));
    file.write("new");
  }
  EXPECT_EQ(read_file(path("x")), "old");
  AtomicFile file(path("x"));
  file.write("new");
  EXPECT_EQ(read_file(path("x")), "old");
  file.commit();
  EXPECT_EQ(read_file(path("x")), "new");
  EXPECT_EQ(n_files(), 1u);
}

TEST_F(FileTest, AtomicFileWhereNoneCanBe) {
  expect_refused([&] { AtomicFile{path("no") / "x"}; }, "No such file");
  expect_refused([&] { AtomicFile{path(std::string(300, 'x'))}; }, "File name too long");
  fs::create_directory(path("folder"));
  const auto replace_folder = [&] {
    AtomicFile file(path("folder"));
    file.write("text");
    file.commit();
  };
  expect_refused(replace_folder, path("folder").string());
  EXPECT_EQ(n_files(), 1u) << "no temporary file remains";
}

/// As when a program is killed while it writes.
TEST_F(FileTest, AtomicFileOfAWriterThatDiesLeavesNothing) {
  const int nameless = open(dir_.path().c_str(), O_TMPFILE | O_RDWR, 0600);
  if (nameless < 0) GTEST_SKIP() << "this file system has no files without a name";
  close(nameless);
  const pid_t child = fork();
  if (child == 0) {
    AtomicFile file(path("x"));
    file.write(std::string(3 << 20, 'x'));
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(n_files(), 0u);
}

TEST_F(FileTest, AtomicFileReplacesNoDevice) {
  for (const char* device : {"/dev/null", "/dev/full"}) {
    if (!fs::is_character_file(device)) GTEST_SKIP() << "no devices here";
    expect_refused([&] { AtomicFile{device}; }, "a device");
    fs::create_symlink(device, path("link"));
    expect_refused([&] { check_writable(path("link")); }, "a device");
    EXPECT_TRUE(fs::is_character_file(device));
    fs::remove(path("link"));
  }
}

TEST_F(FileTest, AtomicFileFollowsALink) {
  put("x", "old");
  fs::create_directory(path("folder"));
  fs::create_symlink("../x", path("folder") / "link");
  fs::create_symlink("new", path("dangling"));
  for (const fs::path& link : {path("folder") / "link", path("dangling")}) {
    AtomicFile file(link);
    file.write("text");
    file.commit();
    EXPECT_TRUE(fs::is_symlink(link));
    EXPECT_EQ(read_file(link), "text");
  }
  EXPECT_EQ(read_file(path("x")), "text");
  EXPECT_EQ(read_file(path("new")), "text");
}

/// Writes 4 MiB where a file may have 1 MiB: write() fails as on a full disk. Gives 0 where that is a
/// NoSpaceError and no temporary file remains.
int write_beyond_the_limit(const fs::path& file_path) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit = {1 << 20, 1 << 20};
  if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
  try {
    AtomicFile file(file_path);
    file.write(std::string(4 << 20, 'x'));
    file.commit();
  } catch (const NoSpaceError&) {
    return fs::is_empty(file_path.parent_path()) ? 0 : 2;
  }
  return 3;
}

TEST_F(FileTest, AtomicFileOnAFullDiskIsASystemError) {
  EXPECT_EXIT(_exit(write_beyond_the_limit(path("x"))), ::testing::ExitedWithCode(0), "");
}

/// Makes a file where no more may be open. Gives 0 where that is a SystemError: another path would not do.
int create_beyond_the_limit(const fs::path& file_path) {
  const rlimit limit = {0, 0};
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
  try {
    const AtomicFile file(file_path);
  } catch (const SystemError&) {
    return 0;
  } catch (const Error&) {
    return 2;
  }
  return 3;
}

TEST_F(FileTest, AtomicFileWithoutResourcesIsASystemError) {
  EXPECT_EXIT(_exit(create_beyond_the_limit(path("x"))), ::testing::ExitedWithCode(0), "");
}

TEST_F(FileTest, LeftoversOfDeadProcessesAreRemoved) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  const std::string dead = std::to_string(child);
  put("." + dead + "-0.tmp", "x");
  put("." + std::to_string(getpid()) + "-3.tmp", "from before a restart");
  const std::vector<fs::path> kept = {put("." + std::to_string(getppid()) + "-0.tmp", "of one that lives"),
                                      put("." + dead + "-0.tmp.bin", "x"),
                                      put("." + dead + "-x.tmp", "x"),
                                      put(".0-0.tmp", "x"),
                                      put(".-1-0.tmp", "x"),
                                      put("." + dead + "-00.tmp", "x"),
                                      put("text", "x")};
  fs::create_directory(path("." + dead + "-1.tmp"));
  EXPECT_EQ(remove_leftovers(dir_.path()), 2);
  EXPECT_EQ(n_files(), kept.size() + 1);
  EXPECT_EQ(remove_leftovers(dir_.path()), 0);
}

}  // namespace
}  // namespace sw
