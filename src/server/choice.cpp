// SPDX-License-Identifier: MIT
#include "server/choice.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace sw::server {
namespace {

double ms_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

/// Logarithms of a softmax are logits less this. Sums in double, in the order of ids.
double log_sum_exp(std::span<const float> logits) {
  const double most = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float l : logits) sum += std::exp(static_cast<double>(l) - most);
  return most + std::log(sum);
}

TokenChoice measure(int32_t token, std::span<const float> logits, int n_top) {
  const double total = log_sum_exp(logits);
  const auto logprob = [&](int32_t id) {
    return static_cast<float>(static_cast<double>(logits[static_cast<size_t>(id)]) - total);
  };
  TokenChoice choice{.id = token, .logprob = logprob(token)};
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto n = std::min<std::ptrdiff_t>(n_top, std::ssize(ids));
  std::partial_sort(ids.begin(), ids.begin() + n, ids.end(), [&](int32_t a, int32_t b) {
    const float la = logits[static_cast<size_t>(a)], lb = logits[static_cast<size_t>(b)];
    return la > lb || (la == lb && a < b);
  });
  for (std::ptrdiff_t i = 0; i < n; ++i)
    choice.top.push_back({ids[static_cast<size_t>(i)], logprob(ids[static_cast<size_t>(i)])});
  return choice;
}

}  // namespace

Choice::Choice(const Tokenizer& tokenizer, std::shared_ptr<Running> running, size_t index)
    : tokenizer_(tokenizer),
      running_(std::move(running)),
      index_(index),
      stream_(tokenizer,
              {.stops = running_->request.stops,
               .begins_reasoning = running_->request.begins_reasoning,
               .split_reasoning = running_->request.split_reasoning},
              [this](std::string_view text, bool reasoning) {
                (reasoning ? piece_.reasoning : piece_.text) += text;
              }) {}

const std::vector<int32_t>& Choice::prompt() const {
  return running_->request.prompts[index_ / static_cast<size_t>(running_->request.n)];
}

RoutedText Choice::text() const {
  RoutedText text{.tokens = prompt(), .n_prompt = std::ssize(prompt()), .routing = running_->request.policy};
  text.tokens.insert(text.tokens.end(), tokens_.begin(), tokens_.end());
  return text;
}

SequenceRequest Choice::sequence_request() const {
  const Generation& request = running_->request;
  SequenceRequest out{.prompt = prompt(),
                      .n_predict = request.n_predict,
                      .end_ids = request.end_ids,
                      .sampler = request.sampler,
                      .routing = request.policy};
  out.sampler.seed += index_;
  if (request.wants_hidden) {
    out.on_hidden = [running = running_, index = index_](int64_t pos, std::span<const float> hidden) {
      running->request.sink->on_hidden(index, pos, hidden);
    };
  }
  return out;
}

void Choice::note_logits(int32_t token, std::span<const float> logits) {
  if (running_->request.n_logprob < 0) return;
  std::vector<TokenRouting> routing = std::move(noted_.routing);
  noted_ = measure(token, logits, running_->request.n_logprob);
  noted_.routing = std::move(routing);
}

void Choice::count_token(int32_t token) {
  Usage& usage = running_->usage;
  const Clock::time_point now = Clock::now();
  ++usage.n_generated;
  tokens_.push_back(token);
  if (tokens_.size() == 1) {
    first_token_ = now;
    if (index_ == 0) {
      usage.first_token_ms = ms_between(running_->request.received, now);
      usage.prompt_ms = ms_between(running_->admitted, now);
    }
  } else {
    last_gap_ms_ = ms_between(last_token_, now);
    usage.decode_ms += last_gap_ms_;
    ++usage.n_decoded;
  }
  last_token_ = now;
}

bool Choice::take(const StepEvent& event) {
  if (running_->over) return event.finish != Finish::None;
  if (event.token >= 0) {
    count_token(event.token);
    noted_.id = event.token;
    const Generation& request = running_->request;
    const bool is_text = event.finish != Finish::Stop;  // the end token is none
    if (is_text && (request.n_logprob >= 0 || request.return_routing)) waiting_.push_back(std::move(noted_));
    noted_ = {};
    const size_t n_reasoning = piece_.reasoning.size();
    if (is_text) stream_.push(event.token);
    if (piece_.reasoning.size() > n_reasoning) ++running_->usage.n_reasoning;
  }
  if (stream_.stopped()) {
    flush(false);
    finish(FinishReason::StopString);
    return true;
  }
  if (event.finish == Finish::None) {
    if (!piece_.empty()) flush(true);
    return false;
  }
  stream_.finish();
  flush(true);
  finish(event.finish == Finish::Stop ? FinishReason::Stop : FinishReason::Length);
  return true;
}

/// Tells what has come. Tokens of a stop string are told to nobody.
void Choice::flush(bool all) {
  if (all || !piece_.empty()) piece_.tokens = std::exchange(waiting_, {});
  if (piece_.empty() && piece_.tokens.empty()) return;
  running_->request.sink->on_piece(index_, std::exchange(piece_, {}));
}

void Choice::finish(FinishReason reason) {
  running_->request.sink->on_finish(index_, reason,
                                    reason == FinishReason::StopString ? stream_.stopped_by() : "");
}

void Choice::progress(int64_t first, int64_t end) {
  const Generation& request = running_->request;
  const int64_t n_prompt = std::ssize(prompt());
  if (n_cached_ < 0) {
    n_cached_ = first;
    // Of several answers to a prompt the first pays for it.
    if (index_ % static_cast<size_t>(request.n) == 0) running_->usage.n_cached += first;
    if (!running_->over) request.sink->on_prompt(index_, n_prompt, n_cached_);
  }
  if (!request.return_progress || index_ != 0 || running_->over) return;
  request.sink->on_progress({.n_prompt = n_prompt,
                             .n_cached = n_cached_,
                             .n_processed = std::min(end, n_prompt),
                             .ms = ms_between(running_->admitted, Clock::now())});
}

}  // namespace sw::server
