// SPDX-License-Identifier: MIT
// A safetensors file: parsed, and every value of every tensor read.
#include "formats/safetensors.h"
#include "fuzz/mutate_json.h"
#include "fuzz/outcome.h"
#include "fuzz/target.h"

namespace sw::fuzz {

int fuzz_one(Bytes input) {
  const std::string name = "fuzz.safetensors";
  return outcome(name + ", ", [&] {
    const Safetensors file(input, name);
    for (const auto& [tensor_name, tensor] : file.tensors()) {
      const auto n = static_cast<size_t>(tensor.shape.n_elements());
      SW_ASSERT(Safetensors::to_f32(tensor).size() == n);
      SW_ASSERT(&file.require(tensor_name) == &tensor);
    }
  });
}

std::string mutate(const std::string& input, Rng& rng) { return mutate_safetensors(input, rng); }

}  // namespace sw::fuzz
