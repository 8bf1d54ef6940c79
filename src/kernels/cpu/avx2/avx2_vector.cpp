// SPDX-License-Identifier: MIT
#include "kernels/variants/all.h"

#if defined(__x86_64__)
#include "kernels/cpu/avx2/cached_rows.h"

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace sw {
namespace {

/// f(i, n) for each 8 elements, the last time perhaps for fewer.
template <class F>
inline void for_lanes(int64_t n, F&& f) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) f(i, int64_t{8});
  if (i < n) f(i, n - i);
}

inline __m256 load(const float* p, int64_t n) {
  return n == 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, first_lanes(n));
}

inline void store(float* p, __m256 v, int64_t n) {
  if (n == 8) {
    _mm256_storeu_ps(p, v);
  } else {
    _mm256_maskstore_ps(p, first_lanes(n), v);
  }
}

/// Sums in double, like the reference: a long row must not lose digits.
double sum_squares(const float* x, int64_t n) {
  __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
  for_lanes(n, [&](int64_t i, int64_t n_lane) {
    const __m256 v = load(x + i, n_lane);
    const __m256d a = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
    const __m256d b = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
    low = _mm256_fmadd_pd(a, a, low);
    high = _mm256_fmadd_pd(b, b, high);
  });
  const __m256d four = _mm256_add_pd(low, high);
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

void rms_norm(const float* x, const float* weight, float eps, int64_t n, float* out) {
  const double mean = sum_squares(x, n) / static_cast<double>(n);
  const __m256 scale =
      _mm256_set1_ps(static_cast<float>(1.0 / __builtin_sqrt(mean + static_cast<double>(eps))));
  for_lanes(n, [&](int64_t i, int64_t n_lane) {
    const __m256 v = _mm256_mul_ps(load(x + i, n_lane), scale);
    store(out + i, _mm256_mul_ps(v, load(weight + i, n_lane)), n_lane);
  });
}

/// silu_exact() of base/math.h in each lane, bit by bit.
void silu_mul(const float* gate, const float* up, int64_t n, float* out) {
  const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
  for_lanes(n, [&](int64_t i, int64_t n_lane) {
    const __m256 x = load(gate + i, n_lane);
    const __m256 e = exp_lanes(_mm256_xor_ps(x, sign));
    const __m256 silu = _mm256_mul_ps(x, _mm256_div_ps(one, _mm256_add_ps(one, e)));
    store(out + i, _mm256_mul_ps(silu, load(up + i, n_lane)), n_lane);
  });
}

/// Not fused, so that the bits are the reference's.
void add_scaled(float* acc, float weight, const float* x, int64_t n) {
  const __m256 w = _mm256_set1_ps(weight);
  for_lanes(n, [&](int64_t i, int64_t n_lane) {
    const __m256 product = _mm256_mul_ps(w, load(x + i, n_lane));
    store(acc + i, _mm256_add_ps(load(acc + i, n_lane), product), n_lane);
  });
}

/// Attention of up to kQueries heads: online softmax, one page after the other, so that each page is read
/// from memory once for all of them. A query's sums run over dimensions (scores) and tokens (values) in
/// ascending order however many queries share a tile, and in whatever format the page is.
class Attend {
 public:
  static constexpr int64_t kQueries = 16;

  Attend(const AttendArgs& args, int64_t first, int64_t n_query)
      : a_(args),
        first_(first),
        n_query_(n_query),
        key_bytes_(static_cast<int64_t>(args.k.row_stride_bytes)),
        value_bytes_(static_cast<int64_t>(args.v.row_stride_bytes)) {
    SW_ASSERT(args.head_dim % traits(args.k.type).block_elems == 0);
    with_cached_rows(args.k.type, [this]<class Rows>() { score_page_ = &Attend::score_page<Rows>; });
    with_cached_rows(args.v.type, [this]<class Rows>() { add_page_ = &Attend::add_page<Rows>; });
  }

  void run() {
    for (int64_t h = 0; h < n_query_; ++h) start(h);
    const int64_t n_page = (a_.n_kv + a_.page_tokens - 1) / a_.page_tokens;
    for (int64_t page = a_.first_kv / a_.page_tokens; page < n_page; ++page) {
      const int64_t begin = page * a_.page_tokens, end = begin + a_.page_tokens;
      const int64_t skipped = begin < a_.first_kv ? a_.first_kv - begin : 0;
      const auto number = static_cast<size_t>(a_.block_table[page]);
      n_key_ = (a_.n_kv < end ? a_.n_kv : end) - begin - skipped;
      (this->*score_page_)(a_.k.data + number * a_.k.page_stride_bytes + skipped * key_bytes_);
      for (int64_t h = 0; h < n_query_; ++h) weigh(h);
      (this->*add_page_)(a_.v.data + number * a_.v.page_stride_bytes + skipped * value_bytes_);
    }
    for (int64_t h = 0; h < n_query_; ++h) end(h);
  }

 private:
  void start(int64_t h) {
    if (a_.carried_max) {
      max_[h] = a_.carried_max[first_ + h];
      sum_[h] = a_.carried_sum[first_ + h];
      return;
    }
    max_[h] = a_.sinks ? a_.sinks[first_ + h] : -__builtin_inff();
    sum_[h] = a_.sinks ? 1.0f : 0.0f;
    std::memset(out(h), 0, static_cast<size_t>(a_.value_dim) * sizeof(float));
  }

  void end(int64_t h) const {
    if (a_.carried_max) {
      a_.carried_max[first_ + h] = max_[h];
      a_.carried_sum[first_ + h] = sum_[h];
      return;
    }
    const __m256 total = _mm256_set1_ps(sum_[h]);
    float* row = out(h);
    for_lanes(a_.value_dim,
              [&](int64_t d, int64_t n) { store(row + d, _mm256_div_ps(load(row + d, n), total), n); });
  }

  const float* query(int64_t h) const { return a_.q + (first_ + h) * a_.q_stride; }
  float* out(int64_t h) const { return a_.out + (first_ + h) * a_.out_stride; }
  float* scores(int64_t h) const { return a_.scores + (first_ + h) * a_.page_tokens; }

  template <class Rows>
  void score_page(const std::byte* k) const {
    int64_t h = 0;
    for (; h + 4 <= n_query_; h += 4) score_queries<Rows, 4, 2>(h, k);
    for (; h + 2 <= n_query_; h += 2) score_queries<Rows, 2, 4>(h, k);
    for (; h < n_query_; ++h) score_queries<Rows, 1, 4>(h, k);
  }

  template <class Rows, int Q, int K>
  void score_queries(int64_t h, const std::byte* k) const {
    int64_t j = 0;
    for (; j + K <= n_key_; j += K) score_tile<Rows, Q, K>(h, j, k + j * key_bytes_);
    for (; j < n_key_; ++j) score_tile<Rows, Q, 1>(h, j, k + j * key_bytes_);
  }

  /// Scores of Q queries from `h` on with K keys, of which the first is number `j` and starts at `k`.
  template <class Rows, int Q, int K>
  void score_tile(int64_t h, int64_t j, const std::byte* k) const {
    __m256 acc[Q][K];
    for (int q = 0; q < Q; ++q) {
      for (int i = 0; i < K; ++i) acc[q][i] = _mm256_setzero_ps();
    }
    const float* queries = query(h);
    constexpr int64_t kStep = Rows::kBlockElems;
    const int64_t whole = a_.head_dim / kStep * kStep;
    __m256 key[K];
    for (int64_t begin = 0; begin < whole; begin += kStep) {
      Rows block[K];
#pragma GCC unroll 4
      for (int i = 0; i < K; ++i) block[i] = Rows(k + i * key_bytes_, begin);
#pragma GCC unroll 4
      for (int64_t d = 0; d < kStep; d += 8) {
#pragma GCC unroll 4
        for (int i = 0; i < K; ++i) key[i] = block[i].load(d);
#pragma GCC unroll 4
        for (int q = 0; q < Q; ++q) {
          const __m256 x = _mm256_loadu_ps(queries + q * a_.q_stride + begin + d);
#pragma GCC unroll 4
          for (int i = 0; i < K; ++i) acc[q][i] = _mm256_fmadd_ps(x, key[i], acc[q][i]);
        }
      }
    }
    if constexpr (kStep == 8) {  // heads end with a block where those are longer
      const int64_t rest = a_.head_dim - whole;
      for (int i = 0; rest > 0 && i < K; ++i) {
        key[i] = Rows(k + i * key_bytes_, whole).load_part(rest);
        for (int q = 0; q < Q; ++q) {
          acc[q][i] = _mm256_fmadd_ps(load(queries + q * a_.q_stride + whole, rest), key[i], acc[q][i]);
        }
      }
    }
    for (int q = 0; q < Q; ++q) {
      for (int i = 0; i < K; ++i) scores(h + q)[j + i] = sum_lanes(acc[q][i]) * a_.scale;
    }
  }

  /// Scores of this page -> weights relative to the largest score so far.
  void weigh(int64_t h) {
    float* s = scores(h);
    const __m256 lowest = _mm256_set1_ps(-__builtin_inff());
    __m256 page_max = lowest;
    for_lanes(n_key_, [&](int64_t j, int64_t n) {
      const __m256 v = _mm256_blendv_ps(lowest, load(s + j, n), _mm256_castsi256_ps(first_lanes(n)));
      page_max = _mm256_max_ps(page_max, v);
    });
    const float largest = max_lanes(page_max), max = largest > max_[h] ? largest : max_[h];
    const __m256 base = _mm256_set1_ps(max);
    __m256 total = _mm256_setzero_ps();
    for_lanes(n_key_, [&](int64_t j, int64_t n) {
      const __m256 p = exp_lanes(_mm256_sub_ps(load(s + j, n), base));
      total = _mm256_add_ps(total, _mm256_and_ps(p, _mm256_castsi256_ps(first_lanes(n))));
      store(s + j, p, n);
    });
    rescale_[h] = _mm256_cvtss_f32(exp_lanes(_mm256_set1_ps(max_[h] - max)));
    sum_[h] = sum_[h] * rescale_[h] + sum_lanes(total);
    max_[h] = max;
  }

  template <class Rows>
  void add_page(const std::byte* v) const {
    int64_t h = 0;
    for (; h + 4 <= n_query_; h += 4) add_queries<Rows, 4, 2>(h, v);
    for (; h + 2 <= n_query_; h += 2) add_queries<Rows, 2, 4>(h, v);
    for (; h < n_query_; ++h) add_queries<Rows, 1, 4>(h, v);
  }

  template <class Rows, int Q, int D>
  void add_queries(int64_t h, const std::byte* v) const {
    int64_t d = 0;
    for (; d + 8 * D <= a_.value_dim; d += 8 * D) add_tile<Rows, Q, D, false>(h, d, v);
    for (; d + 8 <= a_.value_dim; d += 8) add_tile<Rows, Q, 1, false>(h, d, v);
    if (d < a_.value_dim) add_tile<Rows, Q, 1, true>(h, d, v);
  }

  /// Adds the page's values to dimensions [d, d + 8 D) of Q queries from `h` on, or (kPart) to
  /// the last few dimensions. The 8 D dimensions are of one block.
  template <class Rows, int Q, int D, bool kPart>
  void add_tile(int64_t h, int64_t d, const std::byte* v) const {
    const int64_t n = kPart ? a_.value_dim - d : 8;
    __m256 acc[Q][D];
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) {
      const __m256 rescale = _mm256_set1_ps(rescale_[h + q]);
#pragma GCC unroll 4
      for (int i = 0; i < D; ++i) acc[q][i] = _mm256_mul_ps(load(out(h + q) + d + 8 * i, n), rescale);
    }
    const float* weights = scores(h);
    for (int64_t j = 0; j < n_key_; ++j) {
      const Rows row(v + j * value_bytes_, d);
      __m256 value[D];
#pragma GCC unroll 4
      for (int i = 0; i < D; ++i) value[i] = kPart ? row.load_part(n) : row.load(8 * i);
#pragma GCC unroll 4
      for (int q = 0; q < Q; ++q) {
        const __m256 p = _mm256_broadcast_ss(weights + q * a_.page_tokens + j);
#pragma GCC unroll 4
        for (int i = 0; i < D; ++i) acc[q][i] = _mm256_fmadd_ps(p, value[i], acc[q][i]);
      }
    }
#pragma GCC unroll 4
    for (int q = 0; q < Q; ++q) {
#pragma GCC unroll 4
      for (int i = 0; i < D; ++i) store(out(h + q) + d + 8 * i, acc[q][i], n);
    }
  }

  using PagePass = void (Attend::*)(const std::byte* rows) const;

  const AttendArgs& a_;
  int64_t first_, n_query_, key_bytes_, value_bytes_;
  PagePass score_page_ = nullptr, add_page_ = nullptr;
  int64_t n_key_ = 0;  ///< visible tokens of the page at hand
  float max_[kQueries], sum_[kQueries], rescale_[kQueries];
};

void attend(const AttendArgs& a) {
  constexpr int64_t kQueries = Attend::kQueries;
  for (int64_t h = 0; h < a.n_q; h += kQueries) {
    Attend(a, h, a.n_q - h < kQueries ? a.n_q - h : kQueries).run();
  }
}

}  // namespace
}  // namespace sw

#pragma GCC pop_options

namespace sw {

const VectorKernel avx2_vector = {.name = "avx2_vector",
                                  .isa = Isa::Avx2,
                                  .rms_norm = rms_norm,
                                  .silu_mul = silu_mul,
                                  .add_scaled = add_scaled,
                                  .attend = attend};

}  // namespace sw
#else
namespace sw {
const VectorKernel avx2_vector = {.name = "avx2_vector", .isa = Isa::Avx2};
}
#endif
