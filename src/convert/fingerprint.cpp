// SPDX-License-Identifier: MIT
#include "convert/fingerprint.h"

#include <algorithm>

namespace sw {

void Fingerprint::add(const GgufFile& file, uint64_t n_sample) {
  constexpr uint64_t kSampleBytes = 64;
  for (const GgufTensor& tensor : file.tensors()) {
    add(tensor.name);
    const uint64_t step = std::max(kSampleBytes, tensor.size_bytes / n_sample);
    for (uint64_t i = 0; i < n_sample && i * step < tensor.size_bytes; ++i) {
      add({tensor.data + i * step, std::min(kSampleBytes, tensor.size_bytes - i * step)});
    }
  }
}

}  // namespace sw
