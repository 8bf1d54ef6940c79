// SPDX-License-Identifier: MIT
#include "arch/fused.h"

namespace sw {

std::string fused_gguf_name(Role role, std::string_view gguf) {
  if (role != Role::ExpertGate && role != Role::ExpertUp) return {};
  const std::string_view own = role == Role::ExpertGate ? "ffn_gate_exps" : "ffn_up_exps";
  std::string name(gguf);
  const size_t at = name.find(own);
  return at == std::string::npos ? "" : name.replace(at, own.size(), "ffn_gate_up_exps");
}

std::string fused_hf_name(Role role, std::string_view hf) {
  if (!is_expert(role)) return {};
  const size_t at = hf.find("{e}");
  if (at == std::string_view::npos) return std::string(hf);
  return std::string(hf.substr(0, at)) + (role == Role::ExpertDown ? "down_proj" : "gate_up_proj");
}

}  // namespace sw
