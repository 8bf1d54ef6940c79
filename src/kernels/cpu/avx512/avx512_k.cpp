// SPDX-License-Identifier: MIT
#include "kernels/variants/all.h"

#if defined(__x86_64__)
#include "kernels/cpu/avx2/formats_k.h"
#include "kernels/cpu/avx512/few_tokens.h"
#include "kernels/cpu/avx512/stored_source.h"

namespace sw {
namespace {

const char* refuses(const MatmulDesc& desc) { return avx2_k.refuses(desc); }

void run(const MatmulArgs& a) {
  const size_t stored_row_bytes = row_bytes(a.weight, a.n_in);
  with_format_k(a.weight, [&]<class Format>() {
    if (!run_stored<Format>(a, stored_row_bytes)) run_few<Format>(a, stored_row_bytes);
  });
}

}  // namespace

const MatmulKernel avx512_k = {.name = "avx512_k",
                               .isa = Isa::Avx512Vnni,
                               .refuses = refuses,
                               .act_bytes = act_q8_bytes,
                               .pack = pack_act_q8_avx2,
                               .run = run};

}  // namespace sw
#else
namespace sw {
const MatmulKernel avx512_k = not_built("avx512_k", Isa::Avx512Vnni);
}
#endif
