// SPDX-License-Identifier: MIT
#include "base/log.h"

#include <memory>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/error.h"

namespace sw::log {
namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  constexpr spdlog::level::level_enum kLevels[] = {
      spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err, spdlog::level::off};
  return kLevels[static_cast<int>(level)];
}

spdlog::logger& logger() {
  static const auto instance = [] {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    auto made = std::make_shared<spdlog::logger>("switchyard", sink);
    made->set_pattern("%v");
    return made;
  }();
  return *instance;
}

}  // namespace

void set_level(Level level) { logger().set_level(to_spdlog(level)); }

void set_file(const std::string& path) {
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
    sink->set_pattern("%Y-%m-%d %H:%M:%S.%e %l %v");
    logger().sinks().push_back(sink);
  } catch (const spdlog::spdlog_ex& e) {
    throw Error({.what = "cannot open the log file", .where = path, .got = e.what()});
  }
}

void write(Level level, std::string_view line) {
  const char* prefix = level == Level::Warn ? "warning: " : level == Level::Error ? "error: " : "";
  logger().log(to_spdlog(level), "{}{}", prefix, line);
}

}  // namespace sw::log
