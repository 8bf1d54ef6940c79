// SPDX-License-Identifier: MIT
#pragma once
#include <memory>

#include "kernels/backend.h"
#include "kernels/cuda/queue.h"

/// What a GPU's profile is made of.
namespace sw::cuda {

/// Marks are events of the queue. They cannot be taken while the queue is being recorded.
std::unique_ptr<Timeline> make_timeline(const Queue& queue);

/// See Backend::measure_read_limit().
double stream_limit(const Queue& queue);

}  // namespace sw::cuda
