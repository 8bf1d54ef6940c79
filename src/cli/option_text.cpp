// SPDX-License-Identifier: MIT
#include "cli/option_text.h"

#include <algorithm>
#include <fmt/format.h>
#include <string_view>

#include "cli/foreign_flags.h"

namespace sw::cli {
namespace {

constexpr std::string_view kOwnGroup = "Options";  // CLI11's name for what declares no group
constexpr std::string_view kRoutingGroup = "Routing";

bool takes_nothing(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

/// The spelling that turns a switch on, or the one that turns it off.
Spelling spelling_of(const CLI::Option& option, bool on) {
  Spelling s;
  for (const std::string& name : option.get_lnames()) {
    const bool is_on = !takes_nothing(option) || option.get_flag_value(name, "") != "false";
    if (is_on == on) s.long_names.push_back("--" + name);
  }
  if (on && !option.get_snames().empty()) s.short_name = "-" + option.get_snames().front();
  for (const std::string& name : s.long_names) {
    for (const std::string_view alias : aliases_of(name)) {
      if (s.short_name.empty() && !alias.starts_with("--")) s.short_name = alias;
    }
  }
  return s;
}

/// The values of a check that CLI11 describes as "{a,b}".
std::vector<std::string> choices_of(const std::string& type) {
  std::vector<std::string> out;
  const size_t begin = type.find('{'), end = type.rfind('}');
  if (begin == type.npos || end == type.npos) return out;
  std::string_view list = std::string_view(type).substr(begin + 1, end - begin - 1);
  while (!list.empty()) {
    const size_t comma = list.find(',');
    out.emplace_back(list.substr(0, comma));
    list.remove_prefix(comma == list.npos ? list.size() : comma + 1);
  }
  return out;
}

std::string value_of(const CLI::Option& option, const std::vector<std::string>& choices) {
  if (takes_nothing(option)) return {};
  if (!option.get_option_text().empty()) return option.get_option_text();
  if (!choices.empty()) return fmt::format("{}", fmt::join(choices, "|"));
  const std::string type = option.get_type_name();
  return type.starts_with("INT") || type.starts_with("UINT") ? "N" : type.starts_with("FLOAT") ? "X" : "TEXT";
}

}  // namespace

std::string Spelling::to_string(bool all) const {
  const auto n =
      static_cast<std::ptrdiff_t>(all ? long_names.size() : std::min<size_t>(1, long_names.size()));
  const std::string names = fmt::format("{}", fmt::join(long_names.begin(), long_names.begin() + n, ", "));
  return short_name.empty() ? names : names.empty() ? short_name : short_name + ", " + names;
}

std::string OptionText::head(bool all) const {
  if (spellings.empty()) return place;
  std::string out;
  for (const Spelling& s : spellings) out += (out.empty() ? "" : ", ") + s.to_string(all);
  if (value.empty()) return out;
  return out + (needs_value ? " " + value : " [" + value + "]");
}

std::vector<std::string> OptionText::names() const {
  std::vector<std::string> all;
  for (const Spelling& s : spellings) {
    if (!s.short_name.empty()) all.push_back(s.short_name);
    all.insert(all.end(), s.long_names.begin(), s.long_names.end());
  }
  return all;
}

OptionText describe(const CLI::Option& option) {
  OptionText text{.needs_value = option.get_items_expected_min() > 0,
                  .choices = choices_of(option.get_type_name()),
                  .description = option.get_description()};
  text.value = value_of(option, text.choices);
  if (option.get_positional()) {
    text.place = option.get_name(true, false);
  } else {
    for (const bool on : {true, false}) {
      const Spelling s = spelling_of(option, on);
      if (!s.long_names.empty() || !s.short_name.empty()) text.spellings.push_back(s);
    }
  }
  if (!takes_nothing(option) && !option.get_default_str().empty())
    text.description += fmt::format(" (default: {})", option.get_default_str());
  return text;
}

std::vector<OptionGroup> option_groups(const CLI::App& command, bool all) {
  std::vector<std::string> names = command.get_groups();
  const auto rank = [](const std::string& name) {
    return name == kOwnGroup         ? 0
           : name == kRoutingGroup   ? 1
           : name == kHelpGroup      ? 4
           : name.starts_with(kRare) ? 3
                                     : 2;
  };
  std::ranges::stable_sort(names, {}, rank);
  std::vector<OptionGroup> groups = {
      {kPlaces, command.get_options([](const CLI::Option* o) { return o->get_positional(); })}};
  for (const std::string& name : names) {
    if (name.empty() || (!all && name.starts_with(kRare))) continue;
    groups.push_back({name == kOwnGroup ? "Flags" : name, command.get_options([&](const CLI::Option* o) {
                        return o->nonpositional() && o->get_group() == name;
                      })});
  }
  std::erase_if(groups, [](const OptionGroup& g) { return g.options.empty(); });
  return groups;
}

std::string usage(const CLI::App& command) {
  std::string out = command.get_parent() ? "switchyard " + command.get_name() : command.get_name();
  bool optional = false;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_positional()) {
      const std::string name = describe(*option).place;
      out += option->get_required() ? " " + name : " [" + name + "]";
    } else if (option->get_required()) {
      const OptionText text = describe(*option);
      const Spelling& s = text.spellings.front();
      out += fmt::format(" {} {}", s.short_name.empty() ? s.long_names.front() : s.short_name, text.value);
    } else {
      optional |= option->get_group() != kHelpGroup;
    }
  }
  if (!command.get_subcommands({}).empty()) return out + " SUBCOMMAND [FLAGS]";
  return optional ? out + " [FLAGS]" : out;
}

std::string wrap(const std::string& text, size_t column, size_t indent, size_t width) {
  std::string out;
  bool begins = true;  // a line
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find_first_of(" \n", at), text.size());
    const size_t length = end - at;
    if (!begins && column + 1 + length > width) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
      begins = true;
    }
    if (!begins) out += ' ';
    out.append(text, at, length);
    column += length + (begins ? 0 : 1);
    begins = false;
    if (end < text.size() && text[end] == '\n') {
      out += "\n" + std::string(indent, ' ');
      column = indent;
      begins = true;
    }
    at = end + 1;
  }
  return out;
}

CLI::Validator choices(const std::vector<std::string>& values) {
  return {[](std::string&) { return std::string(); }, fmt::format("{{{}}}", fmt::join(values, ","))};
}

}  // namespace sw::cli
