// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/ref/ref_math.h"

namespace sw {
namespace {

void run(const RouteDesc& d, const RouteArgs& args, OpContext& context) {
  const int64_t n_token = args.batch.n_token;
  for (int64_t t = 0; t < n_token; ++t) {
    const ref::Vector normed = ref::rms_norm(args.x.row(t), d.norm, d.rms_eps, d.router.n_in());
    std::copy(normed.begin(), normed.end(), args.normed.row(t));
    ref::Vector logits = ref::multiply(d.router.weight, normed.data());
    if (d.logit_bias) ref::add_scaled(logits.data(), 1.0f, d.logit_bias.span());
    std::copy(logits.begin(), logits.end(), args.logits.row(t));
  }
  route(d.spec, args.policies, d.moe_layer, {args.batch.policy, static_cast<size_t>(n_token)}, args.logits,
        d.bias.span(), context.route_scratch[0], args.routing);
  if (args.counts.wanted()) add_rows(args.counts, args.routing);
}

}  // namespace

extern const RouteKernel ref_route;
const RouteKernel ref_route{.name = "ref_route", .run = run};

}  // namespace sw
