// SPDX-License-Identifier: MIT
// A Hugging Face checkpoint with one file replaced, through the converter. The input is the file's name, a
// line end and its contents; the others are those of the tiny checkpoint. What is accepted must be a file
// that our own readers take.
#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "convert/convert_hf.h"
#include "fuzz/mutate_json.h"
#include "fuzz/outcome.h"
#include "fuzz/run_model.h"
#include "fuzz/target.h"
#include "fuzz/tiny_model.h"
#include "support/test_data.h"
#include "tokenizer/tokenizer.h"

namespace sw::fuzz {
namespace {

namespace fs = std::filesystem;

/// A sound checkpoint, on which the input is put for one conversion.
class Checkpoint {
 public:
  Checkpoint() { write_tiny_checkpoint(folder(), 32, 32); }
  fs::path folder() const { return temp_.path() / "hf"; }
  fs::path out() const { return temp_.path() / "out.gguf"; }

  /// Puts `bytes` in place of a file until the object that is returned goes.
  class Replaced {
   public:
    Replaced(fs::path path, Bytes bytes) : path_(std::move(path)), aside_(path_.string() + ".aside") {
      std::error_code none;  // the folder may have no file of that name
      fs::rename(path_, aside_, none);
      const int fd = open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
      SW_ASSERT(fd >= 0 && ::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
      close(fd);
    }
    ~Replaced() {
      std::error_code none;
      fs::remove(path_, none);
      fs::rename(aside_, path_, none);
    }
    Replaced(const Replaced&) = delete;
    Replaced& operator=(const Replaced&) = delete;

   private:
    fs::path path_, aside_;
  };

 private:
  testing::TempDir temp_;
};

constexpr std::string_view kFiles[] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                       "generation_config.json", "model.safetensors"};

/// The file that an input replaces; an input that names none is one of config.json.
struct Input {
  std::string_view name = kFiles[0];
  size_t contents_at = 0;
};

Input split(std::string_view input) {
  for (const std::string_view name : kFiles) {
    if (input.starts_with(name) && input.substr(name.size()).starts_with('\n'))
      return {name, name.size() + 1};
  }
  return {};
}

}  // namespace

int fuzz_one(Bytes input) {
  static const Checkpoint checkpoint;
  const Input parts = split({reinterpret_cast<const char*>(input.data()), input.size()});
  const Checkpoint::Replaced replaced(checkpoint.folder() / parts.name, input.subspan(parts.contents_at));
  const auto convert = [&] { convert_hf(checkpoint.folder(), checkpoint.out(), {.out_type = Type::Q8_0}); };
  if (outcome(checkpoint.folder().string(), convert) == 0) {
    SW_ASSERT(!fs::exists(checkpoint.out()));
    return 0;
  }
  const Tokenizer tokenizer = Tokenizer::from_gguf(GgufFile(checkpoint.out()));
  static_cast<void>(tokenizer.encode("Once upon a time"));
  outcome(checkpoint.out().string(), [&] { run_one_token(Model(checkpoint.out())); });
  fs::remove(checkpoint.out());
  return 1;
}

std::string mutate(const std::string& input, Rng& rng) {
  const Input parts = split(input);
  const std::string contents = input.substr(parts.contents_at);
  const bool tensors = parts.name.ends_with(".safetensors");
  const std::string changed = tensors ? mutate_safetensors(contents, rng) : mutate_json(contents, rng);
  return std::string(parts.name) + "\n" + changed;
}

}  // namespace sw::fuzz
