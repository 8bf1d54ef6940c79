// SPDX-License-Identifier: MIT
#include <cstdio>
#include <fmt/core.h>
#include <memory>
#include <optional>
#include <sstream>

#include "base/error.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "cli/text_input.h"
#include "tokenizer/tokenizer.h"

namespace sw::cli {
namespace {

struct TokenizeFlags {
  std::string model = {}, file = {};
  std::optional<std::string> prompt = {};
  bool no_parse_special = false, add_special = false, detokenize = false;
};

void print_text(const Tokenizer& tokenizer, const std::string& numbers) {
  std::istringstream in(numbers);
  std::vector<int32_t> ids;
  std::string word;
  while (in >> word) {
    size_t used = 0;
    long id = -1;
    try {
      id = std::stol(word, &used);
    } catch (const std::exception&) {
      used = 0;
    }
    if (used != word.size() || id < 0 || id >= tokenizer.n_vocab()) {
      throw Error({.what = "this is not a token id",
                   .expected = "0 to " + std::to_string(tokenizer.n_vocab() - 1),
                   .got = printable(word, 40)});
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  const std::string text = tokenizer.decode(ids);
  std::fwrite(text.data(), 1, text.size(), stdout);
}

int run(const TokenizeFlags& flags) {
  if (flags.prompt.has_value() != flags.file.empty()) {
    throw CLI::ValidationError("tokenize", "give either -p TEXT or -f FILE");
  }
  const Tokenizer tokenizer = load_tokenizer(flags.model);
  const std::string text = flags.prompt ? *flags.prompt : read_text(flags.file);
  if (flags.detokenize) {
    print_text(tokenizer, text);
    return kExitOk;
  }
  std::string line;
  for (const int32_t id :
       tokenizer.encode(text, {.parse_special = !flags.no_parse_special, .add_special = flags.add_special})) {
    fmt::format_to(std::back_inserter(line), "{}{}", line.empty() ? "" : " ", id);
  }
  std::puts(line.c_str());
  return kExitOk;
}

}  // namespace

void add_tokenize(CLI::App& program, Action& action) {
  auto flags = std::make_shared<TokenizeFlags>();
  CLI::App* command = program.add_subcommand("tokenize", "turn text into token ids, or back");
  add_model_file_flag(*command, flags->model);
  command->get_option("--model")->description(
      "a GGUF file (a vocabulary is enough), a tokenizer.json or a Hugging Face folder");
  command->add_option("-p,--prompt", flags->prompt, "the text");
  command
      ->add_option("-f,--file", flags->file, "a file with the text, its bytes unchanged; -: standard input")
      ->option_text("FILE");
  command->add_flag("--no-parse-special", flags->no_parse_special,
                    "treat special tokens written in the text as plain text");
  command->add_flag("--add-special", flags->add_special, "add BOS and EOS as the model wants them");
  command->add_flag("--detokenize", flags->detokenize, "turn ids into text");
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
