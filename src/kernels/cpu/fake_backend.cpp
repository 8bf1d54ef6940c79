// SPDX-License-Identifier: MIT
#include <map>
#include <sys/mman.h>

#include "kernels/cpu/cpu_backend.h"

namespace sw {
namespace {

/// The CPU behind another device's tag. Its memory can be touched only between open() and close():
/// whoever takes one device's pointer for another's meets SIGSEGV at once, as on a machine with GPUs.
class FakeBackend : public cpu::CpuBackend {
 public:
  explicit FakeBackend(int index)
      : CpuBackend({.name = index == 0 ? "CPU" : "fake" + std::to_string(index),
                    .description = "a fake device, for tests of placement"}),
        index_(index) {}

  Device device() const override { return {index_}; }
  bool host_visible() const override { return false; }

  std::byte* allocate(size_t size_bytes) override {
    void* data = mmap(nullptr, size_bytes, access(), MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) throw SystemError({.what = "not enough memory", .where = info().name});
    sizes_[static_cast<std::byte*>(data)] = size_bytes;
    return static_cast<std::byte*>(data);
  }
  void release(std::byte* data) noexcept override {
    munmap(data, sizes_.at(data));
    sizes_.erase(data);
  }

 private:
  int access() const { return n_open_ > 0 ? PROT_READ | PROT_WRITE : PROT_NONE; }
  void protect_all() {
    for (const auto& [data, size] : sizes_) SW_ASSERT(mprotect(data, size, access()) == 0);
  }
  void open() override {
    if (n_open_++ == 0) protect_all();
  }
  void close() override {
    if (--n_open_ == 0) protect_all();
  }

  int index_;
  int n_open_ = 0;
  std::map<std::byte*, size_t> sizes_;
};

}  // namespace

std::vector<std::unique_ptr<Backend>> open_fakes(int n) {
  std::vector<std::unique_ptr<Backend>> backends;
  for (int index = 0; index <= n; ++index) backends.push_back(std::make_unique<FakeBackend>(index));
  return backends;
}

}  // namespace sw
