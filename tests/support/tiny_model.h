// SPDX-License-Identifier: MIT
#pragma once
#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "convert/convert_hf.h"
#include "model/model.h"
#include "support/test_data.h"

namespace sw::testing {

/// Tests over a tiny golden model, in f32 unless told; skipped aloud where it is absent.
class TinyModel : public ::testing::Test {
 protected:
  void load(const std::string& golden, Type type = Type::F32) {
    const auto folder = find_data(golden_folder(golden));
    if (!folder) GTEST_SKIP() << "no golden model " << golden << " on this machine";
    model_.reset();  // the file of an earlier one is written over
    convert_hf(*folder, temp_.path() / "model.gguf", {.out_type = type});
    model_ = std::make_unique<Model>(temp_.path() / "model.gguf");
  }

  TempDir temp_;
  std::unique_ptr<Model> model_;
};

class TinyLing : public TinyModel {
 protected:
  void SetUp() override { load("bailing_moe_v2"); }
};

/// Every other layer has a window.
class TinyGptOss : public TinyModel {
 protected:
  void SetUp() override { load("gpt_oss"); }
};

/// Most layers keep a state.
class TinyLfm2 : public TinyModel {
 protected:
  void SetUp() override { load("lfm2_moe"); }
};

}  // namespace sw::testing
