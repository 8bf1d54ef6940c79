// SPDX-License-Identifier: MIT
#include "kernels/expert_table.h"

#include <algorithm>

namespace sw {

ExpertStack list_experts(std::span<const WeightView> experts, std::vector<ExpertMatrix>& table) {
  ExpertStack stack{.n_expert = std::ssize(experts)};
  table.assign(experts.size(), {});
  Shape shape;
  for (size_t e = 0; e < experts.size(); ++e) {
    const WeightView& matrix = experts[e];
    if (matrix.empty()) continue;
    SW_ASSERT(matrix.shape.n_dims() == 2 && (stack.n_here == 0 || matrix.shape == shape));
    shape = matrix.shape;
    table[e] = {matrix.data, matrix.type};
    ++stack.n_here;
    const auto known = [&](const ExpertFormat& format) { return format.type == matrix.type; };
    if (std::none_of(stack.formats.begin(), stack.formats.end(), known))
      stack.formats.push_back({.type = matrix.type});
  }
  SW_ASSERT(stack.n_here > 0);
  stack.n_out = shape[0];
  stack.n_in = shape[1];
  stack.table = table.data();
  const size_t size = row_bytes(table[0].type, stack.n_in) * static_cast<size_t>(stack.n_out);
  bool even = stack.n_here == stack.n_expert && stack.formats.size() == 1;
  for (size_t e = 0; even && e < table.size(); ++e) even = table[e].data == table[0].data + e * size;
  if (even) stack.even = table[0].data;
  return stack;
}

}  // namespace sw
