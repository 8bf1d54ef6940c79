// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <vector>

namespace sw {

/// One kernel held against the scalar reference on this machine.
struct KernelCheck {
  std::string what = {};  ///< "avx2_k Q4_K"
  double error = 0;       ///< root of the error's power over the result's
  double bound = 0;
  std::string skipped = {};  ///< why it could not run here, or empty
  bool ok() const { return !skipped.empty() || error <= bound; }
};

/// Runs every variant of the matrix-product and element-wise lists on random data. About a second.
std::vector<KernelCheck> check_kernels();

}  // namespace sw
