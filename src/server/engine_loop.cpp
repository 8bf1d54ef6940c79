// SPDX-License-Identifier: MIT
#include "server/engine_loop.h"

#include <algorithm>
#include <future>
#include <utility>

#include "base/log.h"
#include "router/too_many_policies.h"

namespace sw::server {
namespace {

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

}  // namespace

/// Keeps the experts of the tokens from which those requests choose that want them.
class EngineLoop::RoutingProbe : public ForwardProbe {
 public:
  explicit RoutingProbe(EngineLoop& loop) : loop_(loop) {}

  void on_routing(int moe_layer, TensorView<const float>, const Routing& routing) override {
    const StepBatch& batch = loop_.engine_.batch();
    for (size_t i = 0; i < batch.rows.size(); ++i) {
      const auto found = loop_.running_.find(batch.sampled[i].sequence->id);
      if (found == loop_.running_.end() || !found->second->running().request.return_routing) continue;
      const int64_t row = batch.rows[i], n = routing.n_active[static_cast<size_t>(row)];
      const int32_t* ids = routing.ids.row(row);
      const float* weights = routing.weights.row(row);
      found->second->note_routing({.layer = loop_.model_.moe_layers()[static_cast<size_t>(moe_layer)].layer,
                                   .experts = {ids, ids + n},
                                   .weights = {weights, weights + n}});
    }
  }

 private:
  EngineLoop& loop_;
};

EngineLoop::EngineLoop(Engine& engine, const Model& model, const Tokenizer& tokenizer,
                       const EngineLoopOptions& options, Metrics& metrics)
    : engine_(engine),
      model_(model),
      tokenizer_(tokenizer),
      options_(options),
      metrics_(metrics),
      slots_(static_cast<size_t>(options.n_parallel)),
      texts_(slots_.size()) {}

// ---- from other threads

/// False, and `work` is dropped, where run() has ended.
bool EngineLoop::post(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (ended_) return false;
  commands_.push_back(std::move(work));
  changed_.notify_one();
  return true;
}

void EngineLoop::between_steps(std::function<void()> work) {
  if (!post(std::move(work))) throw stopping_error();
}

void EngineLoop::ask(const std::function<void()>& work) {
  // What `work` throws is this thread's alone once it has ended. In the promise the engine's thread would
  // share it, and might be the one to destroy what is read here.
  std::exception_ptr thrown;
  auto ended = std::make_shared<std::promise<void>>();
  std::future<void> done = ended->get_future();
  between_steps([&work, &thrown, e = std::move(ended)] {
    try {
      work();
    } catch (...) {
      thrown = std::current_exception();
    }
    e->set_value();
  });
  try {
    done.get();
  } catch (const std::future_error&) {  // run() threw, and it was dropped
    throw stopping_error();
  }
  if (thrown) std::rethrow_exception(std::move(thrown));
}

void EngineLoop::count_guest(int n) {
  const std::lock_guard lock(mutex_);
  n_guest_ += n;
  changed_.notify_one();
}

void EngineLoop::every(double interval_s, std::function<bool()> work) {
  const auto interval =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(interval_s));
  between_steps([this, interval, w = std::move(work)]() mutable {
    repeated_.push_back({.next = Clock::now(), .interval = interval, .work = std::move(w)});
  });
}

void EngineLoop::submit(Generation request) {
  between_steps([this, r = std::move(request)]() mutable { accept(std::move(r)); });
}

void EngineLoop::wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  changed_.notify_one();
}

void EngineLoop::stop() {
  stopping_ = true;
  post([this] {
    drain_until_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                      std::chrono::duration<double>(options_.drain_s));
  });
}

double EngineLoop::step_age_s() const {
  const int64_t began = step_began_ns_;
  return began == 0 ? 0 : static_cast<double>(now_ns() - began) * 1e-9;
}

// ---- the engine's thread

void EngineLoop::run() {
  struct AtEnd {
    EngineLoop& loop;
    ~AtEnd() { loop.end(); }
  };
  const AtEnd at_end{*this};  // also where a step throws: nobody may wait for ever for what was asked
  while (take_commands()) {
    run_repeated();
    drop_ended();
    admit();
    if (!engine_.idle()) step();  // also to let go of what was cancelled
  }
}

void EngineLoop::end() {
  repeated_.clear();
  std::vector<std::function<void()>> dropped;
  const std::lock_guard lock(mutex_);
  ended_ = true;
  dropped.swap(commands_);
}

/// Runs what others asked for; waits for it where there is nothing else to do. False at the end.
bool EngineLoop::take_commands() {
  std::vector<std::function<void()>> commands;
  {
    std::unique_lock lock(mutex_);
    const bool busy = !engine_.idle() || !waiting_.empty();
    if (!busy) {
      wait(lock);
      // Under the lock: what comes later is refused, nothing is dropped.
      ended_ = commands_.empty() && stopping_ && (n_guest_ == 0 || Clock::now() >= drain_until_);
      if (ended_) return false;
    }
    woken_ = false;
    commands.swap(commands_);
  }
  for (const auto& command : commands) {
    try {
      command();
    } catch (const std::exception& e) {
      log::error("between two steps: {}", e.what());  // the exchange that it held is dropped
    }
  }
  return true;
}

/// Until there is something to do.
void EngineLoop::wait(std::unique_lock<std::mutex>& lock) {
  const auto ready = [this] { return !commands_.empty() || woken_ || (stopping_ && n_guest_ == 0); };
  auto next = drain_until_;
  for (const Repeated& r : repeated_) next = std::min(next, r.next);
  if (next == Clock::time_point::max()) return changed_.wait(lock, ready);
  changed_.wait_until(lock, next, ready);
}

void EngineLoop::run_repeated() {
  std::erase_if(repeated_, [](Repeated& r) {
    const Clock::time_point now = Clock::now();
    if (now < r.next) return false;
    r.next = now + r.interval;
    return !r.work();
  });
}

void EngineLoop::accept(Generation request) {
  auto running = std::make_shared<Running>(std::move(request));
  const size_t n = running->request.n_choice();
  if (stopping_) return running->request.sink->on_error(stopping_error());
  const int64_t n_free = options_.n_parallel + options_.n_queue - n_running() - n_waiting();
  if (std::cmp_greater(n, n_free)) {
    metrics_.count_rejection();
    return running->request.sink->on_error(ApiError({.status = 429,
                                                     .message = "the queue is full; try again later",
                                                     .code = "queue_full",
                                                     .retry_after_s = 1}));
  }
  running->n_left = n;
  for (const auto& prompt : running->request.prompts) running->usage.n_prompt += std::ssize(prompt);
  running->request.sink->on_accepted();
  for (size_t i = 0; i < n; ++i) waiting_.push_back(std::make_shared<Choice>(tokenizer_, running, i));
}

/// Whether nobody waits for the request any more; says why where somebody does.
bool EngineLoop::is_lost(Running& running) {
  if (running.over) return true;
  if (running.request.sink->gone()) {
    running.over = true;
    return true;
  }
  const Clock::time_point now = Clock::now();
  if (running.request.deadline && now > *running.request.deadline) {
    fail(running,
         ApiError({.status = 408, .message = "the request's time is over", .code = "deadline_exceeded"}));
  } else if (now > drain_until_) {
    fail(running, stopping_error());
  }
  return running.over;
}

void EngineLoop::drop_ended() {
  std::erase_if(waiting_, [this](const ChoicePtr& c) { return is_lost(c->running()); });
  std::vector<SequenceId> lost;
  for (const auto& [id, choice] : running_) {
    if (is_lost(choice->running())) lost.push_back(id);
  }
  for (const SequenceId id : lost) {
    engine_.cancel(id);
    release(id);
  }
}

void EngineLoop::release(SequenceId id) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;
  slots_[static_cast<size_t>(found->second->slot)] = nullptr;
  set_slot_text(found->second->slot, found->second->text());
  running_.erase(found);
}

void EngineLoop::admit() {
  for (auto next = waiting_.begin(); next != waiting_.end() && n_running() < options_.n_parallel;) {
    // Further answers to a prompt begin when it is in the cache.
    const bool first = (*next)->index() % static_cast<size_t>((*next)->running().request.n) == 0;
    if (!first && !(*next)->running().started) {
      ++next;
      continue;
    }
    const ChoicePtr choice = *next;
    next = waiting_.erase(next);
    admit_one(choice);
  }
}

void EngineLoop::admit_one(const ChoicePtr& choice) {
  Running& running = choice->running();
  if (running.over) return;
  try {
    choice->sequence = engine_.submit(choice->sequence_request());
  } catch (const TooManyPolicies& e) {
    metrics_.count_rejection();
    return fail(
        running,
        ApiError({.status = 429, .message = e.what(), .code = "too_many_policies", .retry_after_s = 1}));
  } catch (const Error& e) {
    return fail(running, ApiError(e));
  }
  if (running.admitted == Clock::time_point{}) {
    running.admitted = Clock::now();
    const double waited_s = seconds_between(running.request.received, running.admitted);
    running.usage.queue_ms = 1000 * waited_s;
    metrics_.queue_time(waited_s);
  }
  const auto slot = std::ranges::find(slots_, nullptr);
  SW_ASSERT(slot != slots_.end());
  *slot = choice.get();
  choice->slot = static_cast<int>(slot - slots_.begin());
  running_.emplace(choice->sequence, choice);
}

void EngineLoop::step() {
  RoutingProbe probe(*this);
  const bool probed =
      std::ranges::any_of(running_, [](const auto& r) { return r.second->running().request.return_routing; });
  step_began_ns_ = now_ns();
  try {
    const std::span<const StepEvent> events = engine_.step(
        probed ? &probe : nullptr, [this](const StepEvent& event, std::span<const float> logits) {
          if (const auto found = running_.find(event.sequence); found != running_.end())
            found->second->note_logits(event.token, logits);
        });
    note_progress();
    for (const StepEvent& event : events) take(event);
  } catch (const std::exception& e) {
    log::error("a step failed: {}", e.what());
    fail_all(ApiError({.status = 500, .message = e.what(), .code = "engine_error"}));
  }
  step_began_ns_ = 0;
}

/// Which tokens of which prompt the step computed.
void EngineLoop::note_progress() {
  const StepBatch& batch = engine_.batch();
  const std::span<const BatchToken> tokens = batch.tokens;
  int64_t n_prompt = 0;
  for (size_t begin = 0, end = 0; begin < tokens.size(); begin = end) {
    while (end < tokens.size() && tokens[end].seq == tokens[begin].seq) ++end;
    const auto found = running_.find(batch.parts[static_cast<size_t>(tokens[begin].seq)].id);
    if (found == running_.end() || found->second->has_first_token()) continue;
    n_prompt += static_cast<int64_t>(end - begin);
    found->second->progress(tokens[begin].pos, tokens[end - 1].pos + 1);
  }
  metrics_.count_step(std::ssize(tokens), n_prompt, 0);
}

void EngineLoop::take(const StepEvent& event) {
  const auto found = running_.find(event.sequence);
  if (found == running_.end()) return;  // it was cancelled
  const ChoicePtr choice = found->second;
  Running& running = choice->running();
  if (event.finish == Finish::Error) {
    metrics_.count_corrupted();
    release(event.sequence);
    return fail(running, ApiError({.status = 500, .message = event.error, .code = "model_error"}));
  }
  const bool first = !choice->has_first_token();
  const bool ended = choice->take(event);
  if (event.token >= 0) {
    metrics_.count_step(0, 0, 1);
    if (first) {
      running.started = true;
      metrics_.time_to_first_token(seconds_between(running.request.received, choice->first_token_time()));
      metrics_.count_prefix(std::ssize(choice->prompt()), choice->n_cached());
    } else {
      metrics_.inter_token_latency(choice->last_gap_ms() / 1000);
    }
  }
  if (!ended) return;
  if (event.finish == Finish::None) engine_.cancel(event.sequence);  // by a stop string
  metrics_.count_success(event.finish == Finish::Length ? "length" : "stop");
  release(event.sequence);
  end_choice(*choice);
}

void EngineLoop::end_choice(Choice& choice) {
  Running& running = choice.running();
  running.started = true;  // also where it was asked for no token
  if (--running.n_left > 0 || running.over) return;
  running.over = true;
  metrics_.request_latency(seconds_between(running.request.received, Clock::now()));
  running.request.sink->on_end(running.usage);
}

void EngineLoop::fail(Running& running, const ApiError& error) {
  if (std::exchange(running.over, true)) return;
  running.request.sink->on_error(error);
}

void EngineLoop::fail_all(const ApiError& error) {
  while (!running_.empty()) {
    const ChoicePtr choice = running_.begin()->second;
    engine_.cancel(choice->sequence);
    release(choice->sequence);
    fail(choice->running(), error);
  }
}

Metrics::Now EngineLoop::now() const {
  const Cache& cache = engine_.cache();
  double usage = 0;
  for (int g = 0; g < cache.plan().n_group(); ++g) {
    if (!cache.plan().group(g).keeps_all_tokens()) continue;
    usage = std::max(
        usage, 1 - static_cast<double>(cache.n_free_pages(g)) / static_cast<double>(cache.plan().n_page(g)));
  }
  const auto n_slot_used = std::ranges::count_if(slots_, [](const Choice* c) { return c != nullptr; });
  return {.n_running = n_running(),
          .n_waiting = n_waiting(),
          .cache_usage = usage,
          .step_age_s = step_age_s(),
          .n_slot_leaked = n_slot_used - n_running()};
}

}  // namespace sw::server
