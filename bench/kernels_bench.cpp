// SPDX-License-Identifier: MIT
#include <algorithm>
#include <benchmark/benchmark.h>
#include <cstring>
#include <string>
#include <time.h>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "kernels/variants/all.h"
#include "kv/cache_type.h"
#include "quant/with_type.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// Speed of every kernel variant on one thread: decode in GB/s of weights, prefill in GFLOP/s, and the
/// share of what a plain read loop and a multiply-add loop reach on the same machine in the same minute.
namespace sw {
namespace {

constexpr int64_t kWidth = 2048;
constexpr size_t kStreamBytes = size_t{64} << 20, kCacheBytes = size_t{512} << 10;

/// Processor time of this thread: other programs on the machine must not count.
double thread_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double seconds_of(void (*work)(), int n_run) {
  double best = 1e30;
  for (int i = 0; i < n_run; ++i) {
    const double begin = thread_seconds();
    work();
    best = std::min(best, thread_seconds() - begin);
  }
  return best;
}

const std::vector<uint64_t>& stream_data() {
  static const std::vector<uint64_t> data(kStreamBytes / sizeof(uint64_t), 1);
  return data;
}

#if defined(__x86_64__)
constexpr int kPeakRounds = 4'000'000, kPeakChains = 12;

#pragma GCC push_options
#pragma GCC target("avx2,fma")
void read_loop_avx2() {
  const auto* p = reinterpret_cast<const __m256i*>(stream_data().data());
  __m256i sum[4] = {};
  for (size_t i = 0; i < kStreamBytes / sizeof(__m256i); i += 4) {
    for (size_t k = 0; k < 4; ++k) sum[k] = _mm256_add_epi64(sum[k], _mm256_loadu_si256(p + i + k));
  }
  for (__m256i s : sum) benchmark::DoNotOptimize(s);
}

void peak_loop_avx2() {
  __m256 acc[kPeakChains], factor = _mm256_set1_ps(0.999f);
  for (int k = 0; k < kPeakChains; ++k) acc[k] = _mm256_set1_ps(static_cast<float>(k));
  benchmark::DoNotOptimize(factor);
  for (int i = 0; i < kPeakRounds; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < kPeakChains; ++k) acc[k] = _mm256_fmadd_ps(acc[k], factor, factor);
  }
  for (__m256 a : acc) benchmark::DoNotOptimize(a);
}
#pragma GCC pop_options
#endif

void read_loop_portable() {
  uint64_t sum = 0;
  for (const uint64_t v : stream_data()) sum += v;
  benchmark::DoNotOptimize(sum);
}

/// Bytes a second of a loop that only reads; the best of several runs, measured once.
double read_peak() {
  static const double peak = [] {
    void (*loop)() = read_loop_portable;
#if defined(__x86_64__)
    if (cpu_has(Isa::Avx2)) loop = read_loop_avx2;
#endif
    return static_cast<double>(kStreamBytes) / seconds_of(loop, 20);
  }();
  return peak;
}

/// Floating-point operations a second of AVX2 multiply-adds; 0 where the CPU has none.
double flop_peak() {
#if defined(__x86_64__)
  static const double peak = [] {
    return cpu_has(Isa::Avx2) ? 16.0 * kPeakChains * kPeakRounds / seconds_of(peak_loop_avx2, 10) : 0.0;
  }();
  return peak;
#else
  return 0.0;
#endif
}

/// Random bytes with tame scales: the speed does not depend on the values, and encoding takes long.
std::vector<std::byte> random_weights(Type type, int64_t n_row) {
  Rng rng(1);
  std::vector<std::byte> bytes(row_bytes(type, kWidth) * static_cast<size_t>(n_row));
  with_type(type, [&]<class Format>() {
    using Block = typename Format::Block;
    for (size_t at = 0; at < bytes.size(); at += sizeof(Block)) {
      Block block;
      if constexpr (Format::kBlockElems > 1) {
        for (size_t i = 0; i < sizeof block; ++i)
          reinterpret_cast<uint8_t*>(&block)[i] = rng.below(256) & 0xff;
        if constexpr (requires { block.d; }) block.d = f32_to_f16(0.01f);
        if constexpr (requires { block.dmin; }) block.dmin = f32_to_f16(0.01f);
        if constexpr (requires { block.e; }) block.e = 120;
      } else {
        const float x = static_cast<float>(rng.uniform()) - 0.5f;
        Format::encode(&x, nullptr, block);
      }
      std::memcpy(bytes.data() + at, &block, sizeof block);
    }
  });
  return bytes;
}

std::vector<std::byte> packed_acts(const MatmulKernel& kernel, int64_t n_token) {
  Rng rng(2);
  std::vector<std::byte> acts(kernel.act_bytes(kWidth) * static_cast<size_t>(n_token));
  std::vector<float> x(kWidth);
  for (int64_t t = 0; t < n_token; ++t) {
    for (float& v : x) v = static_cast<float>(rng.uniform()) - 0.5f;
    kernel.pack(x.data(), kWidth, acts.data() + kernel.act_bytes(kWidth) * static_cast<size_t>(t));
  }
  return acts;
}

/// Moves the bytes to an aligned place, where a model's packed weights lie.
const std::byte* align(std::vector<std::byte>& bytes) {
  const size_t n_bytes = bytes.size();
  bytes.resize(n_bytes + kPackedAlignBytes);
  const size_t beyond = reinterpret_cast<uintptr_t>(bytes.data()) % kPackedAlignBytes;
  std::byte* aligned = bytes.data() + (kPackedAlignBytes - beyond) % kPackedAlignBytes;
  std::memmove(aligned, bytes.data(), n_bytes);
  return aligned;
}

void bench_matmul(benchmark::State& state, const MatmulKernel& kernel, Type type, int64_t n_row,
                  int64_t n_token) {
  const std::vector<std::byte> stored = random_weights(type, n_row), acts = packed_acts(kernel, n_token);
  std::vector<std::byte> weights = laid_out(kernel, {type, {n_row, kWidth}, stored.data()});
  std::vector<float> out(static_cast<size_t>(n_row * n_token));
  const MatmulArgs args = {.weight = type,
                           .n_in = kWidth,
                           .weights = align(weights),
                           .row_begin = 0,
                           .row_end = n_row,
                           .acts = acts.data(),
                           .n_token = n_token,
                           .out = out.data(),
                           .out_stride = n_row};
  for (auto _ : state) {
    kernel.run(args);
    benchmark::ClobberMemory();
  }
  const auto rate = [](double per_run) {
    return benchmark::Counter(per_run, benchmark::Counter::kIsIterationInvariantRate);
  };
  const auto bytes = static_cast<double>(stored.size());
  const double flops = 2.0 * static_cast<double>(kWidth * n_row * n_token);
  if (n_token == 1) {
    state.counters["GB/s"] = rate(bytes * 1e-9);
    state.counters["of_read"] = rate(bytes / read_peak());
  } else {
    state.counters["GFLOP/s"] = rate(flops * 1e-9);
    if (flop_peak() > 0.0) state.counters["of_fma"] = rate(flops / flop_peak());
  }
}

void bench_pack(benchmark::State& state, const MatmulKernel& kernel) {
  std::vector<float> x(kWidth);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 37) - 18.0f;
  std::vector<std::byte> packed(kernel.act_bytes(kWidth));
  for (auto _ : state) {
    kernel.pack(x.data(), kWidth, packed.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * kWidth * static_cast<int64_t>(sizeof(float)));
}

/// Packing of weights: bytes of stored weights a second.
void bench_layout(benchmark::State& state, const PackedLayout& layout, Type type, int64_t n_row) {
  const std::vector<std::byte> stored = random_weights(type, n_row);
  std::vector<std::byte> packed(layout.size_bytes(type, n_row, kWidth));
  for (auto _ : state) {
    layout.pack({type, {n_row, kWidth}, stored.data()}, 0, n_row, packed.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(stored.size()));
}

/// Eight query heads on one key/value head of 128 dimensions, `n_kv` tokens in pages of 64.
void bench_attend(benchmark::State& state, const VectorKernel& kernel, Type cache_type, int64_t n_kv) {
  constexpr int64_t kQueries = 8, kDim = 128, kPage = 64;
  const size_t page_bytes = row_bytes(cache_type, kDim) * kPage;
  const std::vector<std::byte> keys(page_bytes * static_cast<size_t>(n_kv / kPage)), values(keys);
  std::vector<int32_t> block_table;
  for (int32_t i = 0; i < n_kv / kPage; ++i) block_table.push_back(i);
  const auto head = [&](const std::vector<std::byte>& rows) {
    return CachedHead{rows.data(), cache_type, page_bytes, row_bytes(cache_type, kDim)};
  };
  const std::vector<float> q(kQueries * kDim, 0.1f);
  std::vector<float> scores(kQueries * kPage), out(q.size());
  const AttendArgs args = {.q = q.data(),
                           .q_stride = kDim,
                           .n_q = kQueries,
                           .head_dim = kDim,
                           .value_dim = kDim,
                           .k = head(keys),
                           .v = head(values),
                           .block_table = block_table.data(),
                           .page_tokens = kPage,
                           .n_kv = n_kv,
                           .scores = scores.data(),
                           .out = out.data(),
                           .out_stride = kDim};
  for (auto _ : state) {
    kernel.attend(args);
    benchmark::ClobberMemory();
  }
  state.counters["GFLOP/s"] = benchmark::Counter(static_cast<double>(4 * kQueries * kDim * n_kv) * 1e-9,
                                                 benchmark::Counter::kIsIterationInvariantRate);
}

template <class Op>
void bench_elements(benchmark::State& state, const Op& op) {
  std::vector<float> a(kWidth, 0.5f), b(kWidth, 0.25f), out(kWidth);
  for (auto _ : state) {
    op(a.data(), b.data(), out.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kWidth);
}

void register_matmul(const MatmulKernel& kernel, Type type) {
  const std::string name = std::string(kernel.name) + "/" + type_name(type);
  const size_t row = row_bytes(type, kWidth);
  const auto add = [&](const std::string& what, size_t n_row, int64_t n_token) {
    benchmark::RegisterBenchmark((what + "/" + name).c_str(), [&kernel, type, n_row, n_token](auto& state) {
      bench_matmul(state, kernel, type, static_cast<int64_t>(n_row), n_token);
    });
  };
  const bool reference = kernel.isa == Isa::Scalar;  // slow: a smaller problem shows the same rate
  add("decode/stream", (reference ? kStreamBytes / 16 : kStreamBytes) / row, 1);
  add("decode/cache", kCacheBytes / row, 1);
  if (kernel.layout) {
    benchmark::RegisterBenchmark(("layout/" + name).c_str(), [&kernel, type](auto& state) {
      bench_layout(state, *kernel.layout, type, 256);
    });
  }
  add("few/4", reference ? 32 : 512, 4);
  add("prefill/64", reference ? 32 : 512, 64);
  add("prefill/512", reference ? 32 : 512, 512);
}

void register_vector(const VectorKernel& kernel) {
  const std::string name = std::string("/") + kernel.name;
  for (const Type type : kCacheTypes) {
    benchmark::RegisterBenchmark(("attend/4096" + name + "/" + type_name(type)).c_str(),
                                 [&kernel, type](auto& state) { bench_attend(state, kernel, type, 4096); });
  }
  benchmark::RegisterBenchmark(("rms_norm" + name).c_str(), [&kernel](auto& state) {
    bench_elements(state, [&](float* a, float* b, float* out) { kernel.rms_norm(a, b, 1e-6f, kWidth, out); });
  });
  benchmark::RegisterBenchmark(("silu_mul" + name).c_str(), [&kernel](auto& state) {
    bench_elements(state, [&](float* a, float* b, float* out) { kernel.silu_mul(a, b, kWidth, out); });
  });
  benchmark::RegisterBenchmark(("add_scaled" + name).c_str(), [&kernel](auto& state) {
    bench_elements(state, [&](float* a, float*, float* out) { kernel.add_scaled(out, 1e-6f, a, kWidth); });
  });
}

void register_all() {
  for (const MatmulKernel* kernel : {
#define SW_VARIANT(name, isa) &name,
#include "kernels/variants/matmul.inc"
#undef SW_VARIANT
       }) {
    if (!cpu_has(kernel->isa)) continue;
    benchmark::RegisterBenchmark((std::string("pack/") + kernel->name).c_str(),
                                 [kernel](auto& state) { bench_pack(state, *kernel); });
    for (const Type type : {
#define SW_TYPE(name, id) Type::name,
#include "quant/types.inc"
#undef SW_TYPE
         }) {
      if (!kernel->refuses({type, kWidth})) register_matmul(*kernel, type);
    }
  }
  for (const VectorKernel* kernel : {
#define SW_VARIANT(name, isa) &name,
#include "kernels/variants/vector.inc"
#undef SW_VARIANT
       }) {
    if (cpu_has(kernel->isa)) register_vector(*kernel);
  }
}

}  // namespace
}  // namespace sw

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  sw::register_all();
  benchmark::AddCustomContext("read GB/s, one thread", std::to_string(sw::read_peak() * 1e-9));
  benchmark::AddCustomContext("AVX2 FMA GFLOP/s, one core", std::to_string(sw::flop_peak() * 1e-9));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
