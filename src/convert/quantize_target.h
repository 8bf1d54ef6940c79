// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>

#include "base/thread_pool.h"
#include "convert/quantize.h"
#include "formats/gguf.h"

/// quantize() with options.target.
namespace sw {

/// Measures the formats of all open tensors of a report, whose file_bytes are those of a file in which they
/// are as they were, and gives each the one that makes the best file of the target's size. Throws sw::Error,
/// before it measures, where not even the smallest formats meet it.
void choose_types(const GgufFile& file, const QuantizeOptions& options, ThreadPool& pool,
                  QuantizeReport& report);

/// general.file_type of a file whose formats were chosen one by one: that of the format with the most bytes,
/// of those that have a number.
uint32_t file_type_of(const QuantizeReport& report);

}  // namespace sw
