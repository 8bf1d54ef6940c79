// SPDX-License-Identifier: MIT
#include "kernels/variants/all.h"

#if defined(__x86_64__)
#include "kernels/cpu/avx2/formats_q.h"

namespace sw {
namespace {

const char* refuses(const MatmulDesc& desc) {
  const bool mine = with_format_q(desc.weight, []<class>() {});
  return mine ? nullptr : "only Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 and MXFP4 weights";
}

void run(const MatmulArgs& a) {
  const size_t stored_row_bytes = row_bytes(a.weight, a.n_in);
  with_format_q(a.weight, [&]<class Format>() { Int8Matmul<Format>(a, stored_row_bytes).run(); });
}

}  // namespace

const MatmulKernel avx2_q = {.name = "avx2_q",
                             .isa = Isa::Avx2,
                             .refuses = refuses,
                             .act_bytes = act_q8_bytes,
                             .pack = pack_act_q8_avx2,
                             .run = run};

}  // namespace sw
#else
namespace sw {
const MatmulKernel avx2_q = not_built("avx2_q", Isa::Avx2);
}
#endif
