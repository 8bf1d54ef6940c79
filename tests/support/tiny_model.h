// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <string>

#include "model/model.h"
#include "support/converted_file.h"

namespace sw::testing {

/// Tests over a tiny golden model, in f32 unless told; skipped aloud where it is absent.
class TinyModel : public TinyFile {
 protected:
  void load(const std::string& golden, Type type = Type::F32) {
    model_.reset();
    convert(golden, type);
    if (!IsSkipped()) model_ = std::make_unique<Model>(file());
  }

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
