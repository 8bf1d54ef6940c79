// SPDX-License-Identifier: MIT
#include "kernels/cpu/linear.h"

namespace sw {
namespace {
using namespace cpu;

const char* accepts_all(const HeadDesc&) { return nullptr; }
size_t scratch_bytes(const HeadDesc& d, int64_t n_token, int) { return packed_bytes(d.output, n_token); }

void run(const HeadDesc& d, const HeadArgs& args, OpContext& context) {
  const auto n_row = static_cast<int64_t>(args.rows.size());
  if (n_row == 0) return;
  std::byte* packed = take_packed(d.output, n_row, context.scratch);
  WorkQueue queue;
  context.pool.run([&](ThreadPool::Team& team) {
    const Range mine = team.share(n_row);
    for (int64_t i = mine.begin; i < mine.end; ++i) {
      const float* x = args.x.row(args.rows[static_cast<size_t>(i)]);
      context.vector.rms_norm(x, d.norm, d.rms_eps, d.output.n_in(), args.normed.row(i));
      pack_row(d.output, args.normed.row(i), i, packed);
    }
    team.barrier();
    multiply_all(d.output, queue, team.size(), packed, args.logits.rows(0, n_row));
  });
  count_dense(context.counters, d, n_row);
}

}  // namespace

extern const HeadKernel cpu_head;
const HeadKernel cpu_head{"cpu_head", Isa::Scalar, accepts_all, scratch_bytes, run};

}  // namespace sw
