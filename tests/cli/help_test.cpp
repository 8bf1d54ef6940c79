// SPDX-License-Identifier: MIT
// The help, the completion and the manual page: what they look like, and that none of them leaves a flag out.
#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <gtest/gtest.h>
#include <regex>
#include <set>
#include <sstream>

#include "base/file.h"
#include "support/process.h"
#include "support/test_data.h"

namespace sw {
namespace {

using testing::run_switchyard;
using Names = std::set<std::string>;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::string help_of(const std::string& command, const std::string& flag = "-h") {
  const testing::ProcessResult r = run_switchyard({command, flag});
  EXPECT_EQ(r.exit_code, 0) << command << r.err;
  EXPECT_EQ(r.err, "") << command;
  return r.out;
}

/// The subcommands that `switchyard help` lists.
std::vector<std::string> commands() {
  std::vector<std::string> names;
  bool in_list = false;
  for (const std::string& line : lines_of(run_switchyard({"help"}).out)) {
    if (in_list && line.empty()) break;
    if (in_list && line[2] != ' ') names.push_back(line.substr(2, line.find(' ', 2) - 2));
    in_list |= line == "Subcommands:";
  }
  EXPECT_GE(names.size(), 15u);
  return names;
}

/// Every name that begins a line of --help-all, with its dashes.
Names flags_of(const std::string& command) {
  Names names;
  const std::regex name("--?[a-z][a-z0-9-]*");
  for (const std::string& line : lines_of(help_of(command, "--help-all"))) {
    if (!line.starts_with("  -")) continue;
    const std::string head = line.substr(0, std::min(line.size(), line.find("  ", 2)));
    for (std::sregex_iterator at(head.begin(), head.end(), name), end; at != end; ++at)
      names.insert(at->str());
  }
  return names;
}

/// What a shell prints, with its errors.
std::string shell(const std::string& command) {
  std::FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  std::string out;
  std::array<char, 4096> buffer;
  while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) out.append(buffer.data(), n);
  EXPECT_EQ(pclose(pipe), 0) << command << "\n" << out;
  return out;
}

std::string write(const testing::TempDir& temp, const char* name, const std::string& text) {
  const std::filesystem::path path = temp.path() / name;
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

TEST(Help, FitsEightyColumnsAndHasOneFormOfValues) {
  for (const std::string& command : commands()) {
    for (const char* flag : {"-h", "--help-all"}) {
      const std::string text = help_of(command, flag);
      for (const std::string& line : lines_of(text)) EXPECT_LE(line.size(), 80u) << line;
      for (const char* bad : {"INT", "FLOAT", "Env:", " in [", "REQUIRED", " \n"})
        EXPECT_EQ(text.find(bad), std::string::npos) << command << ": " << bad << "\n" << text;
      EXPECT_EQ(text.find("SWITCHYARD_"), text.rfind("SWITCHYARD_")) << "once";
    }
  }
}

TEST(Help, RunBeginsWithItsOwnFlagsAndRouting) {
  const std::string usual = help_of("run"), all = help_of("run", "--help-all");
  size_t at = 0;
  for (const char* group :
       {"\nFlags:\n", "\nRouting:\n", "\nSampling:\n", "\nModel:\n", "\nPlacement:\n", "\nHelp:\n"}) {
    const size_t next = usual.find(group);
    ASSERT_NE(next, std::string::npos) << group << usual;
    EXPECT_GE(next, at) << group << " comes too early";
    at = next;
  }
  EXPECT_NE(usual.find("  -ub, --ubatch-size N      tokens"), std::string::npos) << usual;
  EXPECT_NE(usual.find("  -n, --predict N "), std::string::npos) << usual;
  EXPECT_NE(usual.find("  -ger, --grouped-expert-routing, -no-ger, --no-grouped-expert-routing\n"),
            std::string::npos)
      << usual;
  EXPECT_EQ(usual.find("--dry-base"), std::string::npos) << "that is for --help-all";
  EXPECT_NE(all.find("  --dry-base X "), std::string::npos) << all;
  EXPECT_NE(all.find("  -n, --predict, --n-predict N\n"), std::string::npos) << all;
  EXPECT_LT(lines_of(usual).size(), 80u);
  const auto n_more = flags_of("run").size();
  EXPECT_GT(n_more, 70u);
  EXPECT_NE(usual.find("--help-all shows "), std::string::npos);
  EXPECT_EQ(help_of("merge").find("--help-all shows "), std::string::npos) << "it has no more";
}

TEST(Help, UsageHasWhatMustBeThere) {
  EXPECT_NE(help_of("quantize").find("Usage: switchyard quantize IN OUT [TYPE] [THREADS] [FLAGS]\n"),
            std::string::npos);
  EXPECT_NE(help_of("perplexity").find("Usage: switchyard perplexity -f FILE [FLAGS]\n"), std::string::npos);
}

TEST(Help, IsAskedForInEveryWay) {
  EXPECT_EQ(run_switchyard({"help", "run"}).out, help_of("run"));
  EXPECT_EQ(run_switchyard({"help", "run", "--all"}).out, help_of("run", "--help-all"));
  const std::string version = run_switchyard({"--version"}).out;
  EXPECT_EQ(std::count(version.begin(), version.end(), '\n'), 1);
  EXPECT_EQ(run_switchyard({"-v"}).out, version);
  EXPECT_EQ(run_switchyard({"run", "--version"}).out, version);
  const testing::ProcessResult unknown = run_switchyard({"help", "quantise"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_NE(unknown.err.find("did you mean quantize?"), std::string::npos) << unknown.err;
}

/// The first column of the tables of the pages.
TEST(Help, ShowsEveryFlagOfThePages) {
  const std::filesystem::path pages = testing::source_dir() / "docs" / "commands";
  const std::regex name("`(--?[a-z][a-z0-9-]*)");
  for (const std::string& command : commands()) {
    if (!std::filesystem::exists(pages / (command + ".md"))) continue;
    const Names flags = flags_of(command);
    std::string text = read_file(pages / (command + ".md"));
    if (flags.contains("--experts")) text += read_file(pages / "README.md");
    for (const std::string& line : lines_of(text)) {
      if (!line.starts_with("| `-")) continue;
      const std::string cell = line.substr(0, line.find(" |", 2));
      for (std::sregex_iterator at(cell.begin(), cell.end(), name), end; at != end; ++at) {
        const std::string flag = at->str(1);
        if (flag == "-reverse-prompt") continue;
        EXPECT_TRUE(flags.contains(flag)) << command << ": " << flag;
      }
    }
  }
}

TEST(Completion, HasEverySubcommandAndFlag) {
  const testing::TempDir temp;
  const std::string script = run_switchyard({"completion", "bash"}).out;
  const std::string file = write(temp, "completion", script);
  EXPECT_EQ(shell("bash -n " + file), "");
  for (const std::string& command : commands()) {
    const size_t begin = script.find("\n    " + command + ")\n      flags='"),
                 end = script.find("'\n", begin);
    ASSERT_NE(begin, std::string::npos) << command;
    const std::string flags = script.substr(begin, end - begin) + " ";
    for (const std::string& flag : flags_of(command)) {
      const bool found = flags.find(" " + flag + " ") != std::string::npos ||
                         flags.find("'" + flag + " ") != std::string::npos;
      EXPECT_TRUE(found) << command << " " << flag << "\n" << flags;
    }
  }
}

TEST(Completion, CompletesWhatStandsBeforeTheCursor) {
  const testing::TempDir temp;
  const std::string file = write(temp, "completion", run_switchyard({"completion", "bash"}).out);
  // compopt works only while bash completes: here it says what it was asked for.
  const auto complete = [&](const std::string& words) {
    return shell("bash -c 'source " + file + "; compopt() { echo \"[$2]\"; }; COMP_WORDS=(switchyard " +
                 words + "); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _switchyard; echo \"${COMPREPLY[*]}\"'");
  };
  EXPECT_EQ(complete("ver"), "version\n");
  EXPECT_EQ(complete("run --expert-"), "--expert-threshold --expert-mask\n");
  EXPECT_EQ(complete("run -ng"), "-ngl\n");
  EXPECT_EQ(complete("run --split-mode \"\""), "layer none\n");
  EXPECT_EQ(complete("run --split-mode = n"), "none\n");
  EXPECT_EQ(complete("run --split-mode ="), "layer none\n");
  EXPECT_EQ(complete("run -ctk f3"), "f32\n");
  EXPECT_EQ(complete("run -fa o"), "on off\n");
  EXPECT_EQ(complete("run -m \"\""), "[default]\n\n");
  EXPECT_EQ(complete("run -p \"\""), "\n") << "a text is not a file";
  EXPECT_EQ(complete("convert \"\""), "[dirnames]\n\n");
  EXPECT_EQ(complete("quantize a b Q4_K_"), "[default]\nQ4_K_M Q4_K_S\n");
  EXPECT_EQ(complete("help tok"), "tokenize\n");
  EXPECT_EQ(complete("completion \"\""), "bash fish zsh\n");
}

/// The words that end the lines of a script which give names: `-l name` in fish, `*--name[` in zsh.
Names names_in(const std::string& script, const std::string& command, const std::string& shell_name) {
  const bool fish = shell_name == "fish";
  const std::string from = fish ? "'__switchyard_has " + command + "'" : "\n    " + command + ")\n";
  size_t at = script.find(from);
  const size_t end =
      fish ? script.rfind(from) + script.substr(script.rfind(from)).find('\n') : script.find(" ;;\n", at);
  EXPECT_NE(at, std::string::npos) << shell_name << " " << command;
  Names names;
  const std::regex name(fish ? " -([slo]) ([a-z][a-z0-9-]*)" : "'\\*(--?[a-z][a-z0-9-]*)");
  const std::string part = script.substr(at, end - at);
  for (std::sregex_iterator i(part.begin(), part.end(), name), last; i != last; ++i)
    names.insert(!fish ? i->str(1) : (i->str(1) == "l" ? "--" : "-") + i->str(2));
  return names;
}

TEST(Completion, OfFishAndZshHasEverySubcommandAndFlag) {
  for (const char* shell_name : {"fish", "zsh"}) {
    const std::string script = run_switchyard({"completion", shell_name}).out;
    for (const std::string& command : commands()) {
      const Names names = names_in(script, command, shell_name);
      for (const std::string& flag : flags_of(command))
        EXPECT_TRUE(names.contains(flag)) << shell_name << " " << command << " " << flag;
    }
  }
}

TEST(Completion, OfFishCompletesWhatStandsBeforeTheCursor) {
  if (std::system("command -v fish >/dev/null 2>&1") != 0) GTEST_SKIP() << "no fish here";
  const testing::TempDir temp;
  const std::string file = write(temp, "completion", run_switchyard({"completion", "fish"}).out);
  const auto complete = [&](const std::string& line) {
    return shell("HOME=" + temp.path().string() + " fish --no-config -c 'source " + file +
                 "; complete -C \"switchyard " + line + "\"' | cut -f1 | tr '\\n' ' '");
  };
  EXPECT_EQ(complete("ver"), "version ");
  EXPECT_EQ(complete("run --expert-"), "--expert-mask --expert-threshold ");
  EXPECT_EQ(complete("run --split-mode "), "layer none ");
  EXPECT_EQ(complete("run -ctk f3"), "f32 ");
  EXPECT_EQ(complete("run -p "), "") << "a text is not a file";
  EXPECT_EQ(complete("quantize a b Q4_K_"), "Q4_K_M Q4_K_S ");
  EXPECT_EQ(complete("completion "), "bash fish zsh ");
}

TEST(Completion, OfZshIsReadWithoutAWord) {
  if (std::system("command -v zsh >/dev/null 2>&1") != 0) GTEST_SKIP() << "no zsh here";
  const testing::TempDir temp;
  const std::string file = write(temp, "_switchyard", run_switchyard({"completion", "zsh"}).out);
  EXPECT_EQ(shell("zsh -n " + file), "");
  EXPECT_EQ(shell("zsh -f -c 'autoload -Uz compinit && compinit -u -D && source " + file +
                  " && echo $_comps[switchyard]'"),
            "_switchyard\n");
}

TEST(ManPage, HasEverySubcommandAndFlag) {
  const std::string page = run_switchyard({"help", "--man"}).out;
  for (const std::string& command : commands()) {
    EXPECT_NE(page.find(".SS " + command + "\n"), std::string::npos) << command;
    for (const std::string& flag : flags_of(command)) {
      if (flag == "-h" || flag == "-v" || flag == "--help" || flag == "--help-all" || flag == "--version")
        continue;
      const std::string escaped = std::regex_replace(flag, std::regex("-"), "\\-");
      EXPECT_NE(page.find(escaped), std::string::npos) << command << " " << flag;
    }
  }
}

TEST(ManPage, IsSetWithoutAWarning) {
  if (std::system("command -v groff >/dev/null 2>&1") != 0) GTEST_SKIP() << "no groff here";
  const testing::TempDir temp;
  const std::string file = write(temp, "switchyard.1", run_switchyard({"help", "--man"}).out);
  EXPECT_EQ(shell("groff -man -Tutf8 -ww -z " + file), "");
  const std::string shown = shell("groff -man -Tascii -P-cbou " + file);
  EXPECT_NE(shown.find("-ub, --ubatch-size N"), std::string::npos) << shown.substr(0, 4000);
}

}  // namespace
}  // namespace sw
