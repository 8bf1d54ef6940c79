// SPDX-License-Identifier: MIT
#include "cli/progress_bar.h"

#include <algorithm>
#include <cstdio>
#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>

namespace sw::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double kRedrawSeconds = 0.1;
constexpr int kBarWidth = 30, kLeastBarWidth = 5;

double seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

int terminal_width() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/// One line of less than `width` columns: the bar gives way first, then the end of the line.
std::string fit_bar(const std::string& what, double share, const std::string& figures, int width) {
  const int n = std::min(kBarWidth, width - 1 - static_cast<int>(what.size() + figures.size()) - 4);
  const int filled = static_cast<int>(share * n);
  std::string line = n >= kLeastBarWidth
                         ? fmt::format("{} [{:#<{}}{:.<{}}] {}", what, "", filled, "", n - filled, figures)
                         : what + " " + figures;
  line.resize(std::min(line.size(), static_cast<size_t>(std::max(1, width - 1))));
  return line;
}

}  // namespace

ProgressBar::ProgressBar(std::string what, Unit unit)
    : what_(std::move(what)),
      unit_(unit),
      terminal_(isatty(STDERR_FILENO) != 0),
      start_(Clock::now()),
      last_(start_) {}

void ProgressBar::show(uint64_t done, uint64_t total) {
  if (done >= total && terminal_) return finish();
  const Clock::time_point now = Clock::now();
  const double elapsed = seconds(now - start_);
  if (elapsed < kQuietSeconds || total == 0) return;
  const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const bool bytes = unit_ == Unit::Bytes;
  const double n = static_cast<double>(done) / (bytes ? 1 << 20 : 1), rate = n / elapsed;
  const char *name = bytes ? "MiB" : "tokens", *rate_name = bytes ? "MiB/s" : "t/s";
  if (!terminal_) {
    const int tenth = static_cast<int>(share * 10);
    if (tenth <= last_tenth_) return;
    last_tenth_ = tenth;
    fmt::print(stderr, "{}: {:3.0f} %, {:.0f} {}, {:.0f} {}\n", what_, share * 100, n, name, rate, rate_name);
    return;
  }
  if (seconds(now - last_) < kRedrawSeconds) return;
  last_ = now;
  drawn_ = true;
  const double left = share > 0 ? elapsed / share - elapsed : 0;
  const std::string figures =
      fmt::format("{:3.0f} %  {:.0f} {}  {:.0f} s left", share * 100, rate, rate_name, left);
  fmt::print(stderr, "\r{}\x1b[K", fit_bar(what_, share, figures, terminal_width()));
  std::fflush(stderr);
}

void ProgressBar::finish() {
  if (std::exchange(drawn_, false)) fmt::print(stderr, "\r\x1b[K");
}

}  // namespace sw::cli
