// SPDX-License-Identifier: MIT
#include "server/slot_jobs.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <system_error>
#include <utility>

#include "server/answer.h"
#include "server/handlers.h"

namespace sw::server {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxNameBytes = 200;

/// A file's error without the folder, which is none of the client's business.
ApiError without_folder(const ApiError& error, const fs::path& folder) {
  ApiError::Parts parts = error.parts();
  const std::string front = (folder / "").string();
  for (size_t at = parts.message.find(front); at != parts.message.npos; at = parts.message.find(front, at))
    parts.message.erase(at, front.size());
  return ApiError(std::move(parts));
}

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

}  // namespace

SlotJobs::SlotJobs(EngineLoop& loop, const Model& model, std::string folder)
    : loop_(loop),
      model_(model),
      folder_(folder.empty() ? fs::path() : fs::absolute(folder)),
      thread_([this] { run(); }) {}

void SlotJobs::save(int slot, std::string name, http::ExchangePtr exchange) {
  const auto work = [this, slot, file = std::move(name)](TextFiles& files) -> Json {
    const Clock::time_point begin = Clock::now();
    RoutedText text;
    loop_.ask([&] {
      check_slot_idle(loop_, slot);
      text = loop_.slot_text(slot);
    });
    const TextFiles::Saved saved = files.save(text, folder_ / file);
    return {{"id_slot", slot},
            {"filename", file},
            {"n_saved", saved.n_token},
            {"n_written", saved.size_bytes},
            {"timings", {{"save_ms", ms_since(begin)}}}};
  };
  post({.work = work, .exchange = std::move(exchange)});
}

void SlotJobs::restore(int slot, std::string name, http::ExchangePtr exchange) {
  const auto work = [this, slot, file = std::move(name)](TextFiles& files) -> Json {
    const Clock::time_point begin = Clock::now();
    loop_.ask([&] { check_slot_idle(loop_, slot); });
    TextFiles::Restored restored = files.restore(folder_ / file);
    loop_.ask([&] {
      check_slot_idle(loop_, slot);  // a request may have come meanwhile
      loop_.set_slot_text(slot, std::move(restored.text));
    });
    return {{"id_slot", slot},
            {"filename", file},
            {"n_restored", restored.n_token},
            {"n_read", restored.size_bytes},
            {"timings", {{"restore_ms", ms_since(begin)}}}};
  };
  post({.work = work, .exchange = std::move(exchange)});
}

void SlotJobs::post(Job job) {
  const std::lock_guard lock(mutex_);
  if (finished_) throw stopping_error();
  jobs_.push_back(std::move(job));
  changed_.notify_one();
}

void SlotJobs::finish() {
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void SlotJobs::run() {
  for (;;) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return finished_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    run_one(job);
  }
}

void SlotJobs::run_one(const Job& job) {
  const std::string& id = job.exchange->request().id;
  try {
    const EngineLoop::Guest guest(loop_);
    if (!files_) {
      files_ =
          std::make_unique<TextFiles>(loop_.engine(), model_, [this](const auto& work) { loop_.ask(work); });
    }
    respond_json(*job.exchange, job.work(*files_));
  } catch (const CacheBusyError& e) {
    job.exchange->respond(
        ApiError({.status = 503, .message = e.what(), .code = "cache_busy", .retry_after_s = 1}).response());
  } catch (const SystemError&) {
    job.exchange->respond(without_folder(current_error(id), folder_).response());
  } catch (const Error& e) {
    job.exchange->respond(without_folder(ApiError(e, "filename"), folder_).response());
  } catch (...) {
    job.exchange->respond(current_error(id).response());
  }
  log_request(*job.exchange);
}

void check_file_name(const std::string& name) {
  const auto is_bad = [](char c) {
    return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  };
  if (!name.empty() && name.size() <= kMaxNameBytes && name[0] != '.' && std::ranges::none_of(name, is_bad))
    return;
  throw ApiError(
      {.message = fmt::format("filename: expected a name of at most {} bytes without / and \\, and without a "
                              "dot in front, got {}",
                              kMaxNameBytes, printable(name, 60)),
       .param = "filename"});
}

void check_slot_idle(const EngineLoop& loop, int slot) {
  if (!loop.in_slot(slot)) return;
  throw ApiError({.status = 409,
                  .message = fmt::format("a text runs in slot {}", slot),
                  .code = "slot_busy",
                  .param = "id",
                  .retry_after_s = 1});
}

int open_slot_folder(const std::string& path) {
  std::error_code error;
  const fs::file_status there = fs::status(path, error);
  if (!fs::exists(there)) {
    throw Error({.what = "there is no such folder",
                 .where = "--slot-save-path " + path,
                 .expected = "a folder for the files of slots",
                 .hint = "mkdir makes it"});
  }
  if (!fs::is_directory(there)) {
    throw Error({.what = "this is a file, not a folder",
                 .where = "--slot-save-path " + path,
                 .expected = "a folder: each request names a file in it"});
  }
  return remove_leftovers(path);
}

}  // namespace sw::server
