// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <xxhash.h>

#include "base/error.h"

namespace sw {

/// XXH3, 64 bits: finds what a disk or a copy damaged. No protection from somebody who means harm.
class Checksum {
 public:
  Checksum() : state_(XXH3_createState()) { SW_ASSERT(state_ && XXH3_64bits_reset(state_.get()) == XXH_OK); }

  void add(std::span<const std::byte> bytes) {
    SW_ASSERT(XXH3_64bits_update(state_.get(), bytes.data(), bytes.size()) == XXH_OK);
  }
  uint64_t value() const { return XXH3_64bits_digest(state_.get()); }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

}  // namespace sw
