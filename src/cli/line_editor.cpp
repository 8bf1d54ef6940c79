// SPDX-License-Identifier: MIT
#include "cli/line_editor.h"

#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <histedit.h>
#include <iostream>
#include <poll.h>
#include <string_view>
#include <termios.h>
#include <unistd.h>

#include "cli/chat_commands.h"
#include "cli/interrupt.h"

namespace sw::cli {
namespace {

constexpr int kHistoryLines = 1000;
// The rest of a paste is there at once; a person's next line never comes this fast.
constexpr int kPasteWaitMs = 25;

// A terminal puts what is pasted between marks when it is asked to.
constexpr const char* kMarkPastes = "\x1b[?2004h";
constexpr const char* kMarkNoPastes = "\x1b[?2004l";
constexpr std::wstring_view kPasteEnd = L"\x1b[201~";
constexpr wchar_t kControlC = 3;

struct KeyBinding {
  const char* key;
  const char* command;
};
// libedit takes Tab for itself, and would write the rest of keys that it does not know into the line.
constexpr KeyBinding kKeys[] = {
    {"\\t", "ed-insert"},         {"\\e[200~", "insert-paste"}, {"\\e[1;5D", "ed-prev-word"},
    {"\\e[1;5C", "em-next-word"}, {"\\e[1~", "ed-move-to-beg"}, {"\\e[4~", "ed-move-to-end"},
    {"\\e[5~", "ed-ignore"},      {"\\e[6~", "ed-ignore"},      {"^C", "interrupt-line"},
    {"\\e[201~", "ed-ignore"},
};

termios terminal_before = {};

/// True, and the backslash gone, where the line goes on.
bool take_continuation(std::string& line) {
  if (!line.ends_with('\\')) return false;
  line.back() = '\n';
  return true;
}

}  // namespace

struct LineEditor::Impl {
  EditLine* editor = nullptr;
  ::History* history = nullptr;  // libedit's
  const char* prompt = "";
  bool interrupted = false;

  static Impl* of(EditLine* editor) {
    void* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return static_cast<Impl*>(self);
  }
  static char* show_prompt(EditLine* editor) { return const_cast<char*>(of(editor)->prompt); }
  static unsigned char on_interrupt(EditLine* editor, int) {
    of(editor)->interrupted = true;
    return CC_NEWLINE;
  }
  static unsigned char on_paste(EditLine* editor, int) {
    std::wstring text;
    wchar_t c = 0;
    while (!text.ends_with(kPasteEnd) && el_wgetc(editor, &c) == 1) {
      if (c == kControlC) return on_interrupt(editor, 0);  // the paste's end got lost on its way
      if (c != 0) text += c == L'\r' ? L'\n' : c;          // what terminals send for the end of a line
    }
    if (text.ends_with(kPasteEnd)) text.resize(text.size() - kPasteEnd.size());
    if (!text.empty() && el_winsertstr(editor, text.c_str()) != 0) return CC_ERROR;
    return CC_REFRESH;
  }

  /// A program that is ended must not leave the terminal without echo and with marked pastes.
  static void restore_and_end(int signal) {
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
    [[maybe_unused]] const ssize_t n = write(STDOUT_FILENO, kMarkNoPastes, std::strlen(kMarkNoPastes));
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }

  void open() {
    tcgetattr(STDIN_FILENO, &terminal_before);
    // Typed text is UTF-8 whatever the locale of a container says.
    if (!std::setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
    editor = el_init("switchyard", stdin, stdout, stderr);
    if (!editor) return;
    history = history_init();
    HistEvent event;
    ::history(history, &event, H_SETSIZE, kHistoryLines);
    ::history(history, &event, H_SETUNIQUE, 1);
    el_set(editor, EL_CLIENTDATA, this);
    el_set(editor, EL_PROMPT, show_prompt);
    el_set(editor, EL_EDITOR, "emacs");
    el_set(editor, EL_HIST, ::history, history);
    // While a line is edited Ctrl-C is a key like others: it drops the line, not the program.
    el_set(editor, EL_ADDFN, "interrupt-line", "drop the line", on_interrupt);
    el_set(editor, EL_ADDFN, "insert-paste", "insert what is pasted", on_paste);
    for (const KeyBinding& k : kKeys) el_set(editor, EL_BIND, k.key, k.command, nullptr);
    el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
    mark_pastes(kMarkPastes);
    for (const int signal : {SIGTERM, SIGHUP, SIGQUIT}) std::signal(signal, restore_and_end);
  }
  static void mark_pastes(const char* how) {
    const char* terminal = std::getenv("TERM");
    if (!terminal || std::string_view(terminal) == "dumb") return;
    std::fputs(how, stdout);
    std::fflush(stdout);
  }
  void close() {
    if (editor) mark_pastes(kMarkNoPastes);
    if (editor) el_end(editor);
    if (history) history_end(history);
  }

  /// One edited line without its newline.
  Input edit(const char* with_prompt) {
    prompt = with_prompt;
    interrupted = false;
    int n = 0;
    // libedit shows the prompt before it takes the terminal: a Ctrl-C between the two would be a signal.
    el_set(editor, EL_PREP_TERM, 1);
    sw::cli::interrupted();  // a Ctrl-C from before is no reason to drop this line
    const char* line = el_gets(editor, &n);
    interrupted |= sw::cli::interrupted();  // a signal from elsewhere
    if (interrupted) {
      std::fputs("\n", stdout);
      return {{}, End::Interrupted};
    }
    if (!line || n <= 0) return {{}, End::EndOfInput};
    std::string text(line, static_cast<size_t>(n));
    if (text.ends_with('\n')) text.pop_back();
    return {text, End::Line};
  }
  bool more_at_once() const {
    el_set(editor, EL_PREP_TERM, 1);  // or the part of a line that ends a paste would not count as there
    pollfd in{STDIN_FILENO, POLLIN, 0};
    const bool more = poll(&in, 1, kPasteWaitMs) > 0 && (in.revents & POLLIN);
    el_set(editor, EL_PREP_TERM, 0);
    return more;
  }
  void remember(const std::string& text) const {
    HistEvent event;
    if (!text.empty()) ::history(history, &event, H_ENTER, text.c_str());
  }
};

LineEditor::LineEditor() : impl_(std::make_unique<Impl>()) {
  if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) impl_->open();
}

LineEditor::~LineEditor() { impl_->close(); }

bool LineEditor::on_terminal() const { return impl_->editor != nullptr; }

LineEditor::Input LineEditor::read(const char* prompt) {
  std::string text;
  for (const char* shown = prompt;; shown = "") {
    Input input;
    if (on_terminal()) {
      input = impl_->edit(shown);
    } else if (!std::getline(std::cin, input.text)) {
      input.end = End::EndOfInput;
    }
    if (input.end == End::EndOfInput && !text.empty()) break;  // what was typed before counts
    if (input.end != End::Line) return input;
    text += input.text;
    if (take_continuation(text)) continue;
    if (!on_terminal() || is_command(text) || !impl_->more_at_once()) break;
    text += '\n';
  }
  if (on_terminal()) impl_->remember(text);
  return {text, End::Line};
}

}  // namespace sw::cli
