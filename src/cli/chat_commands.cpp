// SPDX-License-Identifier: MIT
#include "cli/chat_commands.h"

#include <algorithm>
#include <charconv>
#include <fmt/core.h>
#include <limits>
#include <random>

#include "base/error.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/foreign_flags.h"
#include "cli/model_report.h"
#include "cli/text_input.h"
#include "formats/json.h"

namespace sw::cli {

const ChatCommands::Command ChatCommands::kCommands[] = {
    {"help", "", "this list", &ChatCommands::help},
    {"system", "TEXT", "set the system message (empty: none)", &ChatCommands::system},
    {"reset", "", "forget the conversation (/clear, too)", &ChatCommands::reset},
    {"regenerate", "", "answer the last message again (/regen, /retry, too)", &ChatCommands::regenerate},
    {"read", "FILE", "send the text of a file as a message", &ChatCommands::read},
    {"save", "FILE", "write the conversation as JSON", &ChatCommands::save},
    {"load", "FILE", "go on with a conversation that was saved", &ChatCommands::load},
    {"set", "NAME VALUE", "change a sampler setting: temp 0.5, seed 3", &ChatCommands::set},
    {"sampler", "", "show the sampler settings in force", &ChatCommands::sampler},
    {"experts", "N", "experts per token: N, 0-3=4,4-5=2 by layer, or default", &ChatCommands::experts},
    {"grouped", "on|off|default", "routing by groups", &ChatCommands::grouped},
    {"threshold", "MIN,T", "drop experts far weaker than the best, or off", &ChatCommands::threshold},
    {"routing", "", "heat map of the last answer", &ChatCommands::routing},
    {"exit", "", "end the chat (or Ctrl-D)", &ChatCommands::leave},
    {"quit", "", "the same", &ChatCommands::leave},
};

namespace {

/// What users of other programs type, and what it is here.
constexpr std::pair<std::string_view, std::string_view> kSynonyms[] = {
    {"clear", "reset"}, {"new", "reset"}, {"retry", "regenerate"}, {"regen", "regenerate"}};

/// "--top-k" of "top_k" and "--temp" of "temperature": the flag of a setting, however it is written.
std::string flag_of(std::string name) {
  std::ranges::replace(name, '_', '-');
  if (!name.starts_with("--")) name = "--" + name;
  const ForeignFlag* foreign = find_foreign_flag(name, "run");
  return foreign && foreign->kind == ForeignFlag::Kind::Alias ? std::string(foreign->text) : name;
}

int64_t parse_seed(const std::string& text) {
  std::string value = text;
  const std::string why = whole_number(-1, std::numeric_limits<int64_t>::max())(value);
  if (!why.empty()) throw Error({.what = "not a seed", .where = "/set seed", .got = printable(text, 40)});
  return std::stoll(value);
}

}  // namespace

ChatSession::Json parse_template_kwargs(const std::string& text) {
  ChatSession::Json value = parse_ordered_json(text, "--template-kwargs");
  if (!value.is_object())
    throw Error({.what = "not a JSON object", .where = "--template-kwargs", .got = printable(text, 60)});
  return value;
}

void load_conversation(const std::string& file, ChatSession& session) {
  const ChatSession::Json saved = parse_ordered_json(read_text(file), file);
  const auto refuse = [&](const std::string& got) {
    return Error({.what = "not a conversation",
                  .where = file,
                  .expected = "what /save writes: messages, each with role and content",
                  .got = got});
  };
  const ChatSession::Json messages = saved.is_object() ? saved.value("messages", ChatSession::Json()) : saved;
  if (!messages.is_array()) throw refuse(messages.type_name());
  const auto text_of = [&](const ChatSession::Json& message, const char* member) {
    if (!message.is_object() || !message.contains(member) || !message[member].is_string())
      throw refuse(std::string("a message without ") + member);
    return message[member].get<std::string>();
  };
  ChatSession::Json checked = ChatSession::Json::array();  // nothing changes where a message is bad
  for (const ChatSession::Json& message : messages) {
    const std::string role = text_of(message, "role");
    if (role != "system" && role != "user" && role != "assistant")
      throw refuse("role " + printable(role, 40));
    const bool reasons = message.contains("reasoning_content");
    checked.push_back({{"role", role},
                       {"content", text_of(message, "content")},
                       {"reasoning", reasons ? text_of(message, "reasoning_content") : ""}});
  }
  session.reset();
  session.set_system("");
  for (const ChatSession::Json& message : checked) {
    const std::string content = message["content"];
    if (message["role"] == "system") session.set_system(content);
    if (message["role"] == "user") session.add_user(content);
    if (message["role"] == "assistant") session.add_answer(content, message["reasoning"]);
  }
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
  std::string name = line.substr(1, space == std::string::npos ? space : space - 1);
  std::string argument = space == std::string::npos ? "" : line.substr(space + 1);
  argument.erase(argument.find_last_not_of(" \t\r\n") + 1);
  argument.erase(0, argument.find_first_not_of(" \t"));
  for (const auto& [synonym, meant] : kSynonyms) {
    if (name == synonym) name = meant;
  }
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
      "  A line that ends with \\ continues in the next; a paste of several lines is one message.\n"
      "  Only a line that begins with a slash and a word is a command.\n");
  return Next::Read;
}

ChatCommands::Next ChatCommands::system(const std::string& text) {
  session_.set_system(text);
  log::info("{}", text.empty() ? "(no system message)" : "(the system message is set)");
  return Next::Read;
}

ChatCommands::Next ChatCommands::reset(const std::string&) {
  session_.reset();
  log::info("(the conversation is forgotten)");
  return Next::Read;
}

ChatCommands::Next ChatCommands::regenerate(const std::string&) {
  if (!session_.drop_answer()) throw Error({.what = "there is no answer to make again"});
  ++state_.sampler.seed;  // the same seed would say the same
  return Next::Answer;
}

ChatCommands::Next ChatCommands::save(const std::string& file) {
  if (file.empty()) throw Error({.what = "no file to save to", .hint = "/save FILE"});
  const ChatSession::Json saved = {
      {"messages", session_.messages()},
      {"model", state_.model.file().metadata().get_string("general.name").value_or("")},
      {"seed", state_.sampler.seed}};
  AtomicFile out(file);
  out.write(saved.dump(2, ' ', false, ChatSession::Json::error_handler_t::replace) + "\n");
  out.commit();
  log::info("saved {}", file);
  return Next::Read;
}

ChatCommands::Next ChatCommands::load(const std::string& file) {
  if (file.empty()) throw Error({.what = "no file to load", .hint = "/load FILE"});
  load_conversation(file, session_);
  log::info("loaded {}: {} messages", file, session_.messages().size());
  return Next::Read;
}

ChatCommands::Next ChatCommands::read(const std::string& file) {
  if (file.empty()) throw Error({.what = "no file to read", .hint = "/read FILE"});
  session_.add_user(read_text(file));
  return Next::Answer;
}

ChatCommands::Next ChatCommands::set(const std::string& name_value) {
  if (name_value.empty()) return sampler({});
  const size_t space = name_value.find(' ');
  if (space == std::string::npos) throw Error({.what = "no value to set", .hint = "/set NAME VALUE"});
  const std::string flag = flag_of(name_value.substr(0, space)), text = name_value.substr(space + 1);
  if (flag == "--seed") {
    const int64_t seed = parse_seed(text);
    state_.sampler.seed = seed >= 0 ? static_cast<uint64_t>(seed) : std::random_device{}();
    return sampler({});
  }
  for (const SamplerSetting& setting : sampler_settings()) {
    if (flag != setting.flag) continue;
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
      throw Error({.what = "not a number", .where = flag, .got = printable(text, 40)});
    }
    SamplerParams changed = state_.sampler;
    std::visit(
        [&](auto field) {
          changed.*field = static_cast<std::remove_reference_t<decltype(changed.*field)>>(value);
        },
        setting.field);
    check_sampler_params(changed);
    state_.sampler = changed;
    return sampler({});
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
  say_routing();
}

ChatCommands::Next ChatCommands::say_routing() const {
  log::info("{}", describe_routing(state_.model, state_.policy));
  return Next::Read;
}

ChatCommands::Next ChatCommands::experts(const std::string& counts) {
  if (counts.empty()) return say_routing();
  RoutingPolicy policy = state_.policy;
  policy.experts_prefill = policy.experts_decode =
      counts == "default" ? std::vector<ExpertCount>{} : parse_expert_counts(counts);
  use_policy(policy);
  return Next::Read;
}

ChatCommands::Next ChatCommands::grouped(const std::string& mode) {
  if (mode.empty()) return say_routing();
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
  if (value.empty()) return say_routing();
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
