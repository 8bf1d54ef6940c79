// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <gtest/gtest.h>
#include <limits>
#include <list>
#include <numeric>
#include <vector>

#include "kernels/attention_parts.h"
#include "support/closeness.h"
#include "unit/kernels/gpu.h"
#include "unit/kernels/random_data.h"

/// What tests of attention on a GPU share, with keys and values or with latents.
namespace sw::testing {

/// Neighbouring tokens of one sequence.
struct TokenRun {
  int32_t seq = 0, first_pos = 0, n = 0;
};

/// What a layer's cache holds.
struct CacheShape {
  Type type = Type::F32;
  int n_head = 0, row_dim = 0;
  bool values = true;  ///< beside the keys
  int n_rot = 0;
  int window = 0;  ///< 0: none
};

/// A batch of tokens of several sequences, their hidden states and the cache that they meet.
class CachedCase {
 public:
  static constexpr int64_t kEmbd = 256, kPageTokens = 16;

  CachedCase(const CacheShape& shape, const std::vector<TokenRun>& runs, uint64_t seed)
      : rng_(seed), shape_(shape) {
    for (const TokenRun& run : runs) {
      for (int32_t i = 0; i < run.n; ++i) {
        seq.push_back(run.seq);
        pos.push_back(run.first_pos + i);
      }
    }
    // So small that what attention adds to it is not lost in its rounding.
    x = random_floats(rng_, n_token() * kEmbd, 0.01f);
    rope_cos = random_floats(rng_, n_token() * shape.n_rot / 2);
    rope_sin = random_floats(rng_, n_token() * shape.n_rot / 2);
    fill_cache();
  }

  int64_t n_token() const { return std::ssize(seq); }
  /// Tokens at the front that have no other of their sequence here.
  int64_t n_alone() const {
    const auto is_alone = [&](int32_t s) { return std::ranges::count(seq, s) == 1; };
    return std::ranges::find_if_not(seq, is_alone) - seq.begin();
  }
  /// A cache like `cache`, somewhere.
  KvLayerView kv_at(std::byte* memory) const {
    return {.k = memory,
            .v = shape_.values ? memory + cache.size() / 2 : nullptr,
            .type = shape_.type,
            .page_tokens = kPageTokens,
            .page_stride_bytes = page_bytes(),
            .head_stride_bytes = head_bytes(),
            .v_type = shape_.type,
            .v_page_stride_bytes = page_bytes(),
            .v_head_stride_bytes = head_bytes()};
  }
  std::vector<float> decoded(const std::vector<std::byte>& bytes) const {
    std::vector<float> all(bytes.size() / row_bytes(shape_.type, 1));
    traits(shape_.type).decode(bytes.data(), all.data(), std::ssize(all));
    return all;
  }

  std::vector<int32_t> seq, pos;
  std::vector<float> x, rope_cos, rope_sin;
  std::vector<std::vector<int32_t>> block_tables;  ///< of each sequence; -1: all behind the window
  std::vector<std::byte> cache;  ///< keys, then values; 0xFF (NaN) where nothing was written

 protected:
  Values values(int64_t n) { return {kept_.emplace_back(random_floats(rng_, n)).data(), n}; }
  Values values_if(bool wanted, int64_t n) { return wanted ? values(n) : Values{}; }
  Linear linear(Type type, const Shape& shape) {
    const std::vector<std::byte>& bytes =
        bytes_.emplace_back(encoded_weights(rng_, type, shape.n_rows(), shape.n_cols()));
    return {.weight = {type, shape, bytes.data(), {}}};
  }

 private:
  size_t head_bytes() const {
    return static_cast<size_t>(kPageTokens) * row_bytes(shape_.type, shape_.row_dim);
  }
  size_t page_bytes() const { return static_cast<size_t>(shape_.n_head) * head_bytes(); }
  /// Pages in disorder, one more than are used; earlier positions hold random rows.
  void fill_cache() {
    const auto n_seq = static_cast<size_t>(*std::ranges::max_element(seq)) + 1;
    std::vector<int32_t> n_kv(n_seq, 0), n_old(n_seq, std::numeric_limits<int32_t>::max());
    for (size_t t = 0; t < seq.size(); ++t) {
      const auto s = static_cast<size_t>(seq[t]);
      n_kv[s] = std::max(n_kv[s], pos[t] + 1);
      n_old[s] = std::min(n_old[s], pos[t]);
    }
    std::vector<int32_t> pages(1);
    for (const int32_t n : n_kv)
      pages.resize(pages.size() + static_cast<size_t>((n + kPageTokens - 1) / kPageTokens));
    std::iota(pages.begin(), pages.end(), 0);
    for (size_t i = pages.size(); i > 1; --i) std::swap(pages[i - 1], pages[rng_.below(i)]);
    cache.assign((shape_.values ? 2 : 1) * pages.size() * page_bytes(), std::byte{0xff});
    const KvLayerView kv = kv_at(cache.data());
    for (size_t s = 0; s < n_seq; ++s) {
      std::vector<int32_t>& table = block_tables.emplace_back();
      for (int32_t n = 0; n < n_kv[s]; n += kPageTokens) {
        table.push_back(pages.back());
        pages.pop_back();
      }
      for (int32_t p = 0; n_kv[s] > 0 && p < n_old[s]; ++p) store_random(kv, table, p);
      // The sequence's oldest token sees its window and nothing before: those pages are gone.
      const int64_t first_seen = shape_.window > 0 && n_kv[s] > 0 ? n_old[s] - shape_.window + 1 : 0;
      for (size_t i = 0; std::ssize(table) > 0 && (static_cast<int64_t>(i) + 1) * kPageTokens <= first_seen;
           ++i)
        table[i] = -1;
    }
  }
  void store_random(const KvLayerView& kv, const std::vector<int32_t>& table, int32_t at) {
    for (int head = 0; head < shape_.n_head; ++head) {
      for (const KvPart& part : {kv.keys(), kv.values()}) {
        if (!part.data) continue;
        const std::vector<float> row = random_floats(rng_, shape_.row_dim);
        traits(shape_.type)
            .encode(row.data(), kv_row(part, table.data(), at, head, shape_.row_dim), shape_.row_dim,
                    nullptr);
      }
    }
  }

  Rng rng_;
  CacheShape shape_;
  std::list<std::vector<float>> kept_;
  std::list<std::vector<std::byte>> bytes_;
};

/// One token and a few (split keys), and many (tiles), that begin, end and cross pages and tiles; in the
/// last, sequences change within a tile and one's tokens come in two runs.
inline const std::vector<std::vector<TokenRun>> kBatches = {
    {{0, 0, 1}},
    {{0, 77, 1}},
    {{0, 0, 1}, {2, 40, 1}, {1, 203, 1}},
    {{1, 0, 5}, {0, 30, 11}, {2, 99, 1}},
    {{0, 0, 130}},
    {{0, 10, 60}, {1, 300, 1}, {2, 0, 1}, {3, 63, 66}, {4, 15, 2}, {1, 301, 1}},
};

struct Result {
  std::vector<float> x;
  std::vector<std::byte> cache;
};

/// A Case is a CachedCase with a `desc`.
template <class Case>
Result run_on_cpu(const Case& c, const BindOptions& options) {
  Result r{c.x, c.cache};
  std::vector<const int32_t*> tables;
  for (const std::vector<int32_t>& pages : c.block_tables) tables.push_back(pages.data());
  const TokenBatch batch{.n_token = c.n_token(),
                         .pos = c.pos.data(),
                         .seq = c.seq.data(),
                         .block_tables = tables.data(),
                         .rope_cos = c.rope_cos.data(),
                         .rope_sin = c.rope_sin.data()};
  ThreadPool pool(1);
  const auto op = bind_op(c.desc, options);
  const Buffer memory(std::max<size_t>(1, op.scratch_bytes(c.n_token(), 1)));
  Scratch scratch(memory.data(), memory.size_bytes());
  OpCounters counters;
  OpContext context{pool, scratch, counters, choose_vector(options.limit), {}};
  op({.batch = batch, .kv = c.kv_at(r.cache.data()), .x = {r.x.data(), c.n_token(), CachedCase::kEmbd}},
     context);
  return r;
}

template <class Case>
Result run_reference(const Case& c) {
  return run_on_cpu(c, {.limit = Isa::Scalar, .references = true});
}

template <class Case>
Result run_on_gpu(Gpu& gpu, const Case& c) {
  std::vector<const int32_t*> tables;
  for (const std::vector<int32_t>& pages : c.block_tables) tables.push_back(gpu.put(pages));
  const TokenBatch batch{.n_token = c.n_token(),
                         .pos = gpu.put(c.pos),
                         .seq = gpu.put(c.seq),
                         .n_alone = c.n_alone(),
                         .block_tables = gpu.put(tables),
                         .rope_cos = gpu.put(c.rope_cos),
                         .rope_sin = gpu.put(c.rope_sin)};
  std::byte* cache = gpu.put(c.cache);
  float* x = gpu.put(c.x);
  gpu.run(bind_op(gpu.put_weights(c.desc), kOnGpu),
          {.batch = batch, .kv = c.kv_at(cache), .x = {x, c.n_token(), CachedCase::kEmbd}}, c.n_token());
  Result r{gpu.get(x, std::ssize(c.x)), gpu.get(cache, std::ssize(c.cache))};
  gpu.clear();
  return r;
}

/// What attention added to the residual, so that the residual itself hides nothing.
inline std::vector<float> added(const CachedCase& c, const Result& r) {
  std::vector<float> y = r.x;
  for (size_t i = 0; i < y.size(); ++i) y[i] -= c.x[i];
  return y;
}

/// `as_cpu`: where inputs are rounded to 8 bits, a sharp softmax may make more of that than the bound: then
/// as much as it makes of it in the CPU's kernels.
template <class Case>
void expect_like_reference(Gpu& gpu, const Case& c, double bound, bool as_cpu = false) {
  const Result want = run_reference(c), got = run_on_gpu(gpu, c);
  EXPECT_LE(relative_error(c.decoded(got.cache), c.decoded(want.cache)), bound);
  const double error = relative_error(added(c, got), added(c, want));
  if (as_cpu && error > bound)
    bound = 1.2 * relative_error(added(c, run_on_cpu(c, {.limit = isa_limit()})), added(c, want));
  EXPECT_LE(error, bound);
}

/// A GPU may round activations: to 8 bits for few tokens of quantized weights, to bfloat16 for weights that
/// are not F32; and, over a cache of f16, queries and the weights of the softmax to f16: 5e-4 at most against
/// a calculation in double.
inline double bound_of(Type weights, Type cache) {
  if (traits(weights).quantized) return 0.02;
  if (weights != Type::F32) return 0.01;
  return cache == Type::F32 ? 2e-5 : 1e-3;
}

}  // namespace sw::testing
