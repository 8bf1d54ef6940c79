// SPDX-License-Identifier: MIT
#include "model/compile.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "model/cache_groups.h"
#include "model/describe.h"

namespace sw {
namespace {

using namespace program;

class Compiler {
 public:
  Compiler(const ModelView& model, std::span<const DeviceFacts> devices, const Placement& placement,
           const ProgramOptions& options, Program& program)
      : model_(model),
        devices_(devices),
        placement_(placement),
        options_(options),
        describe_{model.arch, model.hparams, model.weights},
        groups_(cache_groups(model.arch, model.hparams)),
        program_(program) {}

  void compile();

 private:
  /// A layer's experts from their routing to where their sum joins the residual.
  struct Moe {
    int home = 0;                  // the router's device
    std::vector<int> remote = {};  // the other devices that have a part of the layer, rising
    std::vector<Experts> experts = {};
    std::optional<Ffn> shared = {};
    bool deferred = false;  // the residual goes on without them for a while
  };

  const BlockPlacement& at(int block) const { return placement_.blocks[static_cast<size_t>(block)]; }
  const DeviceFacts& facts(int device) const { return devices_[static_cast<size_t>(device)]; }
  /// The group of the cache that serves a block.
  int group_of(int block) const {
    const auto serves = [&](const CacheGroup& g) {
      return std::ranges::find(g.blocks, block) != g.blocks.end();
    };
    return static_cast<int>(std::ranges::find_if(groups_, serves) - groups_.begin());
  }
  template <class T>
  void emit(T instruction) {
    program_.layers.emplace_back(std::move(instruction));
  }
  template <class Desc>
  BoundOp<Desc> bind(Desc desc, int device, bool with_reasons);
  void move_residual(int device, std::vector<Instruction>& to);
  void make_rope();
  void compile_layer(int layer);
  template <class Desc>
  void mix(int block, bool with_reasons);
  void dense(int block, bool normed, bool with_reasons);
  Moe begin_moe(int block, bool deferred);
  void end_moe(const Moe& moe);
  void bind_experts(Moe& moe, int block, bool with_reasons);
  void send_routed(const Moe& moe);
  void run_part(const Moe& moe, int device);
  void add_part(int from);

  const ModelView& model_;
  std::span<const DeviceFacts> devices_;
  const Placement& placement_;
  const ProgramOptions& options_;
  const Describe describe_;
  const std::vector<CacheGroup> groups_;
  Program& program_;
  int residual_ = 0;   // the device where the residual is
  int moe_layer_ = 0;  // MoE layers so far
};

template <class Desc>
BoundOp<Desc> Compiler::bind(Desc desc, int device, bool with_reasons) {
  std::string* why = options_.explain && with_reasons ? &program_.reasons : nullptr;
  if (why && devices_.size() > 1) *why += "on " + facts(device).name + ": ";
  return bind_op(std::move(desc),
                 {.limit = isa_limit(),
                  .references = options_.references,
                  .row_invariant = options_.invariant,
                  .may_pack = options_.may_pack,
                  .observe_products = options_.observe_products,
                  .device = facts(device).kind},
                 why);
}

void Compiler::move_residual(int device, std::vector<Instruction>& to) {
  if (device == residual_) return;
  to.emplace_back(Mark{residual_});
  to.emplace_back(Send{residual_, device, Payload::Residual});
  if (facts(device).host_visible) to.emplace_back(Await{residual_, Await::Until::Idle});
  residual_ = device;
}

template <class Desc>
void Compiler::mix(int block, bool with_reasons) {
  const int device = at(block).attention;
  move_residual(device, program_.layers);
  emit(Mix<Desc>{device, block, group_of(block), bind(describe_.mixer<Desc>(block), device, with_reasons)});
}

/// `normed`: reads what the block's router normed.
void Compiler::dense(int block, bool normed, bool with_reasons) {
  const int device = at(block).ffn;
  move_residual(device, program_.layers);
  emit(Ffn{device, normed ? Activation::Normed : Activation::Residual, Activation::Residual,
           bind(describe_.dense(block, normed), device, with_reasons)});
}

void Compiler::bind_experts(Moe& moe, int block, bool with_reasons) {
  const std::vector<int>& experts = at(block).experts;
  std::set<int> devices(experts.begin(), experts.end());
  std::vector<int> order;
  if (devices.erase(moe.home) > 0) order.push_back(moe.home);
  order.insert(order.end(), devices.begin(), devices.end());
  std::set<int> remote;
  if (auto shared = describe_.shared(block)) {
    const int device = at(block).shared;
    moe.shared = Ffn{device, Activation::Normed, Activation::Residual, bind(*shared, device, with_reasons)};
    remote.insert(device);
  }
  for (const int device : order) {
    const bool first = device == order.front();  // adds the identity experts' share
    ExpertsDesc desc = describe_.experts(block, experts, device, first, program_.n_slot, program_.tables);
    if (moe.shared && moe.shared->device == device && facts(device).kind == DeviceKind::Cuda) {
      desc.shared = moe.shared->op.desc;  // a GPU runs it along with the others
      moe.shared.reset();
    }
    moe.experts.push_back(
        {device, Activation::Residual, bind(std::move(desc), device, with_reasons && first)});
    remote.insert(device);
  }
  remote.erase(moe.home);
  moe.remote.assign(remote.begin(), remote.end());
}

void Compiler::send_routed(const Moe& moe) {
  if (moe.remote.empty()) return;
  emit(Mark{moe.home});
  for (const int device : moe.remote) emit(Send{moe.home, device, Payload::Routed});
  emit(Mark{moe.home});  // the CPU's part waits for this, not for what is queued next
}

/// What `device` has of the experts and shared experts: added to the residual where that is on the same
/// device and nothing is deferred, or else to its part.
void Compiler::run_part(const Moe& moe, int device) {
  const bool adds = !moe.deferred && device == moe.home;
  const Activation out = adds ? Activation::Residual : Activation::Part;
  if (!adds) emit(Zero{device});
  for (const Experts& part : moe.experts) {
    if (part.device == device) emit(Experts{device, out, part.op});
  }
  if (moe.shared && moe.shared->device == device) emit(Ffn{device, Activation::Normed, out, moe.shared->op});
}

void Compiler::add_part(int from) {
  if (from != residual_) {
    emit(Mark{from});
    emit(Send{from, residual_, Payload::Part});
    if (facts(residual_).host_visible) emit(Await{from, Await::Until::Idle});
  }
  emit(AddPart{residual_});
}

/// Routes, and starts the experts: first on GPUs, whose work is only queued and goes on beside the CPU's.
Compiler::Moe Compiler::begin_moe(int block, bool deferred) {
  const bool with_reasons = block == 0 || moe_layer_ == 0;
  Moe moe{.home = at(block).ffn, .deferred = deferred};
  move_residual(moe.home, program_.layers);
  emit(Route{moe.home,
             bind(describe_.route(block, model_.moe_layers[static_cast<size_t>(moe_layer_)], moe_layer_),
                  moe.home, with_reasons)});
  bind_experts(moe, block, with_reasons);
  emit(ShowRouting{moe.home, moe_layer_++});
  send_routed(moe);
  if (facts(moe.home).queued) run_part(moe, moe.home);
  for (const int device : moe.remote) {
    if (facts(device).queued) run_part(moe, device);
  }
  if (!facts(moe.home).queued) run_part(moe, moe.home);
  return moe;
}

/// Runs what is not queued yet, and adds all parts to the residual: the one at hand, the router's device,
/// then in the order of the devices.
void Compiler::end_moe(const Moe& moe) {
  for (const int device : moe.remote) {
    if (facts(device).queued) continue;
    emit(Await{moe.home, Await::Until::Marked});
    run_part(moe, device);
  }
  const int here = residual_;
  const bool has_part_here = moe.deferred && std::ranges::find(moe.remote, here) != moe.remote.end();
  if (has_part_here) add_part(here);  // first: others arrive in its place
  if (moe.deferred) add_part(moe.home);
  for (const int device : moe.remote) {
    if (!has_part_here || device != here) add_part(device);
  }
}

void Compiler::compile_layer(int layer) {
  int block = layer * model_.hparams.blocks_per_layer - 1, part = -1;
  bool routed = false;  // the block's router has normed the residual
  std::optional<Moe> begun;
  for (const Step step : layer_kind(model_.arch, model_.hparams, layer).steps) {
    if (begins_block(step)) {
      ++block;
      routed = false;
      if (++part > 0) emit(ShowHidden{residual_, layer, part - 1});
    }
    const bool with_reasons = block == 0;
    switch (step) {
#define SW_MIXER(name)                    \
  case Step::name:                        \
    mix<name##Desc>(block, with_reasons); \
    break;
#include "arch/roles.inc"
      case Step::Moe:
        end_moe(begin_moe(block, false));
        break;
      case Step::Ffn:
        dense(block, routed, with_reasons);
        break;
      case Step::MoeBegin:
        begun = begin_moe(block, true);
        routed = true;
        break;
      case Step::MoeEnd:
        end_moe(*begun);
        break;
      case Step::Nextn:
        break;  // no pass runs these
    }
  }
  emit(ShowHidden{residual_, layer, -1});
}

void Compiler::make_rope() {
  const RopeParams& rope = model_.hparams.rope;
  const auto table = [&](Role factors) { return rope_table(rope, model_.weights.vector(factors, kOfModel)); };
  const bool by_context = rope.kind() == RopeScaling::LongRope;
  program_.rope = table(by_context ? Role::RopeShort : Role::RopeFreqs);
  if (by_context) program_.long_rope = table(Role::RopeLong);
  program_.n_ctx_orig = rope.n_ctx_orig;
}

void Compiler::compile() {
  program_.n_embd = model_.hparams.n_embd;
  program_.n_vocab = model_.hparams.n_vocab;
  program_.n_cache_group = static_cast<int>(groups_.size());
  program_.n_slot = options_.experts_max;
  for (const MoeLayer& layer : model_.moe_layers) {
    program_.n_router = std::max(program_.n_router, layer.router.n_logits());
    if (options_.experts_max == 0) program_.n_slot = std::max(program_.n_slot, layer.router.n_expert_used);
  }
  make_rope();
  residual_ = placement_.embed;
  emit(Embed{residual_, bind(describe_.embed(), residual_, true)});
  for (int layer = 0; layer < model_.hparams.n_layer; ++layer) compile_layer(layer);
  const int head = placement_.head;
  move_residual(head, program_.to_head);
  program_.head = {head, bind(describe_.head(), head, true)};
}

}  // namespace

Program compile(const ModelView& model, std::span<const DeviceFacts> devices, const Placement& placement,
                const ProgramOptions& options) {
  Program program;
  Compiler(model, devices, placement, options, program).compile();
  return program;
}

}  // namespace sw
