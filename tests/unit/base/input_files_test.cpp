// SPDX-License-Identifier: MIT
#include "base/input_files.h"

#include <fcntl.h>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "support/refusal.h"
#include "support/test_data.h"

namespace sw {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSame = "input and output are the same file";

class InputFiles : public ::testing::Test {
 protected:
  fs::path put(const std::string& name) const {
    std::ofstream(dir_.path() / name) << "text";
    return dir_.path() / name;
  }
  fs::path absent(const std::string& name) const { return dir_.path() / name; }

  testing::TempDir dir_;
};

void expect_input(const fs::path& path) {
  const std::string said = testing::refusal([&] { refuse_input_as_output(path); });
  EXPECT_NE(said.find(kSame), said.npos) << said;
  EXPECT_NE(said.find(path.string()), said.npos) << said;
}

void expect_free(const fs::path& path) { EXPECT_NO_THROW(refuse_input_as_output(path)) << path; }

TEST_F(InputFiles, AreRefusedByWhateverNameOrLink) {
  const fs::path in = put("in"), symbolic = absent("symbolic"), hard = absent("hard"), folder = absent("sub");
  fs::create_symlink(in, symbolic);
  fs::create_hard_link(in, hard);
  fs::create_directory(folder);
  const InputProtection protection;
  note_input(in);
  for (const fs::path& name : {in, symbolic, hard, folder / ".." / "in", fs::relative(in)})
    expect_input(name);
}

TEST_F(InputFiles, ThatWereReadThroughALinkAreRefusedToo) {
  const fs::path in = put("in"), symbolic = absent("symbolic");
  fs::create_symlink(in, symbolic);
  const InputProtection protection;
  note_input(symbolic);
  expect_input(in);
  expect_input(symbolic);
}

TEST_F(InputFiles, OthersAreFree) {
  const fs::path in = put("in"), equal = put("equal"), gone = put("gone");
  const InputProtection protection;
  for (const fs::path& path : {in, gone}) note_input(path);
  fs::remove(gone);
  expect_free(equal);  // the same bytes, and another file
  expect_free(absent("new"));
  expect_free(gone);
}

TEST_F(InputFiles, AreForgottenWithTheLastProtection) {
  const fs::path in = put("in");
  note_input(in);  // of no effect: no protection yet
  {
    const InputProtection outer;
    expect_free(in);
    {
      const InputProtection inner;
      note_input(in);
    }
    expect_input(in);
  }
  expect_free(in);
  const InputProtection next;
  expect_free(in);
}

TEST_F(InputFiles, AreWhatWasReadButNotWhatIsUpdated) {
  const fs::path read = put("read"), mapped = put("mapped"), updated = put("updated");
  const InputProtection protection;
  read_file(read);
  const MappedFile mapping(mapped);
  read_file(updated, 100, Reading::Update);
  testing::expect_refused([&] { AtomicFile{read}; }, kSame);
  testing::expect_refused([&] { AtomicFile{mapped}; }, kSame);
  AtomicFile again(updated);
  again.write("more");
  again.commit();
  EXPECT_EQ(read_file(updated), "more");
}

/// What a file is to be may become an input while it is written.
TEST_F(InputFiles, ThatAreReadMeanwhileAreNotReplaced) {
  const fs::path path = put("path");
  const InputProtection protection;
  AtomicFile out(path);
  out.write("other");
  read_file(path);
  testing::expect_refused([&] { out.commit(); }, kSame);
  EXPECT_EQ(read_file(path), "text");
}

/// Makes a file the standard input for a while.
class StandardInput {
 public:
  explicit StandardInput(int fd) : old_(dup(STDIN_FILENO)) {
    dup2(fd, STDIN_FILENO);
    close(fd);
  }
  ~StandardInput() {
    dup2(old_, STDIN_FILENO);
    close(old_);
  }
  StandardInput(const StandardInput&) = delete;
  StandardInput& operator=(const StandardInput&) = delete;

 private:
  int old_;
};

TEST_F(InputFiles, TheStandardInputIsOneWhereItIsAFile) {
  const fs::path in = put("in");
  {
    const StandardInput from(open(in.c_str(), O_RDONLY | O_CLOEXEC));
    const InputProtection protection;
    expect_input(in);
  }
  int ends[2] = {};
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  close(ends[1]);
  const StandardInput from(ends[0]);
  const InputProtection protection;
  expect_free("/dev/stdin");
  expect_free(in);
}

}  // namespace
}  // namespace sw
