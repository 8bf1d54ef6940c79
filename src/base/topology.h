// SPDX-License-Identifier: MIT
#pragma once

namespace sw {

/// The topology of the hardware threads that this process may use, from hwloc. Where a container hides the
/// machine, each usable thread counts as a core of one node. A quota of time counts as so many processors.
struct Topology {
  int n_processor = 1;  ///< hardware threads
  int n_core = 1;       ///< physical cores: the best number of threads for kernels that fill a core
  int n_numa_node = 1;
};
const Topology& topology();

}  // namespace sw
