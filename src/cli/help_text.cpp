// SPDX-License-Identifier: MIT
#include "cli/help_text.h"

#include <cctype>
#include <fmt/format.h>

#include "cli/option_text.h"

namespace sw::cli {
namespace {

constexpr size_t kIndent = 2;
constexpr size_t kColumn = 28;  // of the descriptions
constexpr size_t kSubcommandColumn = 14;

/// A name, and what it is from `column` on; below it where the name is too long.
std::string entry(const std::string& name, const std::string& description, size_t column) {
  std::string out = std::string(kIndent, ' ') + name;
  if (out.size() + 2 > column) {
    out += "\n" + std::string(column, ' ');
  } else {
    out.resize(column, ' ');
  }
  return out + wrap(description, column, column) + "\n";
}

std::string group(const OptionGroup& g, bool all) {
  std::string out = "\n" + g.name + ":\n";
  for (const CLI::Option* option : g.options) {
    const OptionText text = describe(*option);
    out += entry(text.head(all), text.description, kColumn);
  }
  return out;
}

/// Flags that the short help leaves out.
size_t n_more(const CLI::App& app) {
  size_t n = 0;
  for (const OptionGroup& g : option_groups(app, true)) n += g.name.starts_with(kRare) ? g.options.size() : 0;
  return n;
}

std::string footer(const CLI::App& app, bool all) {
  if (!app.get_parent()) {
    return "switchyard help SUBCOMMAND shows the flags of one, switchyard help --man the manual page.\n" +
           environment_paragraph();
  }
  const size_t n = all ? 0 : n_more(app);
  const std::string more = n > 0 ? fmt::format("--help-all shows {} more flags. ", n) : "";
  return more + environment_paragraph();
}

/// "Chat with a model." of "chat with a model".
std::string sentence(std::string text) {
  text.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(text.front())));
  return text.ends_with('.') ? text : text + ".";
}

class HelpFormatter : public CLI::FormatterBase {
 public:
  std::string make_help(const CLI::App* app, std::string, CLI::AppFormatMode mode) const override {
    const bool all = mode == CLI::AppFormatMode::All;
    std::string out = fmt::format("Usage: {}\n\n{}\n", wrap(usage(*app), 7, 7),
                                  wrap(sentence(app->get_description()), 0, 0));
    if (!app->get_parent()) out += "\nSubcommands:\n";
    for (const CLI::App* sub : app->get_subcommands({}))
      out += entry(sub->get_name(), sub->get_description(), kSubcommandColumn);
    for (const OptionGroup& g : option_groups(*app, all)) out += group(g, all);
    return out + "\n" + wrap(footer(*app, all), 0, 0) + "\n";
  }
};

}  // namespace

std::shared_ptr<CLI::FormatterBase> make_help_formatter() { return std::make_shared<HelpFormatter>(); }

std::string environment_paragraph() {
  return "A flag may also come from the environment, by any of its long names: SWITCHYARD_THREADS=4 for "
         "--threads 4; 1 or 0 for a flag without a value. Flags win.";
}

}  // namespace sw::cli
