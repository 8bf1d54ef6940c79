// SPDX-License-Identifier: MIT
#include <fmt/core.h>
#include <memory>

#include "base/error.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "cli/model_report.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"

namespace sw::cli {
namespace {

struct InfoFlags {
  std::string file = {}, model = {}, dump = {}, out = {};
  std::vector<std::string> overrides = {};
  int64_t n_ctx = 0;
  CacheFlags cache = {};
  bool tensors = false, json = false;
};

/// One tensor's values as f32 under its name.
void dump_tensor(const GgufFile& file, const std::string& name, const std::string& out) {
  const GgufTensor* tensor = file.find_tensor(name);
  if (!tensor) throw Error({.what = "there is no such tensor", .where = file.name(), .got = name});
  const Type type = file.require_type(*tensor);
  std::vector<float> values(static_cast<size_t>(tensor->shape.n_elements()));
  decode_rows(type, tensor->data, tensor->shape.n_rows(), tensor->shape.n_cols(), values.data());
  SafetensorsWriter writer;
  writer.add(name, tensor->shape, std::move(values));
  writer.write(out);
}

int run(const InfoFlags& flags) {
  const std::filesystem::path path = model_file(flags.file.empty() ? flags.model : flags.file);
  GgufFile file(path);
  std::vector<KeyOverride> overrides;
  std::vector<std::string> overridden;
  for (const std::string& text : flags.overrides) {
    overrides.push_back(parse_key_override(text));
    file.metadata().set(overrides.back().key, overrides.back().value);
    overridden.push_back(overrides.back().key);
  }
  if (!flags.dump.empty()) {
    dump_tensor(file, flags.dump, flags.out);
    return kExitOk;
  }
  if (flags.json) {
    fmt::print("{}\n", file_json(file));
    return kExitOk;
  }
  if (flags.tensors) {
    fmt::print("{}", describe_tensors(file));
    return kExitOk;
  }
  fmt::print("{}", describe_file(file, overridden));
  fmt::print("{}", describe_model(path, overrides, flags.n_ctx, flags.cache.type()));
  return kExitOk;
}

}  // namespace

void add_info(CLI::App& program, Action& action) {
  auto flags = std::make_shared<InfoFlags>();
  CLI::App* command =
      program.add_subcommand("info", "show what is in a GGUF file, and the memory that it needs");
  command->add_option("FILE", flags->file, "a GGUF file (default: the model that comes with the program)")
      ->option_text("FILE");
  add_model_file_flag(*command, flags->model);
  command
      ->add_option("-c,--ctx-size", flags->n_ctx,
                   "context for the memory plan (default: the training context)")
      ->transform(range(limits::kContextTokens));
  command
      ->add_option("--override-kv", flags->overrides,
                   "replace a value of the metadata (int, float, bool, str); repeatable")
      ->option_text("KEY=TYPE:VALUE")
      ->allow_extra_args(false);
  add_cache_flags(*command, flags->cache);
  CLI::Option* tensors = command->add_flag("--tensors", flags->tensors, "list every tensor instead");
  command->add_flag("--json", flags->json, "print metadata and tensors as JSON instead")->excludes(tensors);
  CLI::Option* dump =
      command->add_option("--dump", flags->dump, "write this tensor's decoded values to the file of --out")
          ->option_text("TENSOR");
  CLI::Option* out =
      command->add_option("-o,--out", flags->out, "the safetensors file for --dump")->option_text("FILE");
  dump->needs(out);
  out->needs(dump);
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
