// SPDX-License-Identifier: MIT
#include "support/process.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <stdexcept>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace sw::testing {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  int read = -1, write = -1;
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
    read = ends[0];
    write = ends[1];
  }
};

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

void limit(int resource, uint64_t most) {
  const rlimit both = {most, most};
  if (most > 0) setrlimit(static_cast<__rlimit_resource_t>(resource), &both);
}

void redirect(const std::string& path, int flags, int stream) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (fd < 0 || dup2(fd, stream) < 0) _exit(127);
}

[[noreturn]] void become(const std::vector<std::string>& arguments, const ProcessOptions& options,
                         const Pipe& in, const Pipe& out, const Pipe& err) {
  dup2(in.read, STDIN_FILENO);
  dup2(out.write, STDOUT_FILENO);
  dup2(err.write, STDERR_FILENO);
  if (!options.output_file.empty())
    redirect(options.output_file, O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
  if (!options.input_file.empty()) redirect(options.input_file, O_RDONLY, STDIN_FILENO);
  for (const int fd : options.closed) close(fd);
  for (const std::string& entry : options.environment) {
    const size_t equals = entry.find('=');
    setenv(entry.substr(0, equals).c_str(), entry.substr(equals + 1).c_str(), 1);
  }
  limit(RLIMIT_AS, options.max_memory_bytes);
  limit(RLIMIT_FSIZE, options.max_file_bytes);
  become_switchyard(arguments);
}

/// Reads both ends until they close; sends the signal when its time has come.
void collect(pid_t child, int out, int err, const ProcessOptions& options, ProcessResult& result) {
  const Clock::time_point start = Clock::now();
  bool signal_due = options.signal_after_s > 0;
  pollfd ends[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
  std::string* texts[2] = {&result.out, &result.err};
  bool has_output = false;
  for (int n_open = 2; n_open > 0;) {
    poll(ends, 2, 20);
    if (signal_due && std::chrono::duration<double>(Clock::now() - start).count() > options.signal_after_s) {
      kill(child, options.signal);
      signal_due = false;
    }
    for (int i = 0; i < 2; ++i) {
      if (ends[i].fd < 0 || !(ends[i].revents & (POLLIN | POLLHUP))) continue;
      char buffer[4096];
      const ssize_t n = read(ends[i].fd, buffer, sizeof buffer);
      if (n > 0) {
        texts[i]->append(buffer, static_cast<size_t>(n));
        if (i == 0 && !std::exchange(has_output, true) && options.at_first_output) options.at_first_output();
      } else {
        close(ends[i].fd);
        ends[i].fd = -1;
        --n_open;
      }
    }
  }
}

}  // namespace

void become_switchyard(const std::vector<std::string>& arguments) {
  std::vector<char*> argv{const_cast<char*>(SW_PROGRAM)};
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  execv(SW_PROGRAM, argv.data());
  _exit(127);
}

ProcessResult run_switchyard(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  const Pipe in, out, err;
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) become(arguments, options, in, out, err);
  close(in.read);
  close(out.write);
  close(err.write);
  if (write(in.write, options.input.data(), options.input.size()) < 0)
    throw std::runtime_error("write failed");
  close(in.write);
  ProcessResult result;
  collect(child, out.read, err.read, options, result);
  int status = 0;
  rusage usage = {};
  wait4(child, &status, 0, &usage);
  result.processor_s = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return result;
}

}  // namespace sw::testing
