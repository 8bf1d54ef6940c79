// SPDX-License-Identifier: MIT
#pragma once
#include "convert/quant_mix.h"
#include "convert/quantize.h"
#include "formats/gguf.h"

/// Which tensor becomes what, before any of them is written.
namespace sw {

/// Throws sw::Error for a part of a split without the others: it would come out looking like a whole model.
void refuse_lone_part(const GgufFile& file);

/// Decides the type of every tensor by the user's rules and then by a mix, without looking at any weight.
/// Without a mix, tensors that no rule decides for are left open, as they are for now; see
/// QuantizedTensor::open.
/// Throws sw::Error where a rule does not fit.
QuantizeReport plan_types(const GgufFile& file, const QuantMix* mix, const QuantizeOptions& options);

/// Gives a tensor a type, and keeps the report's sums. Throws sw::Error where that would quantise a second
/// time without leave.
void set_type(QuantizeReport& report, size_t i, Type type, const QuantizeOptions& options);

}  // namespace sw
