// SPDX-License-Identifier: MIT
#include "cli/chat_commands.h"

#include <algorithm>
#include <charconv>
#include <fmt/core.h>

#include "base/error.h"
#include "base/log.h"
#include "formats/json.h"

namespace sw::cli {

const ChatCommands::Command ChatCommands::kCommands[] = {
    {"help", "", "this list", &ChatCommands::help},
    {"system", "TEXT", "set the system message (empty: none)", &ChatCommands::system},
    {"reset", "", "forget the conversation", &ChatCommands::reset},
    {"regenerate", "", "answer the last message again", &ChatCommands::regenerate},
    {"save", "FILE", "write the conversation as JSON", &ChatCommands::save},
    {"set", "NAME VALUE", "a sampler setting, as the flag of that name (temp 0.5)", &ChatCommands::set},
    {"sampler", "", "the sampler settings that act", &ChatCommands::sampler},
    {"experts", "N", "experts per token: N, 0-3=4,4-5=2 by layer, or default", &ChatCommands::experts},
    {"grouped", "on|off|default", "routing by groups", &ChatCommands::grouped},
    {"threshold", "MIN,T", "drop experts far weaker than the best, or off", &ChatCommands::threshold},
    {"routing", "", "heat map of the last answer", &ChatCommands::routing},
    {"exit", "", "end the chat (or Ctrl-D)", &ChatCommands::leave},
    {"quit", "", "the same", &ChatCommands::leave},
};

ChatSession::Json parse_template_kwargs(const std::string& text) {
  ChatSession::Json value = parse_ordered_json(text, "--template-kwargs");
  if (!value.is_object())
    throw Error({.what = "not a JSON object", .where = "--template-kwargs", .got = printable(text, 60)});
  return value;
}

bool is_command(std::string_view message) {
  const size_t begin = message.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos || message[begin] != '/') return false;
  message = message.substr(begin, message.find_last_not_of(" \t\r\n") + 1 - begin);
  const std::string_view word = message.substr(1, message.find_first_of(" \t") - 1);
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  return message.find('\n') == std::string_view::npos && !word.empty() &&
         std::ranges::all_of(word, is_letter);
}

ChatCommands::Next ChatCommands::run(const std::string& line) {
  const size_t space = line.find_first_of(" \t");
  const std::string name = line.substr(1, space == std::string::npos ? space : space - 1);
  std::string argument = space == std::string::npos ? "" : line.substr(space + 1);
  argument.erase(argument.find_last_not_of(" \t\r\n") + 1);
  for (const Command& command : kCommands) {
    if (command.name == name) return (this->*command.run)(argument);
  }
  throw Error({.what = "unknown command", .got = "/" + printable(name, 40), .hint = "/help lists them"});
}

ChatCommands::Next ChatCommands::help(const std::string&) {
  for (const Command& command : kCommands) {
    fmt::print("  {:<26} {}\n", fmt::format("/{} {}", command.name, command.argument), command.help);
  }
  fmt::print(
      "  A line that ends with \\ goes on in the next; a paste of several lines is one message.\n"
      "  Only a line that begins with a slash and a word is a command.\n");
  return Next::Read;
}

ChatCommands::Next ChatCommands::system(const std::string& text) {
  session_.set_system(text);
  return Next::Read;
}

ChatCommands::Next ChatCommands::reset(const std::string&) {
  session_.reset();
  return Next::Read;
}

ChatCommands::Next ChatCommands::regenerate(const std::string&) {
  if (!session_.drop_answer()) throw Error({.what = "there is no answer to make again"});
  ++state_.sampler.seed;  // the same seed would say the same
  return Next::Answer;
}

ChatCommands::Next ChatCommands::save(const std::string& file) {
  if (file.empty()) throw Error({.what = "no file to save to", .hint = "/save FILE"});
  AtomicFile out(file);
  out.write(session_.messages().dump(2, ' ', false, ChatSession::Json::error_handler_t::replace) + "\n");
  out.commit();
  log::info("saved {}", file);
  return Next::Read;
}

ChatCommands::Next ChatCommands::set(const std::string& name_value) {
  const size_t space = name_value.find(' ');
  if (space == std::string::npos) throw Error({.what = "no value to set", .hint = "/set NAME VALUE"});
  const bool has_dashes = name_value.starts_with("--");
  const std::string flag = (has_dashes ? "" : "--") + name_value.substr(0, space);
  for (const SamplerSetting& setting : sampler_settings()) {
    if (flag != setting.flag) continue;
    const std::string text = name_value.substr(space + 1);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
      throw Error({.what = "this is no number", .where = flag, .got = printable(text, 40)});
    }
    SamplerParams changed = state_.sampler;
    std::visit(
        [&](auto field) {
          changed.*field = static_cast<std::remove_reference_t<decltype(changed.*field)>>(value);
        },
        setting.field);
    check_sampler_params(changed);
    state_.sampler = changed;
    return Next::Read;
  }
  throw Error({.what = "unknown sampler setting", .got = printable(flag, 40), .hint = "run -h lists them"});
}

ChatCommands::Next ChatCommands::sampler(const std::string&) {
  fmt::print("{}\n", describe_sampler(state_.sampler));
  return Next::Read;
}

void ChatCommands::use_policy(const RoutingPolicy& policy) {
  state_.engine.check_policy(policy);
  state_.policy = policy;
}

ChatCommands::Next ChatCommands::experts(const std::string& counts) {
  RoutingPolicy policy = state_.policy;
  policy.experts_prefill = policy.experts_decode =
      counts == "default" || counts.empty() ? std::vector<ExpertCount>{} : parse_expert_counts(counts);
  use_policy(policy);
  return Next::Read;
}

ChatCommands::Next ChatCommands::grouped(const std::string& mode) {
  RoutingPolicy policy = state_.policy;
  if (mode != "on" && mode != "off" && mode != "default") {
    throw Error({.what = "unknown mode",
                 .where = "/grouped",
                 .expected = "on, off or default",
                 .got = printable(mode, 40)});
  }
  policy.grouped = mode == "default" ? std::nullopt : std::optional(mode == "on");
  use_policy(policy);
  return Next::Read;
}

ChatCommands::Next ChatCommands::threshold(const std::string& value) {
  RoutingPolicy policy = state_.policy;
  policy.threshold = value == "off" ? std::nullopt : std::optional(parse_threshold(value));
  use_policy(policy);
  return Next::Read;
}

ChatCommands::Next ChatCommands::routing(const std::string&) {
  fmt::print("{}", draw_heat_map(state_.engine.forward().routing_stats()));
  return Next::Read;
}

}  // namespace sw::cli
