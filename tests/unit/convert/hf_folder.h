// SPDX-License-Identifier: MIT
#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "formats/safetensors.h"
#include "support/test_data.h"

namespace sw::testing {

/// A copy of a golden model's folder that a test may spoil before converting it.
class HfFolder {
 public:
  explicit HfFolder(const std::filesystem::path& golden) {
    for (const char* file : {"config.json", "generation_config.json", "tokenizer.json",
                             "tokenizer_config.json", "model.safetensors"}) {
      if (std::filesystem::exists(golden / file)) std::filesystem::copy(golden / file, path() / file);
    }
  }

  const std::filesystem::path& path() const { return dir_.path(); }
  std::filesystem::path out() const { return path() / "out.gguf"; }

  void write(const std::string& file, const std::string& text) const {
    std::filesystem::remove(path() / file);  // the golden data may be read-only
    AtomicFile target(path() / file);
    target.write(text);
    target.commit();
  }

  void edit_config(const std::function<void(nlohmann::json&)>& edit) const {
    auto config = nlohmann::json::parse(read_file(path() / "config.json"));
    edit(config);
    write("config.json", config.dump());
  }

  struct Tensor {
    Shape shape = {};
    std::vector<float> values = {};
  };
  using Tensors = std::map<std::string, Tensor>;

  /// Rewrites the checkpoint (all of it as F32).
  void edit_tensors(const std::function<void(Tensors&)>& edit) const {
    Tensors tensors;
    {
      const Safetensors source(path());
      for (const auto& [name, t] : source.tensors()) tensors[name] = {t.shape, Safetensors::to_f32(t)};
    }
    edit(tensors);
    std::filesystem::remove(path() / "model.safetensors");
    SafetensorsWriter writer;
    for (const auto& [name, t] : tensors) writer.add(name, t.shape, t.values);
    writer.write(path() / "model.safetensors");
  }

 private:
  TempDir dir_;
};

}  // namespace sw::testing
