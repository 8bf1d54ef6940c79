// SPDX-License-Identifier: MIT
#include "kernels/cpu/linear.h"

namespace sw {
namespace {

void run(const EmbedDesc& desc, const EmbedArgs& args, OpContext& context) {
  const TypeTraits& format = traits(desc.table.type);
  const int64_t n_embd = desc.table.shape.n_cols();
  cpu::for_tokens(context.pool, args.batch.n_token, n_embd, [&](int64_t t, int) {
    format.decode(desc.table.row(args.batch.ids[t]), args.out.row(t), n_embd);
  });
  context.counters.dense_bytes += desc.table.row_size_bytes() * static_cast<size_t>(args.batch.n_token);
}

}  // namespace

extern const EmbedKernel cpu_embed;
const EmbedKernel cpu_embed{.name = "cpu_embed", .run = run};

}  // namespace sw
