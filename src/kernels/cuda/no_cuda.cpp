// SPDX-License-Identifier: MIT
// What a program that was built without CUDA says.
#ifndef SWITCHYARD_CUDA
#include "base/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace sw::cuda {

int device_count(std::string* why) {
  if (why) *why = "built without CUDA (preset cuda)";
  return 0;
}

std::unique_ptr<Backend> open(int index, Device, PeerAccess) {
  throw SystemError(
      {.what = "no such GPU", .where = "CUDA" + std::to_string(index), .got = "built without CUDA"});
}

}  // namespace sw::cuda
#endif
