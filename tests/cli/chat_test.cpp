// SPDX-License-Identifier: MIT
// Chats through a terminal and through a pipe.
#include <csignal>
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
  return nlohmann::json::parse(std::ifstream(file)).at("messages");
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

TEST(ChatTerminal, ControlCEndsAPasteWhoseEndGotLost) {
  Terminal terminal({"run", "--temp", "0", "-n", "4"});
  ASSERT_NE(terminal.wait_for(kPrompt), "");
  terminal.type("\x1b[200~half of a paste");
  terminal.listen(0.3);
  terminal.type(kControlC);
  ASSERT_NE(terminal.wait_for(kPrompt), "") << terminal.transcript();
  terminal.type("\x1b[201~/exit\r");  // the end comes late
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

TEST(ChatTerminal, APasteIsTextAsItIs) {
  const testing::TempDir temp;
  Terminal terminal({"run", "--temp", "0", "-n", "4"});
  ASSERT_NE(terminal.wait_for(kPrompt), "");
  const auto send = [&](const std::string& keys) {
    terminal.type(keys);
    EXPECT_NE(terminal.wait_for("\n" + std::string(kPrompt)), "") << terminal.transcript();
  };
  send("\x1b[200~/* a comment */\r\tint main() {\n\t\treturn 1; // \xc3\xa9\r\t}\r\x1b[201~ Why?\r");
  send("a\tb\x1b[1;5D\x1b[1~>\x1b[5~\x1b[4~<\r");
  send("// one\r\ttwo\r");  // from a terminal that marks nothing
  const nlohmann::json messages = saved(terminal, temp.path() / "chat.json");
  ASSERT_EQ(messages.size(), 6u) << messages;
  EXPECT_EQ(messages[0]["content"].get<std::string>(),
            "/* a comment */\n\tint main() {\n\t\treturn 1; // \xc3\xa9\n\t}\n Why?");
  EXPECT_EQ(messages[2]["content"], ">a\tb<");
  EXPECT_EQ(messages[4]["content"], "// one\n\ttwo");
  terminal.type("/exit\r");
  EXPECT_EQ(terminal.exit_code(), 0);
  EXPECT_NE(terminal.transcript().rfind("\x1b[?2004l"), std::string::npos) << "the shell gets plain pastes";
}

TEST(ChatTerminal, AnyNumberOfControlCEndsTheAnswerOnly) {
  Terminal terminal({"run", "--no-fused", "-ub", "64"});
  ASSERT_NE(terminal.wait_for(kPrompt), "");
  std::string message;
  for (int i = 0; i < 80; ++i) message += "The fox ran over the hill. ";
  terminal.type(message + "\r");
  EXPECT_NE(terminal.wait_for("t/s "), "") << "a bar shows how far the prompt is: " << terminal.transcript();
  terminal.type(kControlC);
  EXPECT_NE(terminal.wait_for("(stopping ...)", 2), "") << "at once: " << terminal.transcript();
  terminal.type(kControlC);
  terminal.type(kControlC);
  EXPECT_NE(terminal.wait_for("(interrupted)"), "") << terminal.transcript();
  ASSERT_NE(terminal.wait_for(kPrompt), "");
  terminal.type("/exit\r");
  EXPECT_EQ(terminal.exit_code(), 0) << terminal.transcript();
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
  expect("/set temp cold", "not a number");
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

TEST(ChatPipe, ACommandSaysWhatIsInForceNow) {
  const std::pair<const char*, const char*> kinds[] = {
      {"/experts 2", "routing: as asked for, 2 of 32 experts per token, grouped (4 of 8 groups)\n"},
      {"/experts", "routing: the model's own, 4 of 32 experts"},
      {"/threshold 1:0.3", "threshold 1,0.3\n"},
      {"/grouped off", "standard (all groups)\n"},
      {"/grouped", "grouped (4 of 8 groups)\n"},
      {"/reset", "(the conversation is forgotten)\n"},
      {"/clear", "(the conversation is forgotten)\n"},
      {"/system Be kind.", "(the system message is set)\n"}};
  for (const auto& [line, says] : kinds) {
    const auto r = run_switchyard({"run"}, {.input = std::string(line) + "\n"});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_TRUE(r.err.starts_with(says) || r.err.substr(0, r.err.find('\n') + 1).ends_with(says))
        << line << "\n"
        << r.err;
  }
  const std::pair<const char*, const char*> settings[] = {{"/set temperature 0.5", "temperature 0.5;"},
                                                          {"/set top_k 7", "top_k 7;"},
                                                          {"/set seed 3", "seed 3\n"},
                                                          {"/set --top-p 0.5", "top_p 0.5;"}};
  for (const auto& [line, says] : settings) {
    const auto r = run_switchyard({"run"}, {.input = std::string(line) + "\n"});
    EXPECT_NE(r.out.find(says), std::string::npos) << line << "\n" << r.out;
  }
  const auto early = run_switchyard({"run"}, {.input = "/routing\n"});
  EXPECT_EQ(early.out, "no token was routed yet: there is no answer\n");
  EXPECT_EQ(run_switchyard({"run"}, {.input = "/regen\n"}).exit_code, 1) << "there is none";
}

TEST(ChatPipe, AConversationIsSavedLoadedAndResumed) {
  const testing::TempDir temp;
  const std::string file = temp.path() / "c.json", copy = temp.path() / "copy.json",
                    text = temp.path() / "t.txt";
  std::ofstream(text) << "Two lines\nof a file.";
  const std::vector<std::string> chat = {"run", "--temp", "0", "-n", "6"};
  const auto first = run_switchyard(chat, {.input = "/system Be kind.\nTell me a story.\n/read " + text +
                                                    "\n/save " + file + "\nAnd then?\n"});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const nlohmann::json kept = nlohmann::json::parse(std::ifstream(file));
  EXPECT_EQ(kept.at("model"), "Fable Ling");
  ASSERT_EQ(kept.at("messages").size(), 5u) << kept;
  EXPECT_EQ(kept["messages"][3]["content"], "Two lines\nof a file.");
  EXPECT_EQ(run_switchyard({"template", "-f", file}).exit_code, 0) << "the same kind of file";
  std::vector<std::string> resumed = chat;
  resumed.insert(resumed.end(), {"--resume", file});
  const std::string next = run_switchyard(resumed, {.input = "And then?\n"}).out;
  EXPECT_GT(next.size(), 2u);
  EXPECT_TRUE(first.out.ends_with(next)) << "as if it had not ended: " << first.out << next;
  const auto loaded = run_switchyard(chat, {.input = "/load " + file + "\n/save " + copy + "\n"});
  EXPECT_NE(loaded.err.find("loaded " + file + ": 5 messages"), std::string::npos) << loaded.err;
  EXPECT_EQ(nlohmann::json::parse(std::ifstream(copy))["messages"], kept["messages"]);
  for (const char* bad : {"[1]", "{}", "[{\"role\": \"tool\", \"content\": \"x\"}]", "x"}) {
    std::ofstream(copy) << bad;
    EXPECT_EQ(run_switchyard(chat, {.input = "/load " + copy + "\n"}).exit_code, 1) << bad;
  }
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

TEST(ChatPipe, AnAnswerThatReachesTheEndGoesOnWithLessBehindIt) {
  const auto r = run_switchyard({"run", "-c", "256", "-n", "150", "--ignore-eos", "--seed", "1"},
                                {.input = "One fox.\nTwo foxes.\nThree foxes.\n"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.err.find("the context is full"), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("decode: 447 tokens"), std::string::npos)
      << "149 each, the first is of the prefill: " << r.err;
}

TEST(ChatPipe, TextThatBeginsWithASlashIsText) {
  const auto r =
      run_switchyard({"run", "-n", "3"}, {.input = "/* a comment */\n// x\n/usr/bin is a folder.\n/\n"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.err.find("error"), std::string::npos) << r.err;
}

TEST(ChatPipe, AMessageThatFailsIsInTheExitCode) {
  for (const char* input : {"/nonsense\n", "/save\nHello.\n", "/save /no/such/folder/x\n"}) {
    const auto r = run_switchyard({"run", "-n", "3"}, {.input = input});
    EXPECT_EQ(r.exit_code, 1) << input << r.err;
  }
}

TEST(ChatOnce, ControlCIsInTheExitCode) {
  for (const char* mode : {"--ignore-eos", "--chat"}) {
    const auto r = run_switchyard({"run", "-p", "Tell me a story.", "--ignore-eos", "-c", "100000", mode},
                                  {.signal_after_s = 2, .signal = SIGINT});
    EXPECT_EQ(r.exit_code, -SIGINT) << r.err;  // a shell's loop ends with it
    EXPECT_NE(r.err.find("(interrupted)"), std::string::npos) << r.err;
  }
}

TEST(ChatOnce, APromptFromAPipeIsOneMessage) {
  const std::string text = "Tell me\nabout a fox.\n";
  const std::vector<std::string> flags = {"run", "--temp", "0", "-n", "8", "--chat"};
  const auto with = [&](const std::string& flag, const std::string& value, const std::string& input) {
    std::vector<std::string> all = flags;
    all.insert(all.end(), {flag, value});
    return run_switchyard(all, {.input = input});
  };
  const auto given = with("-p", text, "");
  ASSERT_EQ(given.exit_code, 0) << given.err;
  for (const char* name : {"-", "/dev/stdin"}) EXPECT_EQ(with("-f", name, text).out, given.out) << name;
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

TEST(ChatOnce, TheTemplateHasAName) {
  const std::vector<std::string> flags = {"run", "--chat", "-p", "x", "--temp", "0", "-n", "4"};
  const auto with = [&](const std::string& name) {
    std::vector<std::string> all = flags;
    all.insert(all.end(), {"--template-name", name});
    return run_switchyard(all);
  };
  const auto named = with("default");
  ASSERT_EQ(named.exit_code, 0) << named.err;
  EXPECT_EQ(named.out, run_switchyard(flags).out);
  const auto unknown = with("rag");
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_NE(unknown.err.find("no chat template of this name: expected one of default, got rag"),
            std::string::npos)
      << unknown.err;
}

}  // namespace
}  // namespace sw
