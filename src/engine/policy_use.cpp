// SPDX-License-Identifier: MIT
#include "engine/policy_use.h"

#include <bit>

namespace sw {

void PolicyUse::add_to(PageKey& key) const {
  for (int l = 0; l < table_->n_moe_layer(); ++l) {
    const LayerPolicy& row = table_->at(id_, l);
    for (const uint32_t word : {static_cast<uint32_t>(row.k), static_cast<uint32_t>(row.min_k),
                                std::bit_cast<uint32_t>(row.threshold), row.flags})
      key.add(word);
    for (const uint32_t word : table_->mask(id_, l)) key.add(word);
  }
}

}  // namespace sw
