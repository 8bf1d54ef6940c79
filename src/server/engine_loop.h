// SPDX-License-Identifier: MIT
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "runtime/runtime.h"
#include "server/choice.h"
#include "server/metrics.h"

namespace sw::server {

struct EngineLoopOptions {
  int n_parallel = 1;   ///< texts at one time
  int n_queue = 512;    ///< texts that wait
  double drain_s = 30;  ///< what runs may go on for so long once stop() was called
};

/// The one thread that uses an engine. Others hand it requests, or ask for something between two steps.
/// Requests wait here and not in the engine, where each would already have the memory of a running one.
class EngineLoop {
 public:
  /// Borrows all of them.
  EngineLoop(Engine& engine, const Model& model, const Tokenizer& tokenizer, const EngineLoopOptions& options,
             Metrics& metrics);

  /// Any thread. The request's sink is told what becomes of it. Throws as between_steps().
  void submit(Generation request);
  /// Any thread. `work` runs on the engine's thread between two steps. Throws ApiError (503) once run() has
  /// ended.
  void between_steps(std::function<void()> work);
  /// Any thread. The same, again and again so far apart, until `work` gives false or run() ends.
  void every(double interval_s, std::function<bool()> work);
  /// Any thread but the engine's: the same, and returns when `work` has run. Throws what it throws too.
  void ask(const std::function<void()>& work);
  /// Whoever will ask() more than once, to come to an end of its own: run() goes on while there are such, for
  /// as long as what runs may go on once stop() was called.
  class Guest {
   public:
    explicit Guest(EngineLoop& loop) : loop_(loop) { loop_.count_guest(1); }
    ~Guest() { loop_.count_guest(-1); }
    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;

   private:
    EngineLoop& loop_;
  };
  /// Any thread: somebody went, look.
  void wake();
  /// Any thread: takes no more requests; run() returns when those that are there have ended.
  void stop();
  bool stopping() const { return stopping_; }
  /// Any thread: seconds since the step under way began; 0: none is.
  double step_age_s() const;

  /// Runs until stop() was called and all requests have ended.
  void run();

  /// What runs in a place. On the engine's thread, as the next.
  const Choice* in_slot(int slot) const { return slots_[static_cast<size_t>(slot)]; }
  /// What ran there last, or what was put there.
  const RoutedText& slot_text(int slot) const { return texts_[static_cast<size_t>(slot)]; }
  void set_slot_text(int slot, RoutedText text) { texts_[static_cast<size_t>(slot)] = std::move(text); }
  int n_slot() const { return static_cast<int>(slots_.size()); }
  int64_t n_running() const { return std::ssize(running_); }
  int64_t n_waiting() const { return std::ssize(waiting_); }
  Engine& engine() { return engine_; }
  Metrics::Now now() const;

 private:
  using ChoicePtr = std::shared_ptr<Choice>;
  class RoutingProbe;

  struct Repeated {
    Clock::time_point next = {};
    Clock::duration interval = {};
    std::function<bool()> work = {};
  };

  bool post(std::function<void()> work);
  void count_guest(int n);
  void end();
  bool take_commands();
  void wait(std::unique_lock<std::mutex>& lock);
  void run_repeated();
  void accept(Generation request);
  void drop_ended();
  bool is_lost(Running& running);
  void admit();
  void admit_one(const ChoicePtr& choice);
  void step();
  void note_progress();
  void take(const StepEvent& event);
  void end_choice(Choice& choice);
  void end_request(Running& running);
  void fail(Running& running, const ApiError& error);
  void fail_all(const ApiError& error);
  void release(SequenceId id);

  Engine& engine_;
  const Model& model_;
  const Tokenizer& tokenizer_;
  EngineLoopOptions options_;
  Metrics& metrics_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::function<void()>> commands_;  // under mutex_, as the next
  bool woken_ = false, ended_ = false;
  int n_guest_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<int64_t> step_began_ns_ = 0;  // 0: no step is under way
  Clock::time_point drain_until_ = Clock::time_point::max();

  std::vector<Repeated> repeated_;
  std::deque<ChoicePtr> waiting_;
  std::unordered_map<SequenceId, ChoicePtr> running_;
  std::vector<Choice*> slots_;
  std::vector<RoutedText> texts_;  // by slot
};

}  // namespace sw::server
