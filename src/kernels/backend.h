// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/op_kernel.h"
#include "tensor/device_memory.h"

namespace sw {

struct DeviceInfo {
  DeviceKind kind = DeviceKind::Cpu;
  std::string name = {};         ///< as users write it: "CPU", "CUDA0", "fake1"
  std::string description = {};  ///< for `version` and logs: "NVIDIA H100 80GB HBM3, compute capability 9.0"
};

/// Whether GPUs may read each other's memory.
enum class PeerAccess : uint8_t {
  Allowed,
  Refused  ///< copies between them go through the CPU's memory, as on machines where they cannot
};

/// Work that devices keep instead of doing it, to do it later, and again.
class Recordings {
 public:
  static constexpr int kMost = 64;
  virtual ~Recordings() = default;
  /// What is queued from here to end() is kept.
  virtual void begin() = 0;
  /// Under a number below kMost, in the place of what was there.
  virtual void end(int number) = 0;
  /// Instead of end(): nothing is kept, and the devices go on as before begin().
  virtual void abandon() noexcept = 0;
  virtual void replay(int number) = 0;
};

/// Points in time of a device's queue, for profiles: each is when what was queued before it was done.
class Timeline {
 public:
  virtual ~Timeline() = default;
  /// Marks this point of the queue. Returns its number: 0, 1, ...
  virtual int mark() = 0;
  /// Seconds between two marks that the queue has passed; see Backend::wait().
  virtual double seconds(int from, int to) const = 0;
  /// Numbers begin at 0 again.
  virtual void clear() = 0;
};

/// A point of a device's queue that the host can wait for.
class Fence {
 public:
  virtual ~Fence() = default;
  /// Here, behind all that is queued so far; the last call counts. Not while the queue is being recorded.
  virtual void set() {}
  /// Returns once the point has passed, at once where none was set.
  virtual void wait() {}
};

/// Bytes that go from one device's memory to another's.
struct DeviceCopy {
  std::byte* to = nullptr;
  const std::byte* from = nullptr;
  size_t size_bytes = 0;
};

/// One device that runs operations: its memory and its work queue. Work of a GPU is queued and runs in
/// order; the CPU and fake devices have done it when a call returns. Pointers named `host` are the
/// CPU's memory.
class Backend : public DeviceMemory {
 public:
  struct MemoryFacts {
    uint64_t free_bytes = 0, total_bytes = 0;
  };

  explicit Backend(DeviceInfo info) : info_(std::move(info)) {}

  const DeviceInfo& info() const { return info_; }
  virtual MemoryFacts memory() const = 0;
  /// The CPU may touch this memory at any time.
  virtual bool host_visible() const { return false; }

  virtual void copy_in(std::byte* to, const void* host, size_t size_bytes) = 0;
  /// `host` holds the bytes once wait() or wait_recorded() has returned.
  virtual void copy_out(void* host, const std::byte* from, size_t size_bytes) = 0;
  /// From `from`'s memory to this device's; queued on this device, which first waits for `from`'s mark.
  virtual void copy_from(Backend& from, std::span<const DeviceCopy> copies) = 0;
  /// Opens the way of copies from `from`. Returns why they go through the CPU's memory; empty where they go
  /// directly.
  virtual std::string open_way(Backend& /*from*/) { return {}; }
  virtual void zero(std::byte* data, size_t size_bytes) = 0;
  /// x[i] += y[i], both of this device.
  virtual void add(float* x, const float* y, int64_t n) = 0;

  /// Marks this point of the queue; the last mark counts.
  virtual void record() {}
  /// The host waits until the mark has passed.
  virtual void wait_recorded() {}
  /// What is queued here from now on waits for all that is queued on `other`. Nothing where either is the CPU
  /// or a fake device, whose work is done when a call returns.
  virtual void wait_for(Backend& /*other*/) {}
  /// Must not outlive this.
  virtual std::unique_ptr<Fence> make_fence() { return std::make_unique<Fence>(); }
  /// The host waits until all queued work is done. Throws sw::SystemError where the device failed.
  virtual void wait() {}

  /// Lets copies to and from this host memory run beside other work.
  virtual void pin(std::byte* /*host*/, size_t /*size_bytes*/) {}
  virtual void unpin(std::byte* /*host*/) {}

  /// Of the work of this device and of `others`, which this one starts and waits for; must not outlive any.
  /// Copies between them must go directly. Null where one of them cannot keep work.
  virtual std::unique_ptr<Recordings> make_recordings(std::span<Backend* const> /*others*/) {
    return nullptr;
  }

  /// Must not outlive this.
  virtual std::unique_ptr<Timeline> make_timeline() = 0;
  /// Bytes a second that the device reads from its memory at best, measured now with a buffer that its caches
  /// cannot hold; 0 where there is no room for one. The CPU reads with all threads of `pool`, which takes a
  /// good part of a second; a GPU takes milliseconds.
  virtual double measure_read_limit(ThreadPool& pool) = 0;

  virtual cuda::Queue* queue() { return nullptr; }

  /// While one is alive the CPU may touch this device's memory: fake devices lock theirs otherwise.
  class Access {
   public:
    explicit Access(Backend& backend) : backend_(backend) { backend_.open(); }
    ~Access() { backend_.close(); }
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

   private:
    Backend& backend_;
  };

 private:
  virtual void open() {}
  virtual void close() {}

  DeviceInfo info_;
};

/// The CPU, device 0.
std::unique_ptr<Backend> open_cpu();
/// `n` fake devices behind a CPU whose memory is locked as well: device 0 is "CPU", then "fake1" ...
std::vector<std::unique_ptr<Backend>> open_fakes(int n);

}  // namespace sw
