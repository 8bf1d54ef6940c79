// SPDX-License-Identifier: MIT
#pragma once
#include <string>

namespace sw {

/// Instruction sets that kernels are written for, weakest first. A kernel names the one it needs.
enum class Isa { Scalar, Avx2, Avx512, Avx512Vnni, AmxInt8 };

/// What this machine can run, found once by CPUID and XGETBV (and, for AMX, by asking the kernel for
/// permission to use tiles). On a CPU other than x86-64 only Scalar is there.
struct CpuFacts {
  std::string name = {};      ///< brand string
  std::string features = {};  ///< "avx2 fma f16c avx512f ..." for `version`
  bool avx2 = false;          ///< with FMA and F16C
  bool avx512 = false;        ///< F, BW, DQ, VL
  bool avx512_vnni = false;
  bool amx_int8 = false;
  int n_core = 1;  ///< hardware threads that this process may use
};
const CpuFacts& cpu_facts();

/// "avx2"
const char* isa_name(Isa isa);
bool cpu_has(Isa isa);

/// The best instruction set kernels may use: the machine's best, or what SW_ISA names. Throws
/// sw::Error if SW_ISA names one that is unknown or that the machine lacks.
Isa isa_limit();

}  // namespace sw
