// SPDX-License-Identifier: MIT
#include "model/probe.h"

namespace sw {
namespace {

template <class T>
void see(Backend& backend, T* to, const T* from, int64_t n) {
  backend.copy_out(to, reinterpret_cast<const std::byte*>(from), static_cast<size_t>(n) * sizeof(T));
}

}  // namespace

TensorView<const float> ProbeView::hidden(DeviceState& at, int64_t n_token) {
  const TensorView<float>& residual = at.arrays().residual;
  if (at.backend().host_visible()) return residual.rows(0, n_token);
  const int64_t n_embd = residual.n_cols();
  floats_.resize(static_cast<size_t>(n_token * n_embd));
  see(at.backend(), floats_.data(), residual.data(), n_token * n_embd);
  at.backend().wait();
  return {floats_.data(), n_token, n_embd};
}

ProbeView::Routed ProbeView::routing(DeviceState& at, int64_t n_token) {
  const DeviceArrays& a = at.arrays();
  const int64_t n = n_token, n_router = a.router_logits.n_cols(), k = a.routing.ids.n_cols();
  if (at.backend().host_visible()) return {a.router_logits.rows(0, n), a.routing.first(n)};
  floats_.resize(static_cast<size_t>(n * (n_router + k)));
  ints_.resize(static_cast<size_t>(n * (k + 1)));
  float* weights = floats_.data() + n * n_router;
  int32_t* n_active = ints_.data() + n * k;
  Backend& backend = at.backend();
  see(backend, floats_.data(), a.router_logits.data(), n * n_router);
  see(backend, weights, a.routing.weights.data(), n * k);
  see(backend, ints_.data(), a.routing.ids.data(), n * k);
  see(backend, n_active, a.routing.n_active.data(), n);
  backend.wait();
  return {TensorView<const float>(floats_.data(), n, n_router),
          {TensorView<int32_t>(ints_.data(), n, k),
           TensorView<float>(weights, n, k),
           {n_active, static_cast<size_t>(n)}}};
}

}  // namespace sw
