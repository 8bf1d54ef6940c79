// SPDX-License-Identifier: MIT
#include <cstdio>
#include <fmt/core.h>
#include <optional>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "chat/chat_session.h"
#include "cli/chat_commands.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/line_editor.h"
#include "cli/model_report.h"
#include "cli/run_flags.h"
#include "formats/json.h"

namespace sw::cli {
namespace {

// An answer needs some room after its prompt.
constexpr int64_t kLeastAnswerTokens = 32;

ChatSession open_session(const RunState& state) {
  const ChatSession::Json variables = parse_template_kwargs(state.flags.template_kwargs);
  ChatSession session(state.tokenizer, variables);
  session.set_system(state.flags.system);
  return session;
}

/// Prints an answer as it comes; reasoning faint on a terminal, between marks elsewhere.
class Printer {
 public:
  void show(std::string_view text, bool reasoning) {
    if (reasoning != reasoning_) {
      std::fputs(
          reasoning ? (terminal_ ? "\x1b[2m" : "[reasoning] ") : (terminal_ ? "\x1b[0m\n\n" : "\n[answer] "),
          stdout);
      reasoning_ = reasoning;
    }
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }
  void end() const {
    if (reasoning_ && terminal_) std::fputs("\x1b[0m", stdout);
    std::fputc('\n', stdout);
    std::fflush(stdout);
  }

 private:
  const bool terminal_ = isatty(STDOUT_FILENO) != 0;
  bool reasoning_ = false;
};

/// One answer to what the session holds; printed, and added to the session.
void answer(RunState& state, ChatSession& session) {
  const int64_t room = state.engine.n_ctx() - std::min(kLeastAnswerTokens, state.engine.n_ctx() / 2);
  auto [prompt, n_dropped] = session.fit_prompt(room);
  if (n_dropped > 0) log::info("(the oldest {} exchange(s) were dropped to make room)", n_dropped);
  Printer printer;
  const Generated result =
      generate(state.engine, state.tokenizer,
               {.prompt = std::move(prompt.ids),
                .n_predict = state.flags.n_predict,
                .end_ids = state.tokenizer.end_of_generation(),
                .sampler = state.sampler,
                .routing = state.policy,
                .draft = state.draft},
               {.text = {.stops = state.flags.stops,
                         .special = state.flags.special,
                         .begins_reasoning = prompt.begins_reasoning},
                .sink = [&](std::string_view text, bool reasoning) { printer.show(text, reasoning); },
                .interrupted = interrupted},
               state.speeds);
  printer.end();
  if (result.finish == Finish::Error) throw SystemError({.what = result.error});
  if (result.finish == Finish::Cancelled) log::info("(interrupted)");
  if (result.finish == Finish::Length && state.flags.n_predict < 0)
    log::info("(the context is full; /reset starts anew)");
  session.add_answer(result.text, result.reasoning);
}

}  // namespace

int run_chat_once(RunState& state, const std::string& message) {
  ChatSession session = open_session(state);
  if (message.empty())
    throw Error({.what = "the prompt is empty", .hint = "there must be something to answer"});
  session.add_user(message);
  answer(state, session);
  if (state.flags.routing) fmt::print("\n{}", draw_heat_map(state.engine.forward().routing_stats()));
  return kExitOk;
}

int run_chat(RunState& state) {
  ChatSession session = open_session(state);
  LineEditor editor;
  ChatCommands commands(state, session);
  if (editor.on_terminal()) {
    log::info("Chat with {}. /help shows what else you can do; Ctrl-C ends an answer, Ctrl-D the chat.",
              state.model.file().metadata().get_string("general.name").value_or("the model"));
    log::info("{}", describe_routing(state.model, state.policy));
  }
  catch_interrupt();
  bool failed = false;
  for (;;) {
    const LineEditor::Input input = editor.read("> ");
    if (input.end == LineEditor::End::EndOfInput) break;
    const size_t begin = input.text.find_first_not_of(" \t\r\n");
    if (input.end == LineEditor::End::Interrupted || begin == std::string::npos) continue;
    try {
      ChatCommands::Next next = ChatCommands::Next::Answer;
      if (input.text[begin] == '/') {
        next = commands.run(input.text.substr(begin));
      } else {
        session.add_user(input.text);
      }
      if (next == ChatCommands::Next::Leave) break;
      if (next == ChatCommands::Next::Read) continue;
      interrupted();                                 // a Ctrl-C from before is no reason to end this answer
      state.engine.forward().reset_routing_stats();  // /routing shows the last answer's
      answer(state, session);
    } catch (const Error& e) {
      session.drop_user();
      log::error("{}", e.what());
      failed = true;
    }
  }
  if (editor.on_terminal()) std::fputc('\n', stdout);
  if (state.flags.routing) fmt::print("{}", draw_heat_map(state.engine.forward().routing_stats()));
  // A person saw the error and went on; a script sees the exit code.
  return failed && !editor.on_terminal() ? kExitUser : kExitOk;
}

}  // namespace sw::cli
