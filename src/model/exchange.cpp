// SPDX-License-Identifier: MIT
#include "model/exchange.h"

namespace sw {

namespace {

/// Copies the first rows.
template <class T>
void copy(Backend& from, Backend& to, TensorView<T> source, TensorView<T> target, int64_t n_row) {
  const auto bytes = static_cast<size_t>(n_row * source.n_cols()) * sizeof(T);
  const auto* data = reinterpret_cast<const std::byte*>(source.data());
  if (to.host_visible()) {
    from.copy_out(target.data(), data, bytes);
  } else {
    to.copy_from(from, reinterpret_cast<std::byte*>(target.data()), data, bytes);
  }
}

}  // namespace

void LocalExchange::send(const program::Send& send, int64_t n_token) {
  Backend &from = state(send.from).backend(), &to = state(send.to).backend();
  const DeviceArrays &source = state(send.from).arrays(), &target = state(send.to).arrays();
  const auto n_active = [](const DeviceArrays& a) {
    return TensorView<int32_t>(a.routing.n_active.data(), std::ssize(a.routing.n_active), 1);
  };
  switch (send.what) {
    case Payload::Residual:
      copy(from, to, source.residual, target.residual, n_token);
      break;
    case Payload::Routed:
      copy(from, to, source.normed, target.normed, n_token);
      copy(from, to, source.routing.ids, target.routing.ids, n_token);
      copy(from, to, source.routing.weights, target.routing.weights, n_token);
      copy(from, to, n_active(source), n_active(target), n_token);
      break;
    case Payload::Part:
      copy(from, to, source.part, target.part, n_token);
      break;
  }
  ++n_sent_;
}

void LocalExchange::mark(int device) { state(device).backend().record(); }

void LocalExchange::await(const program::Await& await) {
  Backend& backend = state(await.device).backend();
  if (await.until == program::Await::Until::Marked) {
    backend.wait_recorded();
  } else {
    backend.wait();
  }
}

void LocalExchange::add_part(int device, int64_t n_token) {
  const DeviceArrays& a = state(device).arrays();
  state(device).backend().add(a.residual.data(), a.part.data(), n_token * a.residual.n_cols());
}

}  // namespace sw
