// SPDX-License-Identifier: MIT
#include "kernels/cpu/linear.h"

namespace sw {
namespace {
using namespace cpu;

struct Buffers {
  template <class Take>
  Buffers(const RouteDesc& d, int64_t n_token, int, Take& take) {
    take_packed(take, packed, d.router, n_token);
  }
  std::byte* packed = nullptr;  ///< [n_token] normed
};

/// Rows [rows.begin, rows.end) of a batch's routing.
Routing routing_rows(const Routing& all, Range rows) {
  return {all.ids.rows(rows.begin, rows.size()), all.weights.rows(rows.begin, rows.size()),
          all.n_active.subspan(static_cast<size_t>(rows.begin), static_cast<size_t>(rows.size()))};
}

void run(const RouteDesc& d, const RouteArgs& args, OpContext& context) {
  const int64_t n_token = args.batch.n_token;
  const Buffers b(d, n_token, context.pool.size(), context.scratch);
  for_tokens(context.pool, n_token, d.router.n_in(), [&](int64_t t, int) {
    context.vector.rms_norm(args.x.row(t), d.norm, d.rms_eps, d.router.n_in(), args.normed.row(t));
    pack_row(d.router, args.normed.row(t), t, b.packed);
  });
  multiply_all(context.pool, {&d.router, b.packed, args.logits});
  constexpr int64_t kLeastTokens = 4;
  context.pool.for_ranges(n_token, kLeastTokens, [&](Range tokens, int worker) {
    for (int64_t t = tokens.begin; d.logit_bias && t < tokens.end; ++t)
      context.vector.add_scaled(args.logits.row(t), 1.0f, d.logit_bias, d.router.n_out());
    Routing rows = routing_rows(args.routing, tokens);
    const std::span policy(args.batch.policy + tokens.begin, static_cast<size_t>(tokens.size()));
    route(d.spec, args.policies, d.moe_layer, policy, args.logits.rows(tokens.begin, tokens.size()),
          d.bias.span(), context.route_scratch[static_cast<size_t>(worker)], rows);
  });
  if (args.counts.wanted())
    add_rows(args.counts, args.routing);  // on one thread: the entropy's bits are fixed
  count_dense(context.counters, d, n_token);
}

}  // namespace

extern const RouteKernel cpu_route;
const RouteKernel cpu_route{.name = "cpu_route", .scratch_bytes = scratch_of<Buffers>, .run = run};

}  // namespace sw
