// SPDX-License-Identifier: MIT
#pragma once
#include <switchyard/switchyard.h>

#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

namespace switchyard {

struct Model::Impl {
  Impl(const std::filesystem::path& path, const sw::LoadOptions& options)
      : model(path, options), tokenizer(sw::Tokenizer::from_gguf(model.file())) {}

  sw::Model model;
  sw::Tokenizer tokenizer;
};

}  // namespace switchyard
