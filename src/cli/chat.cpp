// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdio>
#include <fmt/core.h>
#include <unistd.h>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "chat/chat_session.h"
#include "cli/chat_commands.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/line_editor.h"
#include "cli/model_report.h"
#include "cli/progress_bar.h"
#include "cli/run_flags.h"
#include "formats/json.h"

namespace sw::cli {
namespace {

// An answer needs some room after its prompt.
constexpr int64_t kLeastAnswerTokens = 32;

ChatSession open_session(const RunState& state) {
  const ChatSession::Json variables = parse_template_kwargs(state.flags.template_kwargs);
  ChatSession session(state.tokenizer, variables, state.flags.template_name);
  session.set_system(state.flags.system);
  if (!state.flags.resume.empty()) load_conversation(state.flags.resume, session);
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

/// Makes room in the context: before an answer, and where an answer reaches the end.
class Room {
 public:
  Room(const RunState& state, ChatSession& session) : session_(session), n_ctx_(state.engine.n_ctx()) {
    // An answer of which only a line fits is of no use; a long message may leave it less.
    const int64_t n_predict = state.flags.n_predict < 0 ? n_ctx_ : state.flags.n_predict;
    wanted_ = n_ctx_ - std::clamp<int64_t>(n_predict, 1, std::max<int64_t>(1, n_ctx_ / 4));
  }

  ChatPrompt prompt() {
    const int64_t most = std::max(wanted_, n_ctx_ - std::min(kLeastAnswerTokens, n_ctx_ / 2));
    return fit({.wanted = wanted_, .most = most});
  }
  /// The prompt of a shorter conversation with the answer so far; empty where nothing is left to forget.
  std::vector<int32_t> shorter(std::span<const int32_t> answer) {
    if (!session_.drop_oldest()) return {};
    ++n_dropped_;
    std::vector<int32_t> ids = fit({.wanted = wanted_ - std::ssize(answer), .most = n_ctx_}).ids;
    ids.insert(ids.end(), answer.begin(), answer.end());
    if (std::ssize(ids) >= n_ctx_) return {};
    return ids;
  }
  int n_dropped() const { return n_dropped_; }
  /// Tokens of the last prompt, without the answer.
  int64_t n_prompt() const { return n_prompt_; }

 private:
  ChatPrompt fit(const ChatSession::PromptRoom& room) {
    ChatSession::Fitted fitted = session_.fit_prompt(room);
    n_dropped_ += fitted.n_dropped;
    n_prompt_ = std::ssize(fitted.prompt.ids);
    return std::move(fitted.prompt);
  }

  ChatSession& session_;
  int64_t n_ctx_, wanted_ = 0, n_prompt_ = 0;
  int n_dropped_ = 0;
};

/// "(45 tokens, 30 t/s, context 345 of 4096)"
std::string describe_answer(const Generated& result, const Speeds& before, const Speeds& now,
                            int64_t n_prompt, int64_t n_ctx) {
  const double seconds = now.decode_s - before.decode_s;
  const auto n_decode = static_cast<double>(now.n_decode - before.n_decode);
  return fmt::format("({} token{}, {:.0f} t/s, context {} of {})", result.n_token,
                     result.n_token == 1 ? "" : "s", seconds > 0 ? n_decode / seconds : 0.0,
                     n_prompt + result.n_token, n_ctx);
}

/// One answer to what the session holds; printed, and added to the session.
Finish answer(RunState& state, ChatSession& session) {
  Room room(state, session);
  ChatPrompt prompt = room.prompt();
  Printer printer;
  ProgressBar bar("reading", ProgressBar::Unit::Tokens);
  const Speeds before = state.speeds;
  const auto after_prompt = tell_prompt_cache(state, prompt.ids);
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
                .interrupted = interrupted,
                .on_prompt = bar.callback(),
                .after_prompt = after_prompt,
                .make_room = [&](std::span<const int32_t> ids) { return room.shorter(ids); },
                .profiles = state.profiles.get()},
               state.speeds);
  printer.end();
  keep_text(state, result);
  if (room.n_dropped() > 0)
    log::info("(exchanges dropped to make room, the oldest first: {})", room.n_dropped());
  if (result.finish == Finish::Error) throw SystemError({.what = result.error});
  if (result.finish == Finish::Cancelled) log::info("(interrupted)");
  if (result.context_full) log::info("(the context is full; /reset begins a new conversation)");
  if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && isatty(STDERR_FILENO)) {
    log::info("\x1b[2m{}\x1b[0m",
              describe_answer(result, before, state.speeds, room.n_prompt(), state.engine.n_ctx()));
  }
  session.add_answer(result.text, result.reasoning);
  return result.finish;
}

}  // namespace

int run_chat_once(RunState& state, const std::string& message) {
  ChatSession session = open_session(state);
  if (message.empty())
    throw Error({.what = "the prompt is empty", .hint = "there must be something to answer"});
  session.add_user(message);
  const Finish finish = answer(state, session);
  if (state.flags.routing) fmt::print("\n{}", draw_heat_map(state.engine.forward().routing_stats()));
  return finish == Finish::Cancelled ? kExitInterrupted : kExitOk;
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
  catch_interrupt(editor.on_terminal() ? SecondInterrupt::IsTheFirst : SecondInterrupt::EndsProgram);
  bool failed = false;
  for (;;) {
    const LineEditor::Input input = editor.read("> ");
    if (input.end == LineEditor::End::EndOfInput) break;
    const size_t begin = input.text.find_first_not_of(" \t\r\n");
    if (input.end == LineEditor::End::Interrupted || begin == std::string::npos) continue;
    try {
      ChatCommands::Next next = ChatCommands::Next::Answer;
      if (is_command(input.text)) {
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
