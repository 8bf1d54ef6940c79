// SPDX-License-Identifier: MIT
#include "cli/arguments.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <optional>
#include <string_view>

#include "base/edit_distance.h"
#include "base/error.h"
#include "cli/foreign_flags.h"
#include "cli/option_text.h"

namespace sw::cli {
namespace {

using Kind = ForeignFlag::Kind;
using Takes = ForeignFlag::Takes;

/// What an argument with a dash names: an option, or a flag that has no effect.
struct Named {
  const CLI::Option* option = nullptr;
  std::string name = {};  ///< with which CLI11 knows the option
  Takes takes = Takes::Nothing;
  std::string_view no_effect = {};  ///< why
};

Takes taken_by(const CLI::Option& option) {
  if (option.get_items_expected_max() == 0) return Takes::Nothing;
  return option.get_items_expected_min() == 0 ? Takes::Switch : Takes::Value;
}

/// -t8, -n-1
bool has_glued_number(std::string_view argument) {
  if (argument.size() < 3 || std::isalpha(static_cast<unsigned char>(argument[1])) == 0) return false;
  const std::string_view digits = argument.substr(argument[2] == '-' ? 3 : 2);
  return !digits.empty() && digits.find_first_not_of("0123456789") == digits.npos;
}

class Reader {
 public:
  Reader(const CLI::App& command, const std::vector<std::string>& arguments)
      : command_(command), arguments_(arguments) {
    for (const CLI::Option* option : command.get_options()) n_place_ += option->get_positional() ? 1 : 0;
  }

  ReadArguments read() {
    while (next_ < arguments_.size()) {
      const std::string& argument = arguments_[next_++];
      if (argument == "--") {
        result_.entries.insert(result_.entries.end(),
                               arguments_.begin() + static_cast<std::ptrdiff_t>(next_) - 1, arguments_.end());
        break;
      }
      if (argument.size() < 2 || argument.front() != '-') {
        if (n_place_-- == 0)
          throw UsageError(fmt::format("{}: this argument has no flag before it; usage: {}",
                                       printable(argument, 60), usage(command_)));
        result_.entries.push_back(argument);
      } else {
        read_flag(argument);
      }
    }
    return std::move(result_);
  }

 private:
  void read_flag(const std::string& argument) {
    const size_t equals = argument.find('=');
    std::string spelled = argument.substr(0, equals);
    std::optional<std::string> value;
    if (equals != argument.npos) value = argument.substr(equals + 1);
    if (!value && has_glued_number(argument)) {
      value = argument.substr(2);
      spelled.resize(2);
    }
    const Named named = look_up(spelled);
    take_value(named, spelled, value);
    if (named.option && named.takes == Takes::Nothing && value) check_switch(spelled, *value);
    if (!named.option) {
      result_.notes.push_back(fmt::format("{}: no effect here: {}", spelled, named.no_effect));
      return;
    }
    result_.given.insert(named.option);
    if (named.takes == Takes::Value) {
      result_.entries.push_back(named.name);
      result_.entries.push_back(*value);
    } else {
      result_.entries.push_back(value ? named.name + "=" + *value : named.name);
    }
  }

  void take_value(const Named& named, const std::string& spelled, std::optional<std::string>& value) {
    if (value) return;
    const bool more = next_ < arguments_.size();
    if (named.takes == Takes::Value) {
      if (!more) throw UsageError(printable(spelled) + ": its value is missing");
      value = arguments_[next_++];
    } else if (named.takes == Takes::Switch) {
      const bool word = more && is_switch_word(arguments_[next_]);
      value = word ? arguments_[next_++] : "on";
    }
  }

  Named look_up(const std::string& spelled) const {
    if (const CLI::Option* option = command_.get_option_no_throw(spelled))
      return {.option = option, .name = spelled, .takes = taken_by(*option)};
    if (const ForeignFlag* flag = find_foreign_flag(spelled, command_.get_name())) {
      if (flag->kind == Kind::Refused) throw UsageError(fmt::format("{}: {}", spelled, flag->text));
      if (flag->kind == Kind::NoEffect && acts_here(*flag))
        return {.takes = flag->takes, .no_effect = flag->text};
      const CLI::Option* option = command_.get_option_no_throw(std::string(flag->text));
      if (flag->kind == Kind::Alias && option)
        return {.option = option, .name = std::string(flag->text), .takes = taken_by(*option)};
    }
    std::string dashed = spelled;
    std::replace(dashed.begin(), dashed.end(), '_', '-');
    if (dashed != spelled && dashed.starts_with("--")) return look_up(dashed);
    throw UsageError(unknown(spelled));
  }

  /// Flags of running a model say nothing to a tool that does not.
  bool acts_here(const ForeignFlag& flag) const {
    return !flag.command.empty() || command_.get_option_no_throw("--ubatch-size");
  }

  std::string unknown(const std::string& spelled) const {
    std::vector<std::string> names;
    for (const CLI::Option* option : command_.get_options()) {
      for (const std::string& name : option->get_lnames()) {
        names.push_back("--" + name);
        for (const std::string_view alias : aliases_of("--" + name)) names.emplace_back(alias);
      }
    }
    const std::string near = nearest(spelled, names);
    return fmt::format("{}: no such flag of {}{}", printable(spelled, 60), command_.get_name(),
                       near.empty() ? fmt::format("; switchyard {} -h lists them", command_.get_name())
                                    : fmt::format("; did you mean {}?", near));
  }

  const CLI::App& command_;
  const std::vector<std::string>& arguments_;
  size_t next_ = 0;
  int n_place_ = 0;  ///< arguments that need no flag, as IN and OUT
  ReadArguments result_;
};

}  // namespace

ReadArguments read_arguments(const CLI::App& command, const std::vector<std::string>& arguments) {
  return Reader(command, arguments).read();
}

void check_switch(const std::string& name, const std::string& value) {
  for (const char* word : {"on", "off", "true", "false", "1", "0"}) {
    if (value == word) return;
  }
  throw UsageError(fmt::format("{}: expected on or off, got {}", printable(name), printable(value, 40)));
}

void let_last_flag_count(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    if (option->get_items_expected_max() == 1) option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
}

CLI::Validator whole_number(int64_t least, int64_t most) {
  const std::string limits = most == std::numeric_limits<int64_t>::max()
                                 ? fmt::format("{} or more", least)
                                 : fmt::format("{} to {}", least, most);
  return {[=](std::string& text) -> std::string {
            int64_t value = 0;
            const char* end = text.data() + text.size();
            const auto [rest, error] = std::from_chars(text.data(), end, value);
            if (error == std::errc() && rest == end && value >= least && value <= most) {
              text = std::to_string(value);  // CLI11 reads 010 as 8
              return {};
            }
            return fmt::format("expected a whole number, {}, got {}", limits, printable(text, 40));
          },
          limits};
}

CLI::Validator range(const limits::Limit& limit) { return whole_number(limit.least, limit.most); }

CLI::Validator number() {
  constexpr double kAny = std::numeric_limits<double>::max();
  return number(-kAny, kAny);
}

CLI::Validator number(double least, double most) {
  const std::string limits =
      most == std::numeric_limits<double>::max() ? "" : fmt::format(", {} to {}", least, most);
  return {[=](std::string& text) -> std::string {
            double value = 0;
            const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
            const char* end = text.data() + text.size();
            const auto [rest, error] = std::from_chars(begin, end, value);
            const bool reads = error == std::errc() && rest == end && value >= least && value <= most;
            return reads ? "" : fmt::format("expected a number{}, got {}", limits, printable(text, 40));
          },
          ""};
}

CLI::Validator one_of(const std::vector<std::string>& words) {
  return {[words](const std::string& text) -> std::string {
            if (std::ranges::find(words, text) != words.end()) return {};
            return fmt::format("expected {}, got {}", fmt::join(words, " or "), printable(text, 40));
          },
          fmt::format("{{{}}}", fmt::join(words, ","))};
}

void refuse_empty_values(CLI::App& command) {
  constexpr std::string_view kMayBeEmpty[] = {"--prompt", "--system"};
  const CLI::Validator says_something(
      [](std::string& text) -> std::string {
        return text.empty() ? "got an empty text (is a variable unset?)" : "";
      },
      "");
  for (CLI::Option* option : command.get_options()) {
    const auto named = [option](std::string_view name) { return option->check_name(std::string(name)); };
    if (option->get_items_expected_max() > 0 && std::ranges::none_of(kMayBeEmpty, named))
      option->check(says_something);
  }
}

}  // namespace sw::cli
