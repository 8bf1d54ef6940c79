// SPDX-License-Identifier: MIT
#include "model/exchange.h"

namespace sw {

namespace {

/// The first rows.
template <class T>
DeviceCopy copy_of(TensorView<T> source, TensorView<T> target, int64_t n_row) {
  return {.to = reinterpret_cast<std::byte*>(target.data()),
          .from = reinterpret_cast<const std::byte*>(source.data()),
          .size_bytes = static_cast<size_t>(n_row * source.n_cols()) * sizeof(T)};
}

void copy(Backend& from, Backend& to, std::span<const DeviceCopy> copies) {
  if (!to.host_visible()) return to.copy_from(from, copies);
  for (const DeviceCopy& c : copies) from.copy_out(c.to, c.from, c.size_bytes);
}

}  // namespace

void LocalExchange::send(const program::Send& send, int64_t n_token) {
  Backend &from = state(send.from).backend(), &to = state(send.to).backend();
  const DeviceArrays &source = state(send.from).arrays(), &target = state(send.to).arrays();
  const auto n_active = [](const DeviceArrays& a) {
    return TensorView<int32_t>(a.routing.n_active.data(), std::ssize(a.routing.n_active), 1);
  };
  switch (send.what) {
    case Payload::Residual: {
      const DeviceCopy residual = copy_of(source.residual, target.residual, n_token);
      copy(from, to, {&residual, 1});
      // The next pass begins here while this one goes on there, and overwrites the residual.
      from.wait_for(to);
      break;
    }
    case Payload::Routed: {
      router_ = send.from;
      const DeviceCopy routed[] = {copy_of(source.normed, target.normed, n_token),
                                   copy_of(source.routing.ids, target.routing.ids, n_token),
                                   copy_of(source.routing.weights, target.routing.weights, n_token),
                                   copy_of(n_active(source), n_active(target), n_token)};
      copy(from, to, routed);
      break;
    }
    case Payload::Part: {
      const DeviceCopy part = copy_of(source.part, target.part, n_token);
      copy(from, to, {&part, 1});
      // What follows overwrites the part, and the routing that it was made from: on its router, too, which
      // may be neither, where the residual has gone on meanwhile.
      from.wait_for(to);
      if (router_ != send.to) state(router_).backend().wait_for(to);
      break;
    }
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
