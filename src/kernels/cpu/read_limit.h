// SPDX-License-Identifier: MIT
#pragma once
#include "base/thread_pool.h"

namespace sw::cpu {

/// See Backend::measure_read_limit().
double read_limit(ThreadPool& pool);

}  // namespace sw::cpu
