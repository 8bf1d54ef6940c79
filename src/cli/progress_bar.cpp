// SPDX-License-Identifier: MIT
#include "cli/progress_bar.h"

#include <algorithm>
#include <cstdio>
#include <fmt/core.h>
#include <unistd.h>
#include <utility>

namespace sw::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double kQuietSeconds = 0.5, kRedrawSeconds = 0.1;
constexpr int kBarWidth = 30;

double seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

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
  const int filled = static_cast<int>(share * kBarWidth);
  const double left = share > 0 ? elapsed / share - elapsed : 0;
  fmt::print(stderr, "\r{} [{:#<{}}{:.<{}}] {:3.0f} %  {:.0f} {}  {:.0f} s left \x1b[K", what_, "", filled,
             "", kBarWidth - filled, share * 100, rate, rate_name, left);
  std::fflush(stderr);
}

void ProgressBar::finish() {
  if (std::exchange(drawn_, false)) fmt::print(stderr, "\r\x1b[K");
}

}  // namespace sw::cli
