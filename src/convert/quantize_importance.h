// SPDX-License-Identifier: MIT
#pragma once
#include <string>

#include "convert/quantize.h"
#include "formats/gguf.h"

/// What quantize() does with an importance matrix.
namespace sw {

/// What the options' matrix knows of a tensor; null where it knows nothing, or there is none.
const Importance* importance_of(const QuantizeOptions& options, const std::string& tensor);

/// Throws sw::Error where the matrix cannot be of this model. Notes what it does not tell, and warns where it
/// was made with another routing than the model's own.
void check_importance(const GgufFile& file, const QuantizeOptions& options, QuantizeReport& report);

/// The keys by which a file says which matrix it was made with; mainline's.
void describe_importance(const QuantizeOptions& options, GgufHeader& header);

}  // namespace sw
