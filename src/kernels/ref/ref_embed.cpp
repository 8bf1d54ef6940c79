// SPDX-License-Identifier: MIT
#include "kernels/ref/ref_math.h"

namespace sw {
namespace {

void run(const EmbedDesc& d, const EmbedArgs& args, OpContext&) {
  for (int64_t t = 0; t < args.batch.n_token; ++t) {
    traits(d.table.type).decode(d.table.row(args.batch.ids[t]), args.out.row(t), d.table.shape.n_cols());
  }
}

}  // namespace

extern const EmbedKernel ref_embed;
const EmbedKernel ref_embed{.name = "ref_embed", .run = run};

}  // namespace sw
