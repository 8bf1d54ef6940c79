// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <list>
#include <numeric>
#include <vector>

#include "kernels/attention_parts.h"
#include "unit/kernels/random_data.h"

/// A random attention layer, a batch of tokens of several sequences and the cache that they meet.
namespace sw::testing {

struct AttentionShape {
  int n_head = 4, n_head_kv = 2, head_dim = 64, n_rot = 64;
  bool neighbours = false, bias = false, qk_norm = false;
};

/// Neighbouring tokens of one sequence.
struct TokenRun {
  int32_t seq = 0, first_pos = 0, n = 0;
};

class AttentionCase {
 public:
  static constexpr int64_t kEmbd = 256, kPageTokens = 16;

  AttentionCase(const AttentionShape& s, Type weights, Type cache, const std::vector<TokenRun>& runs,
                uint64_t seed)
      : rng_(seed), shape_(s), cache_type_(cache) {
    const int64_t n_all = int64_t{s.n_head + 2 * s.n_head_kv} * s.head_dim;
    desc = {.n_head = s.n_head,
            .n_head_kv = s.n_head_kv,
            .head_dim = s.head_dim,
            .value_dim = s.head_dim,
            .n_rot = s.n_rot,
            .rope_neighbours = s.neighbours,
            .rms_eps = 1e-6f,
            .norm = values(kEmbd),
            .qkv = linear(weights, n_all, kEmbd),
            .qkv_bias = s.bias ? values(n_all) : nullptr,
            .q_norm = s.qk_norm ? values(s.head_dim) : nullptr,
            .k_norm = s.qk_norm ? values(s.head_dim) : nullptr,
            .out = linear(weights, kEmbd, int64_t{s.n_head} * s.head_dim)};
    for (const TokenRun& run : runs) {
      for (int32_t i = 0; i < run.n; ++i) {
        seq.push_back(run.seq);
        pos.push_back(run.first_pos + i);
      }
    }
    // So small that what attention adds to it is not lost in its rounding.
    x = random_floats(rng_, n_token() * kEmbd, 0.01f);
    rope_cos = random_floats(rng_, n_token() * s.n_rot / 2);
    rope_sin = random_floats(rng_, n_token() * s.n_rot / 2);
    fill_cache();
  }

  int64_t n_token() const { return std::ssize(seq); }
  size_t page_bytes() const {
    return static_cast<size_t>(shape_.n_head_kv * kPageTokens) * row_bytes(cache_type_, shape_.head_dim);
  }
  /// A cache like `cache`, somewhere.
  KvLayerView kv_at(std::byte* memory) const {
    return {.k = memory,
            .v = memory + cache.size() / 2,
            .type = cache_type_,
            .page_tokens = kPageTokens,
            .page_stride_bytes = page_bytes(),
            .head_stride_bytes = static_cast<size_t>(kPageTokens) * row_bytes(cache_type_, shape_.head_dim)};
  }
  std::vector<float> decoded(const std::vector<std::byte>& bytes) const {
    std::vector<float> all(bytes.size() / row_bytes(cache_type_, 1));
    traits(cache_type_).decode(bytes.data(), all.data(), std::ssize(all));
    return all;
  }
  std::vector<const int32_t*> tables() const {
    std::vector<const int32_t*> all;
    for (const std::vector<int32_t>& pages : block_tables) all.push_back(pages.data());
    return all;
  }

  AttentionDesc desc;
  std::vector<int32_t> seq, pos;
  std::vector<float> x, rope_cos, rope_sin;
  std::vector<std::vector<int32_t>> block_tables;  ///< of each sequence
  std::vector<std::byte> cache;  ///< keys, then values; 0xFF (NaN) where nothing was written

 private:
  const float* values(int64_t n) { return kept_.emplace_back(random_floats(rng_, n)).data(); }
  Linear linear(Type type, int64_t n_out, int64_t n_in) {
    const std::vector<std::byte>& bytes = bytes_.emplace_back(encoded_weights(rng_, type, n_out, n_in));
    return {.weight = {type, {n_out, n_in}, bytes.data(), {}}};
  }

  /// Pages in disorder, one more than are used; earlier positions hold random keys and values.
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
    cache.assign(2 * pages.size() * page_bytes(), std::byte{0xff});
    const KvLayerView kv = kv_at(cache.data());
    for (size_t s = 0; s < n_seq; ++s) {
      std::vector<int32_t>& table = block_tables.emplace_back();
      for (int32_t n = 0; n < n_kv[s]; n += kPageTokens) {
        table.push_back(pages.back());
        pages.pop_back();
      }
      for (int32_t p = 0; n_kv[s] > 0 && p < n_old[s]; ++p) store_random(kv, table, p);
    }
  }
  void store_random(const KvLayerView& kv, const std::vector<int32_t>& table, int32_t at) {
    for (int head = 0; head < shape_.n_head_kv; ++head) {
      for (std::byte* layer : {kv.k, kv.v}) {
        const std::vector<float> row = random_floats(rng_, shape_.head_dim);
        traits(cache_type_)
            .encode(row.data(), layer + kv_offset_bytes(kv, table.data(), at, head, shape_.head_dim),
                    shape_.head_dim, nullptr);
      }
    }
  }

  Rng rng_;
  AttentionShape shape_;
  Type cache_type_;
  std::list<std::vector<float>> kept_;
  std::list<std::vector<std::byte>> bytes_;
};

}  // namespace sw::testing
