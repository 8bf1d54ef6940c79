// SPDX-License-Identifier: MIT
#include "support/running_program.h"

#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

namespace sw::testing {

RunningProgram::RunningProgram(const std::vector<std::string>& arguments) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
  child_ = fork();
  if (child_ < 0) throw std::runtime_error("fork failed");
  if (child_ == 0) {
    dup2(ends[1], STDERR_FILENO);
    become_switchyard(arguments);
  }
  close(ends[1]);
  reader_ = std::thread([this, from = ends[0]] {
    char bytes[4096];
    for (ssize_t n = 0; (n = read(from, bytes, sizeof bytes)) > 0;) {
      const std::lock_guard lock(mutex_);
      log_.append(bytes, static_cast<size_t>(n));
    }
    close(from);
    const std::lock_guard lock(mutex_);
    ended_ = true;
  });
}

RunningProgram::~RunningProgram() {
  if (child_ > 0) {
    kill(child_, SIGKILL);
    wait();
  }
}

std::string RunningProgram::wait_for_line(const std::string& part) {
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      const size_t at = log_.find(part), end = at == log_.npos ? at : log_.find('\n', at);
      if (end != log_.npos) {
        const size_t begin = log_.rfind('\n', at);
        return log_.substr(begin == log_.npos ? 0 : begin + 1, end - (begin == log_.npos ? 0 : begin + 1));
      }
      if (ended_) throw std::runtime_error("it ended without saying \"" + part + "\": " + log_);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void RunningProgram::signal(int number) const { kill(child_, number); }

bool RunningProgram::blocks(int number) const {
  std::ifstream status("/proc/" + std::to_string(child_) + "/status");
  for (std::string name, value; status >> name; std::getline(status, value)) {
    if (name == "SigBlk:" && status >> value) return std::stoull(value, nullptr, 16) >> (number - 1) & 1;
  }
  return false;
}

int RunningProgram::wait() {
  if (child_ > 0) {
    int status = 0;
    waitpid(child_, &status, 0);
    child_ = -1;
    reader_.join();
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  return exit_code_;
}

std::string RunningProgram::log() const {
  const std::lock_guard lock(mutex_);
  return log_;
}

}  // namespace sw::testing
