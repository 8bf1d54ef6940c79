// SPDX-License-Identifier: MIT
#include "kernels/variants/all.h"

#if defined(__x86_64__)
#include "kernels/cpu/avx2/formats_k.h"

namespace sw {
namespace {

const char* refuses(const MatmulDesc& desc) {
  const bool mine = with_format_k(desc.weight, []<class>() {});
  return mine ? nullptr : "only Q4_K, Q5_K and Q6_K weights";
}

void run(const MatmulArgs& a) {
  const size_t stored_row_bytes = row_bytes(a.weight, a.n_in);
  with_format_k(a.weight, [&]<class Format>() { Int8Matmul<Format>(a, stored_row_bytes).run(); });
}

}  // namespace

const MatmulKernel avx2_k = {.name = "avx2_k",
                             .isa = Isa::Avx2,
                             .refuses = refuses,
                             .act_bytes = act_q8_bytes,
                             .pack = pack_act_q8_avx2,
                             .run = run};

}  // namespace sw
#else
namespace sw {
const MatmulKernel avx2_k = not_built("avx2_k", Isa::Avx2);
}
#endif
