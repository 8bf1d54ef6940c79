// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/ops.h"

/// The dense network and the shared expert, also as part of another operation.
namespace sw::cuda {

size_t ffn_scratch_bytes(const FfnDesc& d, int64_t n_token);
void run_ffn(const FfnDesc& d, const FfnArgs& args, OpContext& context);

}  // namespace sw::cuda
