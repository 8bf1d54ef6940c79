// SPDX-License-Identifier: MIT
// Chats through a terminal and through a pipe.
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/process.h"
#include "support/terminal.h"
#include "support/test_data.h"

namespace sw {
namespace {

using testing::run_switchyard;
using testing::Terminal;

constexpr const char* kPrompt = "> ";
constexpr const char* kUp = "\x1b[A";
constexpr const char* kBackspace = "\x7f";
constexpr const char* kControlA = "\x01";
constexpr const char* kControlC = "\x03";
constexpr const char* kControlD = "\x04";

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

/// The messages that a /save wrote.
nlohmann::json saved(Terminal& terminal, const std::filesystem::path& file) {
  terminal.type("/save " + file.string() + "\r");
  EXPECT_NE(terminal.wait_for("saved"), "");
  EXPECT_NE(terminal.wait_for(kPrompt), "");
  return nlohmann::json::parse(std::ifstream(file));
}

TEST(ChatTerminal, TypingEditingAndHistory) {
  const testing::TempDir temp;
  Terminal terminal({"run", "--temp", "0", "-n", "12"});
  ASSERT_NE(terminal.wait_for(kPrompt), "") << terminal.transcript();
  terminal.type("ell me a storx" + std::string(kBackspace) + "y about a fox." + kControlA + "T\r");
  ASSERT_NE(terminal.wait_for("\n" + std::string(kPrompt)), "") << terminal.transcript();
  terminal.type(std::string(kUp) + " Na\xc3\xafve \xf0\x9f\xa6\x8a!\r");
  ASSERT_NE(terminal.wait_for("\n" + std::string(kPrompt)), "") << terminal.transcript();
  const nlohmann::json messages = saved(terminal, temp.path() / "chat.json");
  ASSERT_EQ(messages.size(), 4u) << messages;
  EXPECT_EQ(messages[0]["content"], "Tell me a story about a fox.");
  EXPECT_EQ(messages[2]["content"], "Tell me a story about a fox. Na\xc3\xafve \xf0\x9f\xa6\x8a!");
  EXPECT_EQ(messages[1]["role"], "assistant");
  EXPECT_FALSE(messages[1]["content"].get<std::string>().empty());
  terminal.type(kControlD);
  EXPECT_EQ(terminal.exit_code(), 0) << terminal.transcript();
}

TEST(ChatTerminal, ControlCEndsTheAnswerThenTheLine) {
  Terminal terminal({"run", "--ignore-eos", "--no-fused"});
  ASSERT_NE(terminal.wait_for(kPrompt), "");
  terminal.type("Tell me a story.\r");
  EXPECT_GT(terminal.listen(3).size(), 20u) << "the answer has begun";
  terminal.type(kControlC);
  EXPECT_NE(terminal.wait_for("(interrupted)"), "") << terminal.transcript();
  ASSERT_NE(terminal.wait_for(kPrompt), "");
  terminal.type("half a line");
  ASSERT_NE(terminal.wait_for("half a line"), "") << "echoed: the editor has the terminal";
  terminal.type(kControlC);
  EXPECT_NE(terminal.wait_for(kPrompt), "") << "a fresh line";
  terminal.type("/exit\r");
  EXPECT_EQ(terminal.exit_code(), 0) << terminal.transcript();
}

TEST(ChatTerminal, ALongPasteIsOneMessage) {
  const testing::TempDir temp;
  Terminal terminal({"run", "--temp", "0", "-n", "4"});
  ASSERT_NE(terminal.wait_for(kPrompt), "");
  std::string paste;
  for (int i = 0; i < 60; ++i)
    paste += (i ? "\r" : "") + std::string("The fox ran over hill ") + std::to_string(i) + ".";
  terminal.type(paste);
  terminal.listen(1);
  terminal.type("\r");
  ASSERT_NE(terminal.wait_for("\n" + std::string(kPrompt)), "") << terminal.transcript();
  const nlohmann::json messages = saved(terminal, temp.path() / "chat.json");
  ASSERT_EQ(messages.size(), 2u) << messages;
  EXPECT_EQ(count(messages[0]["content"], "\n"), 59u);
  EXPECT_EQ(count(messages[0]["content"], "The fox ran over hill 59."), 1u);
}

TEST(ChatTerminal, CommandsSetAndRefuse) {
  Terminal terminal({"run", "--temp", "0", "-n", "8", "--experts-max", "8"});
  ASSERT_NE(terminal.wait_for(kPrompt), "");
  const auto expect = [&](const std::string& line, const std::string& says) {
    terminal.type(line + "\r");
    terminal.wait_for("\n");
    EXPECT_TRUE(says.empty() || !terminal.wait_for(says, 20).empty()) << line << "\n"
                                                                      << terminal.transcript();
    EXPECT_NE(terminal.wait_for(kPrompt, 20), "") << line;
  };
  expect("/help", "/regenerate");
  expect("/regenerate", "there is no answer");
  expect("/nonsense", "unknown command");
  expect("/set temp cold", "no number");
  expect("/set temp", "/set NAME VALUE");
  expect(" /set --temp 0", "");
  expect("/set temp -1", "--temp");
  expect("/experts 99", "error: ");
  expect("/grouped perhaps", "on, off or default");
  expect("/threshold nan", "error: ");
  expect("/experts 2", "");
  expect("Tell me a story.", "");
  expect("/routing", "expert load");
  expect("/regenerate", "");
  terminal.type("/exit\r");
  EXPECT_EQ(terminal.exit_code(), 0);
}

TEST(ChatPipe, LinesAreMessagesUntilTheInputEnds) {
  const auto r =
      run_switchyard({"run", "--temp", "0", "-n", "10", "--system", "You are kind."},
                     {.input = "Tell me a story about a fox.\nAnd then?\n\n/experts 1\nGo \\\non.\n"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(std::count(r.out.begin(), r.out.end(), '\n') >= 3, true) << r.out;
  EXPECT_EQ(r.out.find("> "), std::string::npos) << "no prompt where nobody types: " << r.out;
  EXPECT_EQ(run_switchyard({"run"}, {.input = ""}).exit_code, 0);
}

TEST(ChatPipe, AConversationLongerThanTheContextLosesItsOldestPart) {
  std::string input;
  for (int i = 0; i < 12; ++i)
    input += "Tell me a long story about a fox, number " + std::to_string(i) + ".\n";
  const auto r = run_switchyard({"run", "-c", "256", "-n", "40", "--ignore-eos"}, {.input = input});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_NE(r.err.find("dropped to make room"), std::string::npos) << r.err;
  EXPECT_EQ(r.err.find("error"), std::string::npos) << r.err;
}

TEST(ChatOnce, StopStringsAndTemplateVariables) {
  const auto whole =
      run_switchyard({"run", "--chat", "-p", "Tell me a story about a fox.", "--temp", "0", "-n", "40"});
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  const std::string stop = whole.out.substr(whole.out.size() / 2, 4);
  const auto stopped = run_switchyard(
      {"run", "--chat", "-p", "Tell me a story about a fox.", "--temp", "0", "-n", "40", "--stop", stop});
  EXPECT_EQ(stopped.out, whole.out.substr(0, whole.out.find(stop)) + "\n");
  EXPECT_EQ(run_switchyard({"run", "--chat", "-p", "x", "--template-kwargs", "[1]"}).exit_code, 1);
  EXPECT_EQ(run_switchyard({"run", "--chat", "-p", "x", "--template-kwargs", "{"}).exit_code, 1);
  EXPECT_EQ(run_switchyard({"run", "--chat", "-p", ""}).exit_code, 1);
}

}  // namespace
}  // namespace sw
