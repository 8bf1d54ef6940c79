// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <optional>
#include <string>

namespace sw::cli {

/// Reads what a person types: with editing and history on a terminal (libedit), plain lines elsewhere.
class LineEditor {
 public:
  LineEditor();
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  enum class End { Line, Interrupted, EndOfInput };
  struct Input {
    std::string text = {};
    End end = End::Line;
  };
  /// One message. A line that ends with a backslash goes on in the next. A paste is part of the line that is
  /// edited, its ends of lines and tabs as they are; from a terminal that does not mark pastes, lines that
  /// come at once are one message, unless the first is a command.
  Input read(const char* prompt);
  bool on_terminal() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sw::cli
