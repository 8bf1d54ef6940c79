// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <list>
#include <vector>

#include "engine/sequence.h"
#include "engine/step_budget.h"
#include "model/forward.h"

namespace sw {

/// What one pass computes.
struct StepBatch {
  struct Part {
    Sequence* sequence = nullptr;
    SequenceId id = 0;    ///< the sequence's, for when it is gone
    int64_t n_token = 0;  ///< of the sequence's text, from n_cached on; 0: a token for its next draft
  };
  /// A token of the batch whose logits are wanted.
  struct Sampled {
    Sequence* sequence = nullptr;
    bool drafts = false;  ///< they give the next draft, not the next token of the text
  };

  void reserve(size_t n_token, size_t n_sequence);
  void clear();

  std::vector<BatchToken> tokens = {};
  std::vector<Part> parts = {};                   ///< by BatchToken::seq
  std::vector<const SequenceCache*> caches = {};  ///< of the parts
  std::vector<Sampled> sampled = {};              ///< what the pass's logits are for ...
  std::vector<int32_t> rows = {};                 ///< ... and the batch's tokens that give them
  int64_t n_decode_token = 0;                     ///< the tokens of sequences that decode; they stand first
};

/// Decides what each pass computes. Sequences wait in order of arrival until a place and the pages of all
/// their tokens are free; those that run take further pages as they grow. Where there are none, the youngest
/// gives its pages back and waits again, its tokens kept: so the oldest always comes to its end, if only the
/// cache has room for one sequence. Windows and states are there for as many as may run.
class Scheduler {
 public:
  /// The cache has windows and states for `n_parallel` sequences. `prefill_slowdown`: see StepBudget.
  Scheduler(const Cache& cache, int64_t n_ubatch, int n_parallel, int n_waiting, double prefill_slowdown = 0);

  /// Throws sw::Error where there is no place for one more sequence, to run or to wait.
  void check_place() const;
  void add(Sequence sequence) { waiting_.push_back(std::move(sequence)); }
  bool idle() const { return running_.empty() && waiting_.empty(); }
  int64_t n_running() const { return std::ssize(running_); }
  int64_t n_waiting() const { return std::ssize(waiting_); }
  /// Times that a sequence gave its pages back before its end.
  int64_t n_preempted() const { return n_preempted_; }

  /// Lets sequences begin, makes room for the next tokens of those that run, and fills the batch: first the
  /// sequences that decode, then prompts as far as the budget goes: a long one holds up neither those that
  /// decode nor a short one that came later. All that the pass needs of the cache is taken now.
  void schedule(StepBatch& batch);
  /// The batch is in the cache.
  void computed(const StepBatch& batch);
  /// Its tokens were chosen: names what became full, for others.
  void publish(const StepBatch& batch);
  /// What the step took, from schedule() on: the budget of the next steps.
  void took(const StepBatch& batch, double seconds);
  /// The pass failed, and nobody knows what it left in the cache: all that run wait and begin again.
  void abandon();
  /// Calls `visit` with every sequence.
  template <class Visit>
  void for_each(Visit&& visit) {
    for (auto* list : {&running_, &waiting_}) {
      for (Sequence& s : *list) visit(s);
    }
  }
  /// Calls `on_end` with every sequence that has finished, which then goes.
  template <class OnEnd>
  void sweep(OnEnd&& on_end) {
    for (auto* list : {&running_, &waiting_}) {
      list->remove_if([&](Sequence& s) {
        if (s.finish == Finish::None) return false;
        on_end(s);
        return true;
      });
    }
  }

 private:
  void admit();
  bool has_page_for_each() const;
  void make_room();
  void preempt(std::list<Sequence>::iterator sequence);
  void fill(StepBatch& batch);
  void add_prompts(StepBatch& batch, int64_t room);
  int64_t add(StepBatch& batch, Sequence& sequence, int64_t room);

  const Cache& cache_;
  int64_t n_ubatch_;
  int n_parallel_, n_waiting_;
  StepBudget budget_;
  std::list<Sequence> running_, waiting_;  // both by age, all that run older than all that wait
  std::vector<Sequence*> prompts_;         // of the step under way
  int64_t n_preempted_ = 0;
};

}  // namespace sw
