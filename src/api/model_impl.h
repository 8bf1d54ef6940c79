// SPDX-License-Identifier: MIT
#pragma once
#include <switchyard/switchyard.h>

#include "runtime/open_model.h"
#include "tokenizer/tokenizer.h"

namespace switchyard {

struct Model::Impl {
  Impl(const std::filesystem::path& path, const sw::OpenOptions& options, const sw::Notes& notes)
      : file(sw::open_model(path, options, notes)), tokenizer(sw::Tokenizer::from_gguf(file->file())) {}

  const sw::Model& model() const { return *file; }

  std::unique_ptr<const sw::Model> file;
  sw::Tokenizer tokenizer;
};

}  // namespace switchyard
