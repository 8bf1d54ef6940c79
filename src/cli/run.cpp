// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fmt/core.h>
#include <memory>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/escapes.h"
#include "cli/interrupt.h"
#include "cli/model_report.h"
#include "cli/option_text.h"
#include "cli/progress_bar.h"
#include "cli/run_flags.h"
#include "cli/text_input.h"
#include "runtime/limits.h"
#include "runtime/runtime.h"

namespace sw::cli {
namespace {

int terminal_width() {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) return size.ws_col;
  return 100;
}

/// Whether the terminal has the 256 colors of a heat map.
bool has_colors() {
  const char* terminal = std::getenv("TERM");
  const bool many = std::getenv("COLORTERM") || (terminal && std::strstr(terminal, "256color"));
  return many && isatty(STDOUT_FILENO) != 0 && !std::getenv("NO_COLOR");
}

/// "ended: the model ended its text"
std::string describe_end(const Generated& result) {
  const std::string tokens = fmt::format("{} token{}", result.n_token, result.n_token == 1 ? "" : "s");
  if (result.finish == Finish::Cancelled) return "(interrupted)";
  if (result.context_full) return fmt::format("ended: the context is full, after {} (-c)", tokens);
  if (result.finish == Finish::Length) return fmt::format("ended: after {}, as asked for (-n)", tokens);
  return fmt::format("ended: the model ended its text, or a stop text came, after {}", tokens);
}

/// Continues a text as it is.
int complete(RunState& state, const std::string& prompt) {
  const RunFlags& flags = state.flags;
  const std::vector<int32_t> ids =
      state.tokenizer.encode(prompt, {.parse_special = true, .add_special = true});
  bool shown = flags.hide_prompt;
  ProgressBar bar("reading", ProgressBar::Unit::Tokens);
  GenerateOptions options{.text = {.stops = flags.stops, .special = flags.special},
                          .interrupted = interrupted,
                          .on_prompt = bar.callback(),
                          .after_prompt = tell_prompt_cache(state, ids),
                          .profiles = state.profiles.get()};
  options.sink = [&](std::string_view text, bool) {
    // The prompt is printed with the first text, so that a prompt that is refused prints nothing.
    if (!std::exchange(shown, true)) std::fwrite(prompt.data(), 1, prompt.size(), stdout);
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
  const Generated result = generate(state.engine, state.tokenizer,
                                    {.prompt = ids,
                                     .n_predict = flags.n_predict,
                                     .end_ids = state.tokenizer.end_of_generation(),
                                     .sampler = state.sampler,
                                     .draft = state.draft},
                                    options, state.speeds);
  if (!shown) std::fwrite(prompt.data(), 1, prompt.size(), stdout);
  std::fputc('\n', stdout);
  keep_text(state, result);
  if (result.finish == Finish::Error) throw SystemError({.what = result.error});
  log::info("{}", describe_end(result));
  if (flags.routing) fmt::print("\n{}", draw_heat_map(state.engine.forward().routing_stats()));
  return result.finish == Finish::Cancelled ? kExitInterrupted : kExitOk;
}

std::optional<DraftParams> draft_of(const RunFlags& flags) {
  return flags.draft.n_expert > 0 ? std::optional(flags.draft) : std::nullopt;
}

/// "drafts: 96 of 120 tokens accepted (80 %); a pass with all experts gave 1.9 tokens, for 2.5 draft passes"
std::string describe(const DraftCounts& counts, int64_t n_decode) {
  if (counts.n_drafted == 0) return "drafts: none";
  const auto drafted = static_cast<double>(counts.n_drafted),
             accepted = static_cast<double>(counts.n_accepted);
  const auto n_pass = static_cast<double>(std::max<int64_t>(1, n_decode - counts.n_accepted));
  return fmt::format(
      "drafts: {} of {} tokens accepted ({:.0f} %); a pass with all experts gave {:.1f} tokens, for {:.1f} "
      "draft "
      "passes",
      counts.n_accepted, counts.n_drafted, 100 * accepted / drafted, static_cast<double>(n_decode) / n_pass,
      drafted / n_pass);
}

/// With their names; none where they are not wanted.
std::vector<std::pair<const char*, const Profile*>> profiles_of(const RunState& state) {
  if (!state.profiles) return {};
  return {{"prefill", &state.profiles->prefill}, {"decode", &state.profiles->decode}};
}

/// What a run ends with.
void print_summary(const RunState& state, const std::vector<ProfileDevice>& devices) {
  log::info("{}", describe_name(state.model));
  log::info("{}", describe_routing(state.model, state.policy));
  log::info("{}", describe_sampler(state.sampler));
  for (const auto& [phase, profile] : profiles_of(state)) {
    const ProfileSummary summary = profile->summary(state.flags.profile.by());
    if (summary.n_pass > 0) log::info("\n{}", describe_profile(phase, summary, devices));
  }
  log::info("{}", state.speeds.to_string());
  if (state.draft) log::info("{}", describe(state.engine.draft_counts(), state.speeds.n_decode));
}

/// Continues the prompt, or answers it as a message.
int answer_prompt(RunState& state) {
  const RunFlags& flags = state.flags;
  std::string prompt = flags.prompt ? *flags.prompt : read_text(flags.prompt_file);
  if (flags.escapes) prompt = unescape(prompt);
  catch_interrupt(SecondInterrupt::EndsProgram);
  return flags.chat ? run_chat_once(state, prompt) : complete(state, prompt);
}

int run(const RunFlags& flags) {
  const RoutingPolicy policy = flags.model.policy();
  const std::unique_ptr<const Model> model = load_model(flags.model, {policy});
  const Tokenizer tokenizer = Tokenizer::from_gguf(model->file());
  const bool has_prompt = flags.prompt || !flags.prompt_file.empty();
  ForwardOptions forward = flags.model.forward_options();
  // A chat has /routing, and a profile asks which experts a GPU read.
  forward.count_routing = flags.routing || !has_prompt || flags.profile.wanted();
  forward.stop = interrupt_pending;
  Runtime runtime(*model,
                  {.devices = flags.model.placement.options(),
                   .engine = {.forward = forward,
                              .n_ctx = flags.n_ctx,
                              .cache_type = flags.model.cache.type(),
                              .n_draft = flags.draft.n_expert > 0 ? flags.draft.n_token : 0,
                              .experts_max = flags.model.experts_max,
                              .default_policy = policy,
                              .pieces = [&](int32_t id) { return tokenizer.piece(id); }}},
                  log_notes());
  Engine& engine = runtime.engine();
  if (has_prompt && !flags.chat) {
    for (const auto& [flag, value] : {std::pair("--system", &flags.system),
                                      {"--resume", &flags.resume},
                                      {"--template-name", &flags.template_name}})
      if (!value->empty()) log::warn("{} acts in a chat only: --chat answers the prompt as one", flag);
  }
  PromptCache prompt_cache(flags.prompt_cache, engine, *model);
  RunState state{.flags = flags,
                 .model = *model,
                 .tokenizer = tokenizer,
                 .engine = engine,
                 .sampler = flags.sampler.params(model->file(), tokenizer),
                 .policy = policy,
                 .draft = draft_of(flags),
                 .prompt_cache = prompt_cache};
  if (state.draft) engine.check_draft(*state.draft, policy);
  if (flags.ignore_eos) {
    for (const int32_t end : tokenizer.end_of_generation())
      state.sampler.logit_bias.push_back({end, -INFINITY});
  }
  std::vector<ProfileDevice> devices;
  if (flags.profile.wanted()) {
    devices = begin_profile(engine.forward());
    state.profiles = std::make_unique<PhaseProfiles>(engine.forward().placed());
  }
  const int code = has_prompt ? answer_prompt(state) : run_chat(state);
  std::fflush(stdout);
  prompt_cache.finish();
  print_summary(state, devices);
  if (has_prompt && !flags.chat && !tokenizer.chat_template().empty())
    log::info("note: the prompt was continued as plain text; --chat answers it as a message");
  return code;
}

/// Flags that the short help leaves out.
void add_rare_flags(CLI::App& command, RunFlags& flags) {
  const std::string rare = std::string(kRare) + "running";
  command
      .add_flag("-e,--escape,!--no-escape", flags.escapes,
                "read \\n, \\t, \\\\ and the like in the prompt as one character each")
      ->group(rare);
  command
      .add_option("--template-kwargs,--chat-template-kwargs", flags.template_kwargs,
                  "further template variables, a JSON object: '{\"enable_thinking\": false}'")
      ->option_text("JSON")
      ->group(rare);
  add_template_name_flag(command, flags.template_name)->group(rare);
  command
      .add_option("--experts-max", flags.model.experts_max,
                  "plan buffers for up to N experts per token, for /experts in a chat")
      ->group(rare)
      ->transform(range(limits::kExpertsMax));
  CLI::Option* draft_experts =
      command
          .add_option("--draft-experts", flags.draft.n_expert,
                      "draft tokens with N experts, then check them with all: the same text, in fewer "
                      "passes; may be slower")
          ->group(rare)
          ->transform(whole_number(1, limits::kExpertsMax.most));
  command.add_option("--draft-tokens", flags.draft.n_token, "tokens to draft before each check")
      ->group(rare)
      ->transform(range(limits::kUbatchTokens))
      ->capture_default_str()
      ->needs(draft_experts);
  command
      .add_flag("--ignore-eos", flags.ignore_eos,
                "never choose an end token: -n or the context ends the text")
      ->group(rare);
  add_profile_flag(command, flags.profile)->group(rare);
  add_prompt_cache_flags(command, flags.prompt_cache, rare);
  command.add_flag("--special", flags.special, "print special tokens too")->group(rare);
  command.add_flag("--no-display-prompt", flags.hide_prompt, "print only what was generated")->group(rare);
}

}  // namespace

std::function<void(int64_t)> tell_prompt_cache(RunState& state, const std::vector<int32_t>& prompt) {
  return
      [&state, text = RoutedText{.tokens = prompt, .n_prompt = std::ssize(prompt), .routing = state.policy}](
          int64_t n_computed) { state.prompt_cache.after_prompt(text, n_computed); };
}

void keep_text(RunState& state, const Generated& result) {
  state.prompt_cache.set_text(
      {.tokens = result.tokens, .n_prompt = result.n_prompt, .routing = state.policy});
}

std::string draw_heat_map(const RoutingStats& stats) {
  const auto routed = [](const LayerStats& l) { return l.n_tokens > 0; };
  if (!stats.layers().empty() && std::ranges::none_of(stats.layers(), routed))
    return "no token was routed yet: there is no answer\n";
  return heat_map(stats, terminal_width(), has_colors()) + real_expert_table(stats);
}

void add_run(CLI::App& program, Action& action) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command = program.add_subcommand("run", "chat with a model, or continue a prompt (-p)");
  command->add_option("-p,--prompt", flags->prompt, "continue this text, instead of a chat");
  command
      ->add_option("-f,--file", flags->prompt_file,
                   "the same from a file or a pipe, its bytes unchanged; -: standard input")
      ->option_text("FILE")
      ->excludes("--prompt");
  command->add_flag("--chat", flags->chat, "put the prompt through the chat template, as one message");
  command->add_option("--system,--system-prompt", flags->system, "the system message of a chat");
  command->add_option("--resume", flags->resume, "go on with a conversation that /save wrote")
      ->option_text("FILE");
  command->add_option("--stop,-r,--reverse-prompt", flags->stops, "a text that ends an answer; repeatable")
      ->allow_extra_args(false);
  command
      ->add_option("-n,--predict,--n-predict", flags->n_predict,
                   "tokens to generate (default: until the context is full)")
      ->transform(range(limits::kPredictTokens));
  command
      ->add_option("-c,--ctx-size", flags->n_ctx,
                   "tokens of context (default: what the model was trained for, or as many as fit)")
      ->transform(range(limits::kContextTokens));
  command->add_flag("--routing", flags->routing, "end with a heat map of layers x experts");
  add_rare_flags(*command, *flags);
  add_sampler_flags(*command, flags->sampler);
  add_model_flags(*command, flags->model);
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
