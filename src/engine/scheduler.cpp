// SPDX-License-Identifier: MIT
#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace sw {

void StepBatch::reserve(size_t n_token, size_t n_sequence) {
  tokens.reserve(n_token);
  parts.reserve(n_sequence);
  caches.reserve(n_sequence);
  sampled.reserve(n_token);  // a check of drafts wants the logits of each
  rows.reserve(n_token);
}

void StepBatch::clear() {
  tokens.clear();
  parts.clear();
  caches.clear();
  sampled.clear();
  rows.clear();
  n_decode_token = 0;
}

Scheduler::Scheduler(const Cache& cache, int64_t n_ubatch, int n_parallel, int n_waiting,
                     double prefill_slowdown)
    : cache_(cache),
      n_ubatch_(n_ubatch),
      n_parallel_(n_parallel),
      n_waiting_(n_waiting),
      budget_(prefill_slowdown, n_ubatch) {
  prompts_.reserve(static_cast<size_t>(n_parallel));
  SW_ASSERT(n_parallel <= cache.plan().n_seq);
}

void Scheduler::check_place() const {
  if (n_running() + this->n_waiting() < n_parallel_ + n_waiting_) return;
  std::string places = std::to_string(n_parallel_);
  if (n_waiting_ > 0) places += " running and " + std::to_string(n_waiting_) + " waiting";
  throw Error({.what = "every sequence is in use", .expected = "at most " + places});
}

void Scheduler::schedule(StepBatch& batch) {
  admit();
  make_room();
  fill(batch);
}

void Scheduler::admit() {
  while (!waiting_.empty() && n_running() < n_parallel_) {
    Sequence& next = waiting_.front();
    next.reuse_prefix();
    if (!next.cache.reserve(next.n_token()) || !has_page_for_each()) {
      next.give_back();
      break;
    }
    running_.splice(running_.end(), waiting_, waiting_.begin());
  }
  SW_ASSERT(waiting_.empty() || !running_.empty());  // one sequence alone always finds room
}

/// Otherwise the next one that grows would send the one that has just begun back at once.
bool Scheduler::has_page_for_each() const {
  for (int g = 0; g < cache_.plan().n_group(); ++g) {
    if (cache_.plan().group(g).keeps_all_tokens() && cache_.n_free_pages(g) < n_running()) return false;
  }
  return true;
}

void Scheduler::make_room() {
  for (auto s = running_.begin(); s != running_.end(); ++s) {
    while (!s->cache.reserve(s->n_token() + s->most_drafts())) {
      const auto youngest = std::prev(running_.end());
      SW_ASSERT(youngest != running_.begin());
      const bool itself = youngest == s;
      if (itself) --s;
      preempt(youngest);
      if (itself) break;
    }
  }
}

void Scheduler::preempt(std::list<Sequence>::iterator sequence) {
  sequence->give_back();
  waiting_.splice(waiting_.begin(), running_, sequence);
  ++n_preempted_;
}

void Scheduler::fill(StepBatch& batch) {
  batch.clear();
  int64_t n_decoding = 0;
  for (Sequence& s : running_) {
    const int64_t room = n_ubatch_ - std::ssize(batch.tokens);
    if (!s.is_decoding() || room == 0) continue;
    add(batch, s, room);
    ++n_decoding;
  }
  batch.n_decode_token = std::ssize(batch.tokens);
  const int64_t budget = budget_.prompt_tokens({.n_decode_token = batch.n_decode_token,
                                                .n_decoding = n_decoding,
                                                .n_prefilling = n_running() - n_decoding});
  add_prompts(batch, std::min(budget, n_ubatch_ - batch.n_decode_token));
  for (const StepBatch::Part& part : batch.parts) {
    Sequence& s = *part.sequence;
    if (part.n_token > 0) s.keep_snapshots(s.n_cached + part.n_token + s.n_draft());
  }
}

/// The oldest prompt gets half of the room at least, so that each comes to its end; the others what they need
/// of the rest, those first that need least: a short prompt does not wait for the end of a long one.
void Scheduler::add_prompts(StepBatch& batch, int64_t room) {
  prompts_.clear();
  for (Sequence& s : running_) {
    if (!s.is_decoding()) prompts_.push_back(&s);
  }
  if (prompts_.empty() || room == 0) return;
  std::sort(prompts_.begin() + 1, prompts_.end(), [](const Sequence* a, const Sequence* b) {
    return std::pair(a->n_token() - a->n_cached, a->id) < std::pair(b->n_token() - b->n_cached, b->id);
  });
  int64_t for_others = room / 2;
  for (size_t i = 1; i < prompts_.size() && for_others > 0; ++i) {
    const int64_t n = add(batch, *prompts_[i], for_others);
    for_others -= n;
    room -= n;
  }
  add(batch, *prompts_[0], room);
}

/// The sequence's next tokens: of its text, with the drafts behind it where those are to be checked, or the
/// one that the next draft follows. Returns how many.
int64_t Scheduler::add(StepBatch& batch, Sequence& s, int64_t room) {
  const bool drafts = s.n_draft() < s.most_drafts();
  const int64_t begin = drafts ? s.n_token() + s.n_draft() - 1 : s.n_cached;
  const int64_t n = drafts ? 1 : std::min(room, s.n_token() + s.n_draft() - begin);
  const auto index = static_cast<int32_t>(batch.parts.size());
  batch.parts.push_back(
      {.sequence = &s, .id = s.id, .n_token = drafts ? 0 : std::min(n, s.n_token() - begin)});
  batch.caches.push_back(&s.cache);
  s.prepare(begin, begin + n);
  for (int64_t i = begin; i < begin + n; ++i) {
    batch.tokens.push_back({.id = s.token_at(i),
                            .pos = static_cast<int32_t>(i),
                            .seq = index,
                            .policy = drafts ? s.draft->policy_id() : s.policy_of(i).id()});
    if (i < s.n_token() - 1 && !s.request.on_hidden) continue;
    batch.sampled.push_back({&s, drafts});
    batch.rows.push_back(static_cast<int32_t>(batch.tokens.size()) - 1);
  }
  if (!drafts && s.n_draft() > 0) s.draft->begin_check(s.sampler, static_cast<size_t>(n - 1));
  return n;
}

void Scheduler::computed(const StepBatch& batch) {
  for (const StepBatch::Part& part : batch.parts) part.sequence->n_cached += part.n_token;
}

void Scheduler::publish(const StepBatch& batch) {
  for (const StepBatch::Part& part : batch.parts) {
    if (part.n_token > 0 && part.sequence->finish != Finish::Error) part.sequence->publish();
  }
}

void Scheduler::took(const StepBatch& batch, double seconds) {
  budget_.note(batch.n_decode_token, std::ssize(batch.tokens) - batch.n_decode_token, seconds);
}

void Scheduler::abandon() {
  while (!running_.empty()) preempt(std::prev(running_.end()));
}

}  // namespace sw
