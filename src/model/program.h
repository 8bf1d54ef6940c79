// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <deque>
#include <string>
#include <variant>
#include <vector>

#include "arch/rope.h"
#include "kernels/ops.h"

/// A model as a flat list of instructions, each with its device. compile() makes it, once; planning memory,
/// placing weights, running, recording and explaining are folds over it, and nothing else knows what a layer
/// is made of.
namespace sw {

/// The arrays [n_token, n_embd] that a device has.
enum class Activation : uint8_t {
  Residual,  ///< the residual, on one device at a time
  Normed,    ///< the router's normed input: experts, shared experts and a dense FFN beside them read it
  Part       ///< what a device adds to a residual that is elsewhere, or that is to be added later
};

/// What goes from one device to another.
enum class Payload : uint8_t {
  Residual,
  Routed,  ///< normed activations and their routing
  Part
};

/// The instructions. `device` is an index into Devices, 0 the CPU.
namespace program {

struct Embed {
  int device = 0;
  BoundOp<EmbedDesc> op = {};
};
/// Mixes tokens, one of SW_MIXER's operations: a block's first step.
template <class Desc>
struct Mix {
  int device = 0;
  int block = 0;  ///< what the cache keeps of this one is read and written
  int group = 0;  ///< of the cache
  BoundOp<Desc> op = {};
};
struct Route {
  int device = 0;
  BoundOp<RouteDesc> op = {};
};
/// The experts of a layer that live on one device.
struct Experts {
  int device = 0;
  Activation out = Activation::Residual;
  BoundOp<ExpertsDesc> op = {};
};
/// A dense FFN, or shared experts.
struct Ffn {
  int device = 0;
  Activation in = Activation::Residual, out = Activation::Residual;
  BoundOp<FfnDesc> op = {};
};
struct Head {
  int device = 0;
  BoundOp<HeadDesc> op = {};
};
/// Part = 0.
struct Zero {
  int device = 0;
};
/// Residual += Part.
struct AddPart {
  int device = 0;
};
/// Copies the batch's rows. Queued on the receiver behind the sender's last Mark; a receiver that the host
/// sees has them once it awaited the sender.
struct Send {
  int from = 0, to = 0;
  Payload what = Payload::Residual;
};
/// Marks a point in a device's queue; the last mark counts.
struct Mark {
  int device = 0;
};
/// The host waits for a device.
struct Await {
  enum class Until : uint8_t { Marked, Idle };
  int device = 0;
  Until until = Until::Idle;
};
/// What a probe sees; nothing without one.
struct ShowHidden {
  int device = 0;
  int layer = 0;
  int part = -1;  ///< behind this block of the layer; -1: behind the whole layer
};
struct ShowRouting {
  int device = 0;
  int moe_layer = 0;
};

}  // namespace program

using Instruction = std::variant<
#define SW_MIXER(name) program::Mix<name##Desc>,
#include "arch/roles.inc"
    program::Embed, program::Route, program::Experts, program::Ffn, program::Head, program::Zero,
    program::AddPart, program::Send, program::Mark, program::Await, program::ShowHidden,
    program::ShowRouting>;

/// What a pass does, in order.
struct Program {
  std::vector<Instruction> layers = {};   ///< from the embedding to the last layer
  std::vector<Instruction> to_head = {};  ///< brings the residual to the head's device
  program::Head head = {};
  int64_t n_embd = 0, n_vocab = 0;
  int n_router = 0;       ///< columns of the widest router; 0 in a dense model
  int n_slot = 0;         ///< most experts per token
  int n_cache_group = 0;  ///< see cache_groups()
  RopeTable rope = {};
  RopeTable long_rope = {};  ///< with longrope: of contexts longer than the original one
  int n_ctx_orig = 0;        ///< the original one

  /// Of sequences of at most `n_ctx` tokens.
  const RopeTable& rope_of(int64_t n_ctx) const {
    return long_rope.inv_freq.empty() || n_ctx <= n_ctx_orig ? rope : long_rope;
  }
  std::deque<std::vector<ExpertMatrix>> tables = {};  ///< that the experts' stacks point at
  std::string reasons = {};  ///< a line for each choice of a kernel, where they were asked for
};

/// Calls `visit(instruction)` with every instruction that runs an operation: all have `device` and `op`.
template <class AnyProgram, class Visit>
void for_each_op(AnyProgram& program, Visit&& visit) {
  const auto visit_op = [&](auto& instruction) {
    if constexpr (requires { instruction.op; }) visit(instruction);
  };
  for (auto& instruction : program.layers) std::visit(visit_op, instruction);
  visit(program.head);
}

/// Calls `visit(send)` for all that goes from one device to another.
template <class Visit>
void for_each_send(const Program& program, Visit&& visit) {
  for (const std::vector<Instruction>* part : {&program.layers, &program.to_head}) {
    for (const Instruction& instruction : *part) {
      if (const auto* send = std::get_if<program::Send>(&instruction)) visit(*send);
    }
  }
}

/// What a device must have for the program's instructions on it.
struct DeviceNeeds {
  bool used = false;    ///< any operation at all
  bool routed = false;  ///< normed activations and routing
  bool part = false;
  bool head = false;
  size_t scratch_bytes = 0;

  friend bool operator==(const DeviceNeeds&, const DeviceNeeds&) = default;
};
struct BatchSizes {
  int64_t n_token = 0, n_logit_row = 0;
  int n_thread = 1;
};
/// By device; `n_device` of them.
std::vector<DeviceNeeds> needs_of(const Program& program, int n_device, const BatchSizes& sizes);

/// One instruction, without its kernel: "send:routed@1>0".
std::string short_name(const Instruction& instruction);

/// The instructions as text, equal layers once; behind them the reasons of the kernels' choice.
std::string explain(const Program& program);

}  // namespace sw
