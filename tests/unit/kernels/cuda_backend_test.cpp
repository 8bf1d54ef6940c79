// SPDX-License-Identifier: MIT
// GPUs as devices: memory, copies, marks, recordings, and what is said where one is missing.
#include <chrono>
#include <gtest/gtest.h>
#include <numeric>

#include "gpu.h"
#include "rig.h"

namespace sw {
namespace {
using namespace testing;

std::vector<float> counting(size_t n) {
  std::vector<float> values(n);
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

TEST(CudaBackend, AGpuThatDoesNotExistIsOneLine) {
  std::string why;
  const int n = cuda::device_count(&why);
  EXPECT_EQ(why.empty(), n > 0) << why;
  for (const int index : {-1, n, 99}) {
    try {
      cuda::open(index, Device{1});
      FAIL() << "there is no GPU " << index;
    } catch (const SystemError& e) {
      EXPECT_NE(std::string(e.what()).find("CUDA" + std::to_string(index)), std::string::npos) << e.what();
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
    }
  }
}

TEST(CudaBackend, MemoryIsZeroedAndCopiesArrive) {
  SW_GPU_OR_SKIP();
  const auto backend = cuda::open(0, Device{3});
  EXPECT_EQ(backend->info().name, "CUDA0");
  EXPECT_EQ(backend->device(), Device{3});
  EXPECT_EQ(backend->info().kind, DeviceKind::Cuda);
  EXPECT_NE(backend->info().description.find("compute capability"), std::string::npos);
  EXPECT_GT(backend->memory().total_bytes, backend->memory().free_bytes);
  constexpr size_t kN = 100001;
  std::vector<float> host = counting(kN), back(kN, -1.0f);
  const size_t n_bytes = kN * sizeof(float);
  const Buffer a(n_bytes, *backend), b(n_bytes, *backend);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data()) % 256, 0u);
  backend->copy_out(back.data(), a.data(), n_bytes);
  backend->wait();
  EXPECT_EQ(back, std::vector<float>(kN, 0.0f));

  backend->pin(reinterpret_cast<std::byte*>(back.data()), n_bytes);
  backend->copy_in(a.data(), host.data(), n_bytes);
  const DeviceCopy over{b.data(), a.data(), n_bytes};
  backend->copy_from(*backend, {&over, 1});
  backend->add(reinterpret_cast<float*>(a.data()), reinterpret_cast<const float*>(b.data()), kN);
  backend->copy_out(back.data(), a.data(), n_bytes);
  backend->record();
  backend->zero(a.data(), n_bytes);
  backend->wait_recorded();
  for (float& x : host) x *= 2;
  EXPECT_EQ(back, host);
  backend->copy_out(back.data(), a.data(), n_bytes);
  backend->wait();
  EXPECT_EQ(back, std::vector<float>(kN, 0.0f));
  backend->unpin(reinterpret_cast<std::byte*>(back.data()));
}

/// There and back again, few bytes and many, the direct way and through the CPU's memory. With one GPU its
/// two backends stand for two, and there is only the direct way.
TEST(CudaBackend, ACopyWaitsForTheSourcesMark) {
  SW_GPU_OR_SKIP();
  for (const PeerAccess access : {PeerAccess::Allowed, PeerAccess::Refused}) {
    const auto from = cuda::open(0, Device{1}, access),
               to = cuda::open(cuda::device_count() - 1, Device{2}, access);
    const bool through_host = access == PeerAccess::Refused && cuda::device_count() > 1;
    EXPECT_EQ(to->open_way(*from), through_host ? "--no-peer-access" : "");
    for (const size_t n : {size_t{3}, size_t{2048}, size_t{1} << 22, (size_t{3} << 20) + 1}) {
      const size_t n_bytes = n * sizeof(float);
      const std::vector<float> host = counting(n);
      std::vector<float> back(n);
      const Buffer source(n_bytes, *from), target(n_bytes, *to);
      // In two pieces of unequal size.
      const size_t first = n / 3 * sizeof(float), rest = n_bytes - first;
      const DeviceCopy over[] = {{target.data(), source.data(), first},
                                 {target.data() + first, source.data() + first, rest}};
      const DeviceCopy home[] = {{source.data(), target.data(), first},
                                 {source.data() + first, target.data() + first, rest}};
      for (int round = 0; round < 5; ++round) {
        from->zero(source.data(), n_bytes);
        from->copy_in(source.data(), host.data(), n_bytes);
        from->record();
        to->copy_from(*from, over);
        to->record();
        from->wait_for(*to);  // the copy has left: what is queued here next may write
        from->zero(source.data(), n_bytes);
        from->copy_from(*to, home);
        from->copy_out(back.data(), source.data(), n_bytes);
        from->wait();
        ASSERT_EQ(back, host) << n << " floats, round " << round;
      }
    }
  }
}

/// Two queues in one recording, each waiting for the other; with one GPU its two backends stand for two.
TEST(CudaBackend, ARecordingHoldsTheWorkOfTwoQueues) {
  SW_GPU_OR_SKIP();
  const auto one = cuda::open(0, Device{1}), two = cuda::open(cuda::device_count() - 1, Device{2});
  constexpr size_t kN = 2048, kBytes = kN * sizeof(float);
  const Buffer a(kBytes, *one), b(kBytes, *two);
  const auto floats = [](const Buffer& buffer) { return reinterpret_cast<float*>(buffer.data()); };
  Backend* const others[] = {two.get()};
  const std::string why = one->open_way(*two) + two->open_way(*one);
  if (!why.empty()) GTEST_SKIP() << why;
  const std::unique_ptr<Recordings> recordings = one->make_recordings(others);
  const DeviceCopy over{b.data(), a.data(), kBytes}, home{a.data(), b.data(), kBytes};
  recordings->begin();
  one->record();
  two->copy_from(*one, {&over, 1});
  two->add(floats(b), floats(b), kN);
  two->record();
  one->copy_from(*two, {&home, 1});
  one->add(floats(a), floats(a), kN);
  recordings->end(1);
  std::vector<float> host = counting(kN), back(kN);
  one->copy_in(a.data(), host.data(), kBytes);
  for (int round = 0; round < 3; ++round) recordings->replay(1);
  one->copy_out(back.data(), a.data(), kBytes);
  one->wait();
  for (float& x : host) x *= 64;
  EXPECT_EQ(back, host);
}

TEST(CudaBackend, AFencePassesWhenTheQueueDoes) {
  SW_GPU_OR_SKIP();
  const auto backend = cuda::open(0, Device{1});
  constexpr size_t kN = 1 << 20, kBytes = kN * sizeof(float);
  const Buffer buffer(kBytes, *backend);
  std::vector<float> host = counting(kN), back(kN);
  const std::unique_ptr<Fence> fence = backend->make_fence();
  fence->wait();  // not set yet
  backend->pin(reinterpret_cast<std::byte*>(back.data()), kBytes);
  backend->copy_in(buffer.data(), host.data(), kBytes);
  backend->copy_out(back.data(), buffer.data(), kBytes);
  fence->set();
  backend->zero(buffer.data(), kBytes);
  fence->wait();
  EXPECT_EQ(back, host);
  backend->wait();
  backend->unpin(reinterpret_cast<std::byte*>(back.data()));
}

TEST(CudaBackend, MemoryThatIsNotThereIsOneLineAndHarmsNothing) {
  SW_GPU_OR_SKIP();
  const auto backend = cuda::open(0, Device{1});
  try {
    backend->allocate(size_t{1} << 50);
    FAIL() << "a pebibyte";
  } catch (const SystemError& e) {
    const std::string line = e.what();
    EXPECT_NE(line.find("needs 1073741824 MiB, have "), std::string::npos) << line;
    EXPECT_NE(line.find("CUDA0"), std::string::npos) << line;
  }
  const Buffer buffer(1000, *backend);
  backend->zero(buffer.data(), 1000);
  backend->wait();
}

TEST(CudaBackend, MarksTellWhenTheQueueWasThere) {
  SW_GPU_OR_SKIP();
  const auto backend = cuda::open(0, Device{1});
  constexpr size_t kBytes = size_t{256} << 20;
  const Buffer buffer(kBytes, *backend);
  const std::unique_ptr<Timeline> timeline = backend->make_timeline();
  for (int round = 0; round < 2; ++round) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(timeline->mark(), 0);
    backend->zero(buffer.data(), kBytes);
    EXPECT_EQ(timeline->mark(), 1);
    EXPECT_EQ(timeline->mark(), 2);
    backend->wait();
    const double wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    EXPECT_GT(timeline->seconds(0, 1), 1e-5) << "25 TB/s";
    EXPECT_LE(timeline->seconds(0, 1), wall_s);
    EXPECT_LT(timeline->seconds(1, 2), timeline->seconds(0, 1));
    timeline->clear();
  }
  ThreadPool pool(1);
  const double limit = backend->measure_read_limit(pool);
  EXPECT_TRUE(limit == 0 || (limit > 0 && limit < 2e13)) << limit;  // sanitizers take a hundred times as long
}

/// What is recorded does not run; each replay reads the inputs as they are then.
TEST(CudaBackend, ARecordingRunsWhenReplayed) {
  SW_GPU_OR_SKIP();
  Rig rig;
  Gpu gpu;
  constexpr int64_t kEmbd = 256, kFf = 512;
  const FfnDesc desc{.norm = rig.vector(kEmbd),
                     .rms_eps = 1e-6f,
                     .gate = rig.linear(Type::Q4_K, {kFf, kEmbd}),
                     .up = rig.linear(Type::Q4_K, {kFf, kEmbd}),
                     .down = rig.linear(Type::Q6_K, {kEmbd, kFf})};
  const auto op = bind_op(gpu.put_weights(desc), kOnGpu);
  for (const int64_t n_token : {int64_t{1}, int64_t{5}, int64_t{40}}) {
    const TensorView<float> first = rig.matrix(n_token, kEmbd), second = rig.matrix(n_token, kEmbd);
    const TensorView<float> eager = gpu.put(second), x = gpu.put(first);
    gpu.run(op, {.x = eager, .out = eager}, n_token);
    const Scratch scratch = gpu.scratch(op, n_token);  // taken before: nothing is while a recording is made
    const std::unique_ptr<Recordings> recordings = gpu.backend().make_recordings({});
    recordings->begin();
    gpu.run(op, {.x = x, .out = x}, scratch);
    const int slot = static_cast<int>(n_token);
    recordings->end(slot);
    EXPECT_EQ(gpu.get(x), copy(first));
    for (int round = 0; round < 2; ++round) {
      gpu.backend().copy_in(reinterpret_cast<std::byte*>(x.data()), second.data(),
                            static_cast<size_t>(n_token * kEmbd) * sizeof(float));
      recordings->replay(slot);
      EXPECT_EQ(gpu.get(x), gpu.get(eager)) << n_token << " tokens, round " << round;
    }
  }
}

}  // namespace
}  // namespace sw
