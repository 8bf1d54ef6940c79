// SPDX-License-Identifier: MIT
#pragma once
#include <gtest/gtest.h>
#include <string>

#include "kernels/devices.h"

/// Declares `var`, the CPU and all GPUs, or skips the test, saying why, where there is none.
#define SW_GPUS_OR_SKIP(var)                              \
  std::string var##_why;                                  \
  ::sw::Devices var = ::sw::open_devices("", &var##_why); \
  if (var.size() == 1) GTEST_SKIP() << var##_why
