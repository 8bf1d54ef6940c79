// SPDX-License-Identifier: MIT
#include "base/topology.h"

#include <algorithm>
#include <hwloc.h>

#include "base/cpu.h"
#include "base/cpu_quota.h"

namespace sw {
namespace {

Topology detect() {
  Topology found{.n_processor = cpu_facts().n_core, .n_core = cpu_facts().n_core};
  hwloc_topology_t machine = nullptr;
  if (hwloc_topology_init(&machine) != 0) return found;
  hwloc_bitmap_t usable = hwloc_bitmap_alloc();
  if (usable && hwloc_topology_load(machine) == 0 &&
      hwloc_get_cpubind(machine, usable, HWLOC_CPUBIND_PROCESS) == 0) {
    int n_core = 0;
    const int all_cores = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_CORE);
    for (int i = 0; i < all_cores; ++i) {
      const hwloc_obj_t core = hwloc_get_obj_by_type(machine, HWLOC_OBJ_CORE, static_cast<unsigned>(i));
      n_core += hwloc_bitmap_intersects(core->cpuset, usable);
    }
    if (n_core > 0) found.n_core = std::min(n_core, found.n_processor);
    found.n_numa_node = std::max(1, hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_NUMANODE));
  }
  hwloc_bitmap_free(usable);
  hwloc_topology_destroy(machine);
  // More threads than a quota has time for would all be stopped for the rest of each period.
  const auto most = std::max(1, static_cast<int>(cpu_quota().value_or(found.n_processor)));
  found.n_processor = std::min(found.n_processor, most);
  found.n_core = std::min(found.n_core, most);
  return found;
}

}  // namespace

const Topology& topology() {
  static const Topology found = detect();
  return found;
}

}  // namespace sw
