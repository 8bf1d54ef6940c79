// SPDX-License-Identifier: MIT
#include "base/cpu.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sched.h>
#include <thread>

#include "base/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace sw {
namespace {

constexpr Isa kAllIsas[] = {Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Avx512Vnni, Isa::AmxInt8};

int count_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

#if defined(__x86_64__)
struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf = 0) {
  Registers r;
  if (!__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d)) return {};
  return r;
}

/// Which register files the operating system saves: XCR0.
uint64_t enabled_state() {
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

/// Linux gives AMX tiles only to a process that asked.
bool request_amx() {
#if defined(SYS_arch_prctl)
  constexpr int kArchReqXcompPerm = 0x1023, kXfeatureXtiledata = 18;
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureXtiledata) == 0;
#else
  return false;
#endif
}

std::string brand() {
  if (cpuid(0x80000000).a < 0x80000004) return "unknown x86-64";
  char text[49] = {};
  for (unsigned i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002 + i);
    std::memcpy(text + 16 * i, &r, 16);
  }
  std::string name = text;
  name.erase(0, name.find_first_not_of(' '));
  name.erase(name.find_last_not_of(' ') + 1);
  return name;
}

void detect(CpuFacts& f) {
  f.name = brand();
  const Registers one = cpuid(1), seven = cpuid(7), seven_1 = cpuid(7, 1);
  const bool osxsave = (one.c >> 27) & 1;
  const uint64_t state = osxsave ? enabled_state() : 0;
  const bool ymm = (state & 0x6) == 0x6, zmm = ymm && (state & 0xe0) == 0xe0;
  const bool tiles = (state & 0x60000) == 0x60000;
  const auto have = [&](const char* name, bool present) {
    if (present) f.features += (f.features.empty() ? "" : " ") + std::string(name);
    return present;
  };
  const bool fma = have("fma", ymm && (one.c >> 12) & 1), f16c = have("f16c", ymm && (one.c >> 29) & 1);
  const bool avx2 = have("avx2", ymm && (seven.b >> 5) & 1);
  f.avx2 = avx2 && fma && f16c;
  const bool avx512f = have("avx512f", zmm && (seven.b >> 16) & 1);
  const bool dq = have("avx512dq", avx512f && (seven.b >> 17) & 1);
  const bool bw = have("avx512bw", avx512f && (seven.b >> 30) & 1);
  const bool vl = have("avx512vl", avx512f && (seven.b >> 31) & 1);
  f.avx512 = f.avx2 && avx512f && dq && bw && vl;
  have("avx512vbmi", avx512f && (seven.c >> 1) & 1);
  f.avx512_vnni = have("avx512vnni", f.avx512 && (seven.c >> 11) & 1);
  have("avx512bf16", avx512f && (seven_1.a >> 5) & 1);
  have("avxvnni", ymm && (seven_1.a >> 4) & 1);
  have("amx-bf16", tiles && (seven.d >> 22) & 1);
  const bool amx_tile = have("amx-tile", tiles && (seven.d >> 24) & 1);
  const bool amx_int8 = have("amx-int8", tiles && (seven.d >> 25) & 1);
  f.amx_int8 = f.avx512_vnni && amx_tile && amx_int8 && request_amx();
}
#else
void detect(CpuFacts& f) { f.name = "not x86-64"; }
#endif

}  // namespace

const CpuFacts& cpu_facts() {
  static const CpuFacts facts = [] {
    CpuFacts f;
    f.n_core = count_cores();
    detect(f);
    return f;
  }();
  return facts;
}

const char* isa_name(Isa isa) {
  constexpr const char* kNames[] = {"scalar", "avx2", "avx512", "avx512vnni", "amxint8"};
  return kNames[static_cast<int>(isa)];
}

bool cpu_has(Isa isa) {
  const CpuFacts& f = cpu_facts();
  const bool present[] = {true, f.avx2, f.avx512, f.avx512_vnni, f.amx_int8};
  return present[static_cast<int>(isa)];
}

Isa isa_limit() {
  static const Isa limit = [] {
    Isa best = Isa::Scalar;
    for (const Isa isa : kAllIsas) {
      if (cpu_has(isa)) best = isa;
    }
    const char* wanted = std::getenv("SW_ISA");
    if (!wanted || !*wanted) return best;
    for (const Isa isa : kAllIsas) {
      if (std::strcmp(wanted, isa_name(isa)) != 0) continue;
      if (cpu_has(isa)) return isa;
      throw Error({.what = "this machine lacks the instruction set that SW_ISA asks for",
                   .expected = "at most " + std::string(isa_name(best)),
                   .got = wanted});
    }
    throw Error({.what = "unknown instruction set in SW_ISA",
                 .expected = "scalar, avx2, avx512, avx512vnni or amxint8",
                 .got = wanted});
  }();
  return limit;
}

}  // namespace sw
