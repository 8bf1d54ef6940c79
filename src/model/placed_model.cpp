// SPDX-License-Identifier: MIT
#include "model/placed_model.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "base/error.h"
#include "base/thread_pool.h"

namespace sw {
namespace {

constexpr size_t kAlignment = 256;

/// A matrix to be brought into a kernel's layout.
struct PackJob {
  const PackedLayout* layout;
  WeightView from;
  std::byte* to;
};

/// Visits a program's weights and brings each to its device, in its layout: first only counted, then, with
/// memory, copied.
class Placer {
 public:
  explicit Placer(size_t n_device) : used_(n_device), bytes_(n_device) {}
  /// With memory: `buffers` by device, as large as a first Placer's used().
  Placer(const Devices& devices, const std::vector<Buffer>& buffers) : Placer(devices.size()) {
    devices_ = &devices;
    buffers_ = &buffers;
  }

  template <class Op>
  void place(Op& instruction, std::deque<std::vector<ExpertMatrix>>& tables) {
    device_ = static_cast<size_t>(instruction.device);
    tables_ = &tables;
    for_each_weight(instruction.op.desc, [&](const char*, auto& weight) { put(weight); });
  }
  /// Memory that buffers must have.
  const std::vector<size_t>& used() const { return used_; }
  const std::vector<WeightBytes>& bytes() const { return bytes_; }
  const std::vector<PackJob>& jobs() const { return jobs_; }

 private:
  using Key = std::tuple<size_t, const std::byte*, const PackedLayout*>;

  void put(WeightView& view, const PackedLayout* layout = nullptr) {
    if (view.empty()) return;
    view.data = layout ? pack(view, *layout) : put(view.data, view.size_bytes());
    view.device = {static_cast<int>(device_)};
  }
  void put(Linear& linear) { put(linear.weight, linear.matmul ? linear.matmul->layout : nullptr); }
  void put(Values& values) {
    if (values) values.data = put(values.data, static_cast<size_t>(values.n) * sizeof(float));
  }
  void put(ExpertStack& stack);
  static const PackedLayout* layout_of(const ExpertStack& stack, Type type) {
    const MatmulKernel* matmul = stack.kernel(type);
    return matmul ? matmul->layout : nullptr;
  }
  template <class T>
  const T* put(const T* host, size_t size_bytes) {
    return reinterpret_cast<const T*>(put(reinterpret_cast<const std::byte*>(host), size_bytes));
  }
  /// Copies what is not there yet behind what the device's buffer holds; the CPU reads it where it is.
  const std::byte* put(const std::byte* host, size_t size_bytes) {
    const auto [at, is_new] = placed_.try_emplace(Key{device_, host, nullptr}, host);
    if (!is_new) return at->second;
    bytes_[device_].as_stored += size_bytes;
    if (device_ != 0) at->second = copy(host, size_bytes);
    return at->second;
  }
  const std::byte* copy(const std::byte* host, size_t size_bytes) {
    std::byte* to = take(size_bytes);
    if (!to) return host;
    (*devices_)[device_]->copy_in(to, host, size_bytes);
    return to;
  }
  const std::byte* pack(const WeightView& from, const PackedLayout& layout) {
    const auto [at, is_new] = placed_.try_emplace(Key{device_, from.data, &layout}, from.data);
    if (!is_new) return at->second;
    const size_t size = layout.size_bytes(from.type, from.shape.n_rows(), from.shape.n_cols());
    bytes_[device_].packed += size;
    if (std::byte* to = take(size)) {
      jobs_.push_back({&layout, from, to});
      at->second = to;
    }
    return at->second;
  }
  /// Null while only counting.
  std::byte* take(size_t size_bytes) {
    std::byte* to = buffers_ ? (*buffers_)[device_].data() + used_[device_] : nullptr;
    used_[device_] += (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
    return to;
  }

  const Devices* devices_ = nullptr;
  const std::vector<Buffer>* buffers_ = nullptr;
  std::deque<std::vector<ExpertMatrix>>* tables_ = nullptr;
  size_t device_ = 0;
  std::vector<size_t> used_;
  std::vector<WeightBytes> bytes_;
  std::map<Key, const std::byte*> placed_;
  std::vector<PackJob> jobs_;
};

/// The experts' matrices, in one piece where they lie so, and the table that finds them, which the device
/// must have too.
void Placer::put(ExpertStack& stack) {
  std::vector<ExpertMatrix> table(stack.table, stack.table + stack.n_expert);
  const PackedLayout* even_layout = layout_of(stack, table[0].type);
  if (stack.even && !even_layout) {
    const size_t one = row_bytes(table[0].type, stack.n_in) * static_cast<size_t>(stack.n_out);
    stack.even = put(stack.even, one * table.size());
    for (size_t e = 0; e < table.size(); ++e) table[e].data = stack.even + e * one;
  } else {
    stack.even = nullptr;
    for (ExpertMatrix& matrix : table) {
      WeightView view{matrix.type, {stack.n_out, stack.n_in}, matrix.data, {}};
      put(view, layout_of(stack, matrix.type));
      matrix.data = view.data;
    }
  }
  if (stack.bias)
    stack.bias = put(stack.bias, static_cast<size_t>(stack.n_expert * stack.n_out) * sizeof(float));
  const size_t table_bytes = table.size() * sizeof(ExpertMatrix);
  if (!buffers_) {
    if (device_ != 0) take(table_bytes);
    return;
  }
  const ExpertMatrix* host = tables_->emplace_back(std::move(table)).data();  // a vector's memory never moves
  stack.table = device_ == 0 ? host
                             : reinterpret_cast<const ExpertMatrix*>(
                                   copy(reinterpret_cast<const std::byte*>(host), table_bytes));
}

/// Packs in parallel, a few hundred rows at a time.
void run_jobs(const std::vector<PackJob>& jobs, int n_thread) {
  constexpr int64_t kRows = 256;
  static_assert(kRows % kRowGrain == 0);
  if (jobs.empty()) return;
  struct Task {
    const PackJob* job;
    int64_t begin, end;
  };
  std::vector<Task> tasks;
  for (const PackJob& job : jobs) {
    const int64_t n_row = job.from.shape.n_rows();
    for (int64_t begin = 0; begin < n_row; begin += kRows)
      tasks.push_back({&job, begin, std::min(begin + kRows, n_row)});
  }
  ThreadPool pool(n_thread);
  pool.for_each(std::ssize(tasks), [&](int64_t i, int) {
    const Task& task = tasks[static_cast<size_t>(i)];
    task.job->layout->pack(task.job->from, task.begin, task.end, task.job->to);
  });
}

/// A weight that the file has, and that no operation reads, would be left out of every result in silence.
void refuse_unread(const Model& model, const FileWeights& weights) {
  for (int block = kOfModel; block < model.hparams().n_run_block(); ++block) {
    for (const TensorItem& t : model.tensors(block)) {
      if (model.weight(t.role, block).empty() || weights.was_read(t.role, block)) continue;
      throw Error({.what = "no operation reads this tensor", .where = model.file().name() + ": " + t.gguf});
    }
  }
}

}  // namespace

Program compile(const Model& model, const Devices& devices, const Placement& placement,
                const ProgramOptions& options) {
  const FileWeights weights(model);
  Program program = compile(weights.view(), facts_of(devices), placement, options);
  refuse_unread(model, weights);
  return program;
}

std::vector<WeightBytes> weight_bytes(const Program& program, int n_device) {
  Placer placer(static_cast<size_t>(n_device));
  std::deque<std::vector<ExpertMatrix>> no_tables;
  for_each_op(program, [&](auto instruction) { placer.place(instruction, no_tables); });  // of a copy
  return placer.bytes();
}

PlacedModel::PlacedModel(const Model& model, const Devices& devices, Placement placement,
                         const ProgramOptions& options, int n_thread)
    : model_(model),
      devices_(devices),
      placement_(std::move(placement)),
      options_(options),
      program_(compile(model, devices, placement_, options)) {
  options_.experts_max = program_.n_slot;
  Placer counted(devices.size());
  for_each_op(std::as_const(program_),
              [&](auto instruction) { counted.place(instruction, program_.tables); });
  bytes_ = counted.bytes();
  for (size_t d = 0; d < devices.size(); ++d)
    buffers_.push_back(counted.used()[d] > 0 ? Buffer(counted.used()[d], *devices[d]) : Buffer());
  Placer placer(devices, buffers_);
  for_each_op(program_, [&](auto& instruction) { placer.place(instruction, program_.tables); });
  run_jobs(placer.jobs(), n_thread);
  for (const auto& device : devices) device->wait();
}

std::unique_ptr<PlacedModel> PlacedModel::on_cpu(const Model& model, const ProgramOptions& options,
                                                 int n_thread) {
  auto devices = std::make_unique<const Devices>(open_devices("none"));
  Placement placement = place(model, *devices, {.n_gpu_layers = 0});
  auto placed = std::make_unique<PlacedModel>(model, *devices, std::move(placement), options, n_thread);
  placed->own_devices_ = std::move(devices);
  return placed;
}

}  // namespace sw
