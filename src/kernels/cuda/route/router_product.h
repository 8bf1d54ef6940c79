// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/ops.h"

namespace sw::cuda {

/// args.normed and args.logits of few tokens, in one launch. The bits are those of rms_norm and linear for a
/// single token. False, and nothing is queued, where there are too many tokens, or rows too wide, ragged or
/// not aligned.
bool norm_and_multiply(const RouteDesc& d, const RouteArgs& args, OpContext& context);

}  // namespace sw::cuda
