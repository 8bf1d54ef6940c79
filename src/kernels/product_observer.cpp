// SPDX-License-Identifier: MIT
#include "kernels/product_observer.h"

#include "base/error.h"
#include "kernels/variants/all.h"

namespace sw {
namespace {

/// Kernels have no state of their own, so the one who watches is the process's.
ProductObserver* g_observer = nullptr;

/// A matrix may be cut into tasks; the one with its first rows shows the inputs.
template <const MatmulKernel& kInner>
void run(const MatmulArgs& args) {
  if (g_observer && args.row_begin == 0) g_observer->on_product(args);
  kInner.run(args);
}

/// Both read f32 rows, act_bytes(n_in) apart.
template <const MatmulKernel& kInner>
MatmulKernel observed(const char* name) {
  return {.name = name,
          .isa = kInner.isa,
          .refuses = kInner.refuses,
          .act_bytes = kInner.act_bytes,
          .pack = kInner.pack,
          .run = run<kInner>};
}

const MatmulKernel& scalar() {
  static const MatmulKernel kernel = observed<ref_matmul>("observed_ref");
  return kernel;
}

}  // namespace

const float* ProductObserver::input(const MatmulArgs& args, int64_t t) {
  return reinterpret_cast<const float*>(args.act(t, scalar().act_bytes(args.n_in)));
}

Observation::Observation(ProductObserver& observer) {
  SW_ASSERT(!g_observer);
  g_observer = &observer;
}
Observation::~Observation() { g_observer = nullptr; }

const MatmulKernel& observed_matmul(Isa limit) {
  static const MatmulKernel avx2 = observed<avx2_f>("observed_f");
  return limit >= avx2.isa && cpu_has(avx2.isa) ? avx2 : scalar();
}

}  // namespace sw
