// SPDX-License-Identifier: MIT
#include "kernels/cpu/linear.h"

namespace sw {
namespace {
using namespace cpu;

struct Buffers {
  template <class Take>
  Buffers(const HeadDesc& d, int64_t n_row, int, Take& take) {
    take_packed(take, packed, d.output, n_row);
  }
  std::byte* packed = nullptr;  ///< [n_row] normed
};

void run(const HeadDesc& d, const HeadArgs& args, OpContext& context) {
  const auto n_row = static_cast<int64_t>(args.rows.size());
  if (n_row == 0) return;
  const Buffers b(d, n_row, context.pool.size(), context.scratch);
  for_tokens(context.pool, n_row, d.output.n_in(), [&](int64_t i, int) {
    const float* x = args.x.row(args.rows[static_cast<size_t>(i)]);
    context.vector.rms_norm(x, d.norm, d.rms_eps, d.output.n_in(), args.normed.row(i));
    pack_row(d.output, args.normed.row(i), i, b.packed);
  });
  multiply_all(context.pool, {&d.output, b.packed, args.logits.rows(0, n_row)});
  count_dense(context.counters, d, n_row);
}

}  // namespace

extern const HeadKernel cpu_head;
const HeadKernel cpu_head{.name = "cpu_head", .scratch_bytes = scratch_of<Buffers>, .run = run};

}  // namespace sw
