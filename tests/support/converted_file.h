// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <gtest/gtest.h>
#include <optional>
#include <string>

#include "convert/convert_hf.h"
#include "support/test_data.h"

namespace sw::testing {

/// A checkpoint as a GGUF file, in a fresh folder that goes with the object.
class ConvertedFile {
 public:
  explicit ConvertedFile(const std::filesystem::path& checkpoint, Type type = Type::F32)
      : report_(convert_hf(checkpoint, path(), {.out_type = type})) {}

  std::filesystem::path path() const { return folder() / "model.gguf"; }
  const std::filesystem::path& folder() const { return temp_.path(); }
  const ConvertReport& report() const { return report_; }

 private:
  TempDir temp_;
  ConvertReport report_;
};

/// Tests over the file of a tiny golden model; skipped aloud where the model is absent.
class TinyFile : public ::testing::Test {
 protected:
  void convert(const std::string& golden, Type type = Type::F32) {
    SW_DATA_OR_SKIP(checkpoint, golden_folder(golden));
    file_.emplace(checkpoint, type);
  }
  std::filesystem::path file() const { return file_->path(); }
  /// Where the file is, with room for others.
  const std::filesystem::path& folder() const { return file_->folder(); }

 private:
  std::optional<ConvertedFile> file_;
};

/// Of a BailingMoeV2, at f32: matrices with rows of 64, 96 and 32.
class TinyLingFile : public TinyFile {
 protected:
  void SetUp() override { convert("bailing_moe_v2"); }
};

}  // namespace sw::testing
