// SPDX-License-Identifier: MIT
#include "jinja/template.h"

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "formats/json.h"
#include "tokenizer/tokenizer.h"

namespace sw::cli {
namespace {

using Json = jinja::Template::Json;

constexpr uint64_t kMaxInputBytes = 64 << 20, kMaxTemplateBytes = 1 << 20;

struct TemplateFlags {
  std::string model = {}, template_file = {}, input = {}, kwargs = {};
};

Json parse_object(const std::string& text, const std::string& name) {
  Json object = parse_ordered_json(text, name);
  if (!object.is_object()) {
    throw Error({.what = "this must be a JSON object", .where = name, .got = object.type_name()});
  }
  return object;
}

/// The model's template; its bos and eos become variables, unless the input sets them.
std::string model_template(const std::string& model, Json& input) {
  const Tokenizer tokenizer = load_tokenizer(model);
  if (tokenizer.chat_template().empty()) {
    throw Error({.what = "the model has no chat template", .where = model_path(model)});
  }
  const auto add = [&](const char* name, std::optional<int32_t> id) {
    if (id && !input.contains(name)) input[name] = std::string(tokenizer.piece(*id));
  };
  add("bos_token", tokenizer.bos_id());
  add("eos_token", tokenizer.eos_id());
  return tokenizer.chat_template();
}

int run(const TemplateFlags& flags) {
  Json input = parse_object(read_file(flags.input, kMaxInputBytes), flags.input);
  if (!flags.kwargs.empty()) input.update(parse_object(flags.kwargs, "--template-kwargs"));
  const std::string source = flags.template_file.empty() ? model_template(flags.model, input)
                                                         : read_file(flags.template_file, kMaxTemplateBytes);
  const std::string prompt = jinja::Template(source).render(input);
  std::fwrite(prompt.data(), 1, prompt.size(), stdout);
  return kExitOk;
}

}  // namespace

void add_template(CLI::App& program, Action& action) {
  auto flags = std::make_shared<TemplateFlags>();
  CLI::App* command = program.add_subcommand("template", "messages to the prompt that a model sees");
  add_model_file_flag(*command, flags->model);
  CLI::Option* model = command->get_option("--model")->description(
      "whose chat template: a GGUF file (a vocabulary alone will do) or a model folder");
  command->add_option("--template-file", flags->template_file, "a chat template in a file of its own")
      ->excludes(model);
  command
      ->add_option("-f,--file", flags->input, "JSON object: messages, tools, add_generation_prompt and so on")
      ->required();
  command->add_option("--template-kwargs", flags->kwargs,
                      "JSON object of further variables, which win: '{\"enable_thinking\": false}'");
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
