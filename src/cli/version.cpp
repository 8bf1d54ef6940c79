// SPDX-License-Identifier: MIT
#include <fmt/core.h>
#include <memory>

#include "base/cpu.h"
#include "base/topology.h"
#include "cli/command.h"
#include "cli/placement_flags.h"
#include "kernels/matmul.h"
#include "kernels/vector.h"

namespace sw::cli {
namespace {

int run() {
  const CpuFacts& cpu = cpu_facts();
  fmt::print("switchyard {} (commit {}, {} {}, {})\n", SW_VERSION, SW_COMMIT, SW_COMPILER, __VERSION__,
             SW_BUILD_TYPE);
  fmt::print("CPU:       {}, {} usable threads on {} cores, {} NUMA node{}\n", cpu.name,
             topology().n_processor, topology().n_core, topology().n_numa_node,
             topology().n_numa_node == 1 ? "" : "s");
  fmt::print("features:  {}\n", cpu.features.empty() ? "none of ours" : cpu.features);
  const Isa limit = isa_limit();
  fmt::print("kernels:   up to {}; element-wise and attention: {}\n", isa_name(limit),
             choose_vector(limit).name);
#define SW_TYPE(type, id) \
  fmt::print("  {:<5} {}\n", #type, choose_matmul({.weight = Type::type, .n_in = 4096}, limit).name);
#include "quant/types.inc"
#undef SW_TYPE
  fmt::print("{}", describe_devices());
  return kExitOk;
}

}  // namespace

void add_version(CLI::App& program, Action& action) {
  CLI::App* command =
      program.add_subcommand("version", "show the build, the CPU, the GPUs and the kernels in use");
  on_run(command, action, [] { return run(); });
}

}  // namespace sw::cli
