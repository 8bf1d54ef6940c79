// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <string_view>

#include "chat/chat_session.h"
#include "cli/run_flags.h"

namespace sw::cli {

/// The JSON object of --template-kwargs. Throws sw::Error.
ChatSession::Json parse_template_kwargs(const std::string& text);

/// Replaces the conversation by one that /save wrote, or by an array of messages. Throws sw::Error, and
/// nothing has changed then.
void load_conversation(const std::string& file, ChatSession& session);

/// Whether a message is a command: one line, its first word a slash and letters a to z. "/* a comment */",
/// "// ..." and a path are text.
bool is_command(std::string_view message);

/// The commands of a chat.
class ChatCommands {
 public:
  ChatCommands(RunState& state, ChatSession& session) : state_(state), session_(session) {}

  /// What the chat does after a command: read on, answer again, or end.
  enum class Next { Read, Answer, Leave };
  /// Throws sw::Error for an unknown command or a bad value; nothing has changed then.
  Next run(const std::string& line);

 private:
  struct Command {
    const char* name;
    const char* argument;
    const char* help;
    Next (ChatCommands::*run)(const std::string& argument);
  };
  static const Command kCommands[];

  Next help(const std::string&);
  Next system(const std::string& text);
  Next reset(const std::string&);
  Next regenerate(const std::string&);
  Next read(const std::string& file);
  Next save(const std::string& file);
  Next load(const std::string& file);
  Next set(const std::string& name_value);
  Next sampler(const std::string&);
  Next experts(const std::string& counts);
  Next grouped(const std::string& mode);
  Next threshold(const std::string& value);
  Next routing(const std::string&);
  Next leave(const std::string&) { return Next::Leave; }
  void use_policy(const RoutingPolicy& policy);
  /// Shows the routing in force.
  Next say_routing() const;

  RunState& state_;
  ChatSession& session_;
};

}  // namespace sw::cli
