// SPDX-License-Identifier: MIT
#include <array>

#include "kernels/clamped_swiglu.h"
#include "kernels/cpu/linear.h"

namespace sw {
namespace {
using namespace cpu;

/// Every product of the list at most.
constexpr int kMostPackings = 0
#define SW_VARIANT(name, isa) +1
#include "kernels/variants/matmul.inc"
#undef SW_VARIANT
    ;

/// The tokens' activations, packed once for each way in which products of gate and up read them.
class PackedTokens {
 public:
  explicit PackedTokens(const ExpertsDesc& d) : n_in_(d.gate.n_in) {
    for (const ExpertStack* stack : {&d.gate, &d.up}) {
      for (const ExpertFormat& format : stack->formats) {
        if (!find(*format.matmul)) ways_[n_way_++] = {format.matmul, nullptr};
      }
    }
  }
  template <class Take>
  void take(int64_t n_token, const Take& take) {
    for (Way& way : ways()) take(way.rows, static_cast<int64_t>(way.matmul->act_bytes(n_in_)) * n_token);
  }
  void pack(const float* x, int64_t t) {
    for (Way& way : ways())
      way.matmul->pack(x, n_in_, way.rows + way.matmul->act_bytes(n_in_) * static_cast<size_t>(t));
  }
  const std::byte* rows(const MatmulKernel& matmul) { return find(matmul)->rows; }

 private:
  struct Way {
    const MatmulKernel* matmul = nullptr;
    std::byte* rows = nullptr;
  };
  std::span<Way> ways() { return {ways_, static_cast<size_t>(n_way_)}; }
  Way* find(const MatmulKernel& matmul) {
    for (Way& way : ways()) {
      if (way.matmul->pack == matmul.pack) return &way;
    }
    return nullptr;
  }

  int64_t n_in_;
  int n_way_ = 0;
  Way ways_[kMostPackings] = {};
};

/// The memory of one call.
struct Buffers {
  /// One expert's rows. A row is one (token, slot) pair.
  struct Run {
    int32_t expert;
    int64_t begin, end;
  };

  /// `take(pointer, n)` makes room for n elements.
  template <class Take>
  Buffers(const ExpertsDesc& d, int64_t n_token, const Take& take) : tokens(d) {
    const int64_t most_row = n_token * d.n_slot;
    take(runs, d.n_expert());
    take(token, most_row);
    take(row_of, most_row);
    take(next, d.n_expert());
    tokens.take(n_token, take);
    take(gate, most_row * d.gate.n_out);
    take(up, most_row * d.up.n_out);
    for (const ExpertFormat& format : d.down.formats)
      hidden_bytes = std::max(hidden_bytes, format.matmul->act_bytes(d.down.n_in));
    take(hidden, static_cast<int64_t>(hidden_bytes) * most_row);
    take(y, most_row * d.down.n_out);
  }

  /// The slots of a batch ordered by expert: a run for each expert that some token chose. Slots without an
  /// expert of this device have no row, so they cost nothing.
  Run* runs = nullptr;
  int64_t n_run = 0, n_row = 0;
  int32_t* token = nullptr;   ///< [n_row] the row's token
  int32_t* row_of = nullptr;  ///< [n_token, n_slot] -> row, or -1
  int64_t* next = nullptr;    ///< [n_expert] the next row of an expert, while they are sorted

  PackedTokens tokens;
  float* gate = nullptr;  ///< [n_row, n_ff], then the hidden values
  float* up = nullptr;    ///< [n_row, n_ff]
  std::byte* hidden =
      nullptr;              ///< a run's begin at hidden_bytes * begin, packed as its expert's down reads them
  size_t hidden_bytes = 0;  ///< of a row, whatever the format
  float* y = nullptr;       ///< [n_row, n_embd]
};

/// Counting sort by expert; tokens stay in order within a run. Identity experts, experts of other devices
/// and unused slots (-1) are left out by their id, never by their weight.
void sort_by_expert(const ExpertsDesc& d, const Routing& routing, Buffers& b) {
  const int64_t n_token = routing.n_tokens(), n_slot = d.n_slot, n_expert = d.n_expert();
  std::fill_n(b.next, n_expert, 0);
  for (int64_t t = 0; t < n_token; ++t) {
    for (int64_t s = 0; s < routing.n_active[static_cast<size_t>(t)]; ++s) {
      const int32_t id = routing.ids.at(t, s);
      if (d.gate.has(id)) ++b.next[id];
    }
  }
  for (int64_t e = 0; e < n_expert; ++e) {
    const int64_t count = b.next[e];
    b.next[e] = b.n_row;
    if (count > 0) b.runs[b.n_run++] = {static_cast<int32_t>(e), b.n_row, b.n_row + count};
    b.n_row += count;
  }
  for (int64_t t = 0; t < n_token; ++t) {
    for (int64_t s = 0; s < n_slot; ++s) {
      const int32_t id = s < routing.n_active[static_cast<size_t>(t)] ? routing.ids.at(t, s) : -1;
      const bool here = d.gate.has(id);
      b.row_of[t * n_slot + s] = here ? static_cast<int32_t>(b.next[id]) : -1;
      if (here) b.token[b.next[id]++] = static_cast<int32_t>(t);
    }
  }
}

const char* refuses(const ExpertsDesc&) { return nullptr; }

size_t scratch_bytes(const ExpertsDesc& d, int64_t n_token, int) {
  size_t bytes = 0;
  const Buffers counted(d, n_token, [&]<class T>(T*&, int64_t n) {
    bytes += Scratch::padded_bytes(static_cast<size_t>(n) * sizeof(T));
  });
  return bytes;
}

/// Activations of a run's rows: those of `rows` (or 0, 1, ..) in `packed`.
struct RunActs {
  const std::byte* packed = nullptr;
  const int32_t* rows = nullptr;
};

/// Products of every run with its expert's matrix of a stack. `acts(run, matmul)` are a run's activations,
/// packed for its product.
template <class Acts>
struct RunProducts {
  RunProducts(const ExpertStack& of, const Buffers& buffers, float* to, const Acts& activations, int n_thread)
      : stack(of),
        b(buffers),
        out(to),
        acts(activations),
        step(rows_per_task(of.n_out * b.n_run, n_thread)),
        n_block((of.n_out + step - 1) / step) {}

  int64_t n_task() const { return n_block * b.n_run; }
  /// A task is one run with one block of rows of weights.
  void multiply(int64_t task) const {
    const Buffers::Run& run = b.runs[task / n_block];
    const int64_t begin = task % n_block * step;
    const ExpertMatrix& matrix = stack.table[run.expert];
    const MatmulKernel& matmul = stack.matmul(matrix.type);
    const RunActs x = acts(run, matmul);
    matmul.run({.weight = matrix.type,
                .n_in = stack.n_in,
                .weights = matrix.data,
                .row_begin = begin,
                .row_end = std::min(begin + step, stack.n_out),
                .acts = x.packed,
                .act_rows = x.rows,
                .n_token = run.end - run.begin,
                .out = out + run.begin * stack.n_out,
                .out_stride = stack.n_out});
  }

  const ExpertStack& stack;
  const Buffers& b;
  float* out;  ///< [n_row, n_out]
  const Acts& acts;
  int64_t step, n_block;  ///< rows of a block; blocks of a matrix
};

/// out[t, cols] += sum over the token's slots, in slot order, of weight * expert output; identity experts
/// add their weights to one coefficient of the token's own input.
void combine(const ExpertsDesc& d, const ExpertsArgs& args, const Buffers& b, int64_t t, Range cols,
             float* sum, const VectorKernel& vector) {
  const int64_t n_embd = d.down.n_out;
  std::fill_n(sum, cols.size(), 0.0f);
  float identity = 0.0f;
  for (int64_t s = 0; s < args.routing.n_active[static_cast<size_t>(t)]; ++s) {
    const float weight = args.routing.weights.at(t, s);
    const int32_t id = args.routing.ids.at(t, s), row = b.row_of[t * d.n_slot + s];
    if (row >= 0) {
      vector.add_scaled(sum, weight, b.y + row * n_embd + cols.begin, cols.size());
      if (d.down.bias) vector.add_scaled(sum, weight, d.down.bias_of(id) + cols.begin, cols.size());
    } else if (d.identity && id >= d.n_expert()) {
      identity += weight;
    }
  }
  if (identity != 0.0f) vector.add_scaled(sum, identity, args.x.row(t) + cols.begin, cols.size());
  vector.add_scaled(args.out.row(t) + cols.begin, 1.0f, sum, cols.size());
}

/// Biases and the activation of a row of an expert, into `gate`.
void activate(const ExpertsDesc& d, int32_t expert, float* gate, float* up, const VectorKernel& vector) {
  const int64_t n_ff = d.gate.n_out;
  if (d.gate.bias) vector.add_scaled(gate, 1.0f, d.gate.bias_of(expert), n_ff);
  if (d.up.bias) vector.add_scaled(up, 1.0f, d.up.bias_of(expert), n_ff);
  if (d.swiglu_limit > 0) {
    clamped_swiglu(gate, up, d.swiglu_limit, n_ff);
  } else {
    vector.silu_mul(gate, up, n_ff, gate);
  }
}

/// The activation of rows [begin, end), and their hidden values packed.
void activate_rows(const ExpertsDesc& d, const Buffers& b, Range rows, const VectorKernel& vector) {
  const int64_t n_ff = d.down.n_in;
  const Buffers::Run* run = b.runs;
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    while (run->end <= i) ++run;
    float* gate = b.gate + i * n_ff;
    activate(d, run->expert, gate, b.up + i * n_ff, vector);
    const MatmulKernel& matmul = d.down.matmul(d.down.table[run->expert].type);
    matmul.pack(gate, n_ff,
                b.hidden + b.hidden_bytes * static_cast<size_t>(run->begin) +
                    matmul.act_bytes(n_ff) * static_cast<size_t>(i - run->begin));
  }
}

void count_reads(const ExpertsDesc& d, const Buffers& b, OpCounters& counters) {
  for (const ExpertStack* stack : {&d.gate, &d.up, &d.down}) {
    for (int64_t i = 0; i < b.n_run; ++i) {
      const WeightView matrix = stack->matrix(b.runs[i].expert);
      counters.expert_bytes += matrix.size_bytes();
      counters.expert_flops += linear_flops(matrix, b.runs[i].end - b.runs[i].begin);
    }
  }
}

void run(const ExpertsDesc& d, const ExpertsArgs& args, OpContext& context) {
  const int64_t n_token = args.x.n_rows(), n_embd = d.down.n_out;
  Buffers b(d, n_token, [&]<class T>(T*& p, int64_t n) { p = context.scratch.take<T>(n); });
  sort_by_expert(d, args.routing, b);
  const auto token_acts = [&](const Buffers::Run& run, const MatmulKernel& matmul) {
    return RunActs{b.tokens.rows(matmul), b.token + run.begin};
  };
  const auto hidden_acts = [&](const Buffers::Run& run, const MatmulKernel&) {
    return RunActs{b.hidden + b.hidden_bytes * static_cast<size_t>(run.begin)};
  };
  ThreadPool& pool = context.pool;
  for_tokens(pool, n_token, n_embd, [&](int64_t t, int) { b.tokens.pack(args.x.row(t), t); });
  const RunProducts<decltype(token_acts)> gate_and_up[] = {{d.gate, b, b.gate, token_acts, pool.size()},
                                                           {d.up, b, b.up, token_acts, pool.size()}};
  for_each_task(pool, std::array{gate_and_up[0].n_task(), gate_and_up[1].n_task()},
                [&](size_t which, int64_t task) { gate_and_up[which].multiply(task); });
  for_rows(pool, b.n_row, d.down.n_in, [&](Range rows, int) { activate_rows(d, b, rows, context.vector); });
  const RunProducts down(d.down, b, b.y, hidden_acts, pool.size());
  pool.for_each(down.n_task(), [&](int64_t task, int) { down.multiply(task); });
  constexpr int64_t kCombineCols = 256;
  const int64_t n_col_block = (n_embd + kCombineCols - 1) / kCombineCols;
  pool.for_each(n_token * n_col_block, [&](int64_t task, int) {
    float sum[kCombineCols];
    const int64_t begin = task % n_col_block * kCombineCols;
    combine(d, args, b, task / n_col_block, {begin, std::min(begin + kCombineCols, n_embd)}, sum,
            context.vector);
  });
  count_reads(d, b, context.counters);
}

}  // namespace

extern const ExpertsKernel cpu_experts;
const ExpertsKernel cpu_experts{"cpu_experts", Isa::Scalar, refuses, scratch_bytes, run};

}  // namespace sw
