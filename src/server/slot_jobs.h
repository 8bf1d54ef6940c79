// SPDX-License-Identifier: MIT
#pragma once
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "server/engine_loop.h"
#include "slots/text_files.h"

namespace sw::server {

/// Saves what ran in slots and brings it back: one after the other, on a thread of its own, because a disk
/// may take seconds where the engine's thread has milliseconds.
class SlotJobs {
 public:
  /// Borrows loop and model. `folder`: where files are; empty: there are none.
  SlotJobs(EngineLoop& loop, const Model& model, std::string folder);
  ~SlotJobs() { finish(); }
  SlotJobs(const SlotJobs&) = delete;
  SlotJobs& operator=(const SlotJobs&) = delete;

  bool has_folder() const { return !folder_.empty(); }
  /// Any thread. `name` is one that check_file_name() lets through. Answers the exchange.
  void save(int slot, std::string name, http::ExchangePtr exchange);
  void restore(int slot, std::string name, http::ExchangePtr exchange);
  /// What is under way comes to its end, what waits is dropped, and its clients are told. Once the loop has
  /// ended.
  void finish();

 private:
  struct Job {
    std::function<Json(TextFiles& files)> work = {};
    http::ExchangePtr exchange = {};
  };

  void post(Job job);
  void run();
  void run_one(const Job& job);

  EngineLoop& loop_;
  const Model& model_;
  std::filesystem::path folder_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;  // under mutex_, as the next
  bool finished_ = false;
  std::unique_ptr<TextFiles> files_;  // the thread's
  std::thread thread_;
};

/// A name within the folder: no separator, no leading dot, at most 200 bytes. Throws ApiError.
void check_file_name(const std::string& name);
/// Throws ApiError (409) while something runs in a slot. Between two steps.
void check_slot_idle(const EngineLoop& loop, int slot);

/// Throws sw::Error where the path is no folder. Removes what killed servers left there; returns how many
/// files.
int open_slot_folder(const std::string& path);

}  // namespace sw::server
