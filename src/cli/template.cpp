// SPDX-License-Identifier: MIT

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "chat/chat_template.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "cli/text_input.h"
#include "formats/json.h"

namespace sw::cli {
namespace {

using Json = ChatTemplate::Json;

constexpr uint64_t kMaxInputBytes = 64 << 20, kMaxTemplateBytes = 1 << 20;

struct TemplateFlags {
  std::string model = {}, template_file = {}, name = {}, input = {}, kwargs = {};
  bool as_chat = false;
};

Json parse_object(const std::string& text, const std::string& name) {
  Json object = parse_ordered_json(text, name);
  if (!object.is_object()) {
    throw Error({.what = "this must be a JSON object", .where = name, .got = object.type_name()});
  }
  return object;
}

int run(const TemplateFlags& flags) {
  Json input = parse_object(read_text(flags.input, kMaxInputBytes), flags.input);
  if (!flags.kwargs.empty()) input.update(parse_object(flags.kwargs, "--template-kwargs"));
  if (flags.as_chat && input.contains("messages")) input["messages"] = prepare_messages(input["messages"]);
  const std::string prompt =
      flags.template_file.empty()
          ? ChatTemplate(load_tokenizer(flags.model), flags.name).render_variables(std::move(input))
          : jinja::Template(read_file(flags.template_file, kMaxTemplateBytes)).render(input);
  std::fwrite(prompt.data(), 1, prompt.size(), stdout);
  return kExitOk;
}

}  // namespace

void add_template(CLI::App& program, Action& action) {
  auto flags = std::make_shared<TemplateFlags>();
  CLI::App* command =
      program.add_subcommand("template", "show the prompt that a model sees for some messages");
  add_model_file_flag(*command, flags->model);
  CLI::Option* model = command->get_option("--model")->description(
      "a GGUF file (a vocabulary is enough) or a Hugging Face folder");
  command->add_option("--template-file", flags->template_file, "a chat template in a file of its own")
      ->option_text("FILE")
      ->excludes(model);
  command
      ->add_option("-f,--file", flags->input,
                   "a JSON object: messages, tools, add_generation_prompt and so on")
      ->option_text("FILE")
      ->required();
  command
      ->add_option("--template-kwargs", flags->kwargs,
                   "further variables, a JSON object; they win: '{\"enable_thinking\": false}'")
      ->option_text("JSON");
  add_template_name_flag(*command, flags->name)->excludes("--template-file");
  command->add_flag("--as-chat", flags->as_chat,
                    "prepare the messages as a chat does: no null members, reasoning under the usual names");
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
