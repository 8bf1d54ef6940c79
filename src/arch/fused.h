// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <string_view>

#include "arch/role.h"

/// Experts whose gate and up matrices are one tensor [n_expert, 2 n_ff, n_embd], the gate's rows first: some
/// GGUF files have them, and checkpoints that transformers 5 wrote.
namespace sw {

/// "blk.3.ffn_gate_exps.weight" -> "blk.3.ffn_gate_up_exps.weight"; empty for other roles.
std::string fused_gguf_name(Role role, std::string_view gguf);
/// "model.layers.3.mlp.experts.{e}.w1.weight" -> "model.layers.3.mlp.experts.gate_up_proj", of the down
/// matrices "down_proj"; empty for other roles. A name without {e} is the fused one already.
std::string fused_hf_name(Role role, std::string_view hf);

}  // namespace sw
