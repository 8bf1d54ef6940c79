// SPDX-License-Identifier: MIT
#include <span>
#include <utility>

#include "kernels/ops.h"

namespace sw {

#define SW_VARIANT(name, isa) extern const EmbedKernel name;
#define SW_CUDA_VARIANT(name) SW_VARIANT(name, )
#include "kernels/variants/embed.inc"
#undef SW_VARIANT
#undef SW_CUDA_VARIANT
#define SW_VARIANT(name, isa) extern const AttentionKernel name;
#define SW_CUDA_VARIANT(name) SW_VARIANT(name, )
#include "kernels/variants/attention.inc"
#undef SW_VARIANT
#undef SW_CUDA_VARIANT
#define SW_VARIANT(name, isa) extern const MlaKernel name;
#define SW_CUDA_VARIANT(name) SW_VARIANT(name, )
#include "kernels/variants/mla.inc"
#undef SW_VARIANT
#undef SW_CUDA_VARIANT
#define SW_VARIANT(name, isa) extern const RouteKernel name;
#define SW_CUDA_VARIANT(name) SW_VARIANT(name, )
#include "kernels/variants/route.inc"
#undef SW_VARIANT
#undef SW_CUDA_VARIANT
#define SW_VARIANT(name, isa) extern const ExpertsKernel name;
#define SW_CUDA_VARIANT(name) SW_VARIANT(name, )
#include "kernels/variants/experts.inc"
#undef SW_VARIANT
#undef SW_CUDA_VARIANT
#define SW_VARIANT(name, isa) extern const FfnKernel name;
#define SW_CUDA_VARIANT(name) SW_VARIANT(name, )
#include "kernels/variants/ffn.inc"
#undef SW_VARIANT
#undef SW_CUDA_VARIANT
#define SW_VARIANT(name, isa) extern const HeadKernel name;
#define SW_CUDA_VARIANT(name) SW_VARIANT(name, )
#include "kernels/variants/head.inc"
#undef SW_VARIANT
#undef SW_CUDA_VARIANT

namespace {

#define SW_VARIANT(name, isa) &name,
#ifdef SWITCHYARD_CUDA
#define SW_CUDA_VARIANT(name) &name,
#else
#define SW_CUDA_VARIANT(name)
#endif
constexpr const EmbedKernel* kEmbedKernels[] = {
#include "kernels/variants/embed.inc"
};
constexpr const AttentionKernel* kAttentionKernels[] = {
#include "kernels/variants/attention.inc"
};
constexpr const MlaKernel* kMlaKernels[] = {
#include "kernels/variants/mla.inc"
};
constexpr const RouteKernel* kRouteKernels[] = {
#include "kernels/variants/route.inc"
};
constexpr const ExpertsKernel* kExpertsKernels[] = {
#include "kernels/variants/experts.inc"
};
constexpr const FfnKernel* kFfnKernels[] = {
#include "kernels/variants/ffn.inc"
};
constexpr const HeadKernel* kHeadKernels[] = {
#include "kernels/variants/head.inc"
};
#undef SW_VARIANT
#undef SW_CUDA_VARIANT

/// Walks a list of variants, best first. With options.references only the last, the reference, is left. Where
/// none accepts, the error says why each did not.
template <class Desc, class Args>
BoundOp<Desc, Args> bind_first(const char* op, Desc desc,
                               std::span<const OpKernel<Desc, Args>* const> variants,
                               const BindOptions& options, std::string* why) {
  const OpKernel<Desc, Args>* reference = variants.back();
  std::string refusals;
  for (const OpKernel<Desc, Args>* variant : variants) {
    if (variant->device != options.device) continue;
    const char* refusal = nullptr;
    if (options.device == DeviceKind::Cpu && options.references && variant != reference) {
      refusal = "the references were asked for";
    } else if (variant->isa > options.limit || !cpu_has(variant->isa)) {
      refusal = "needs another instruction set";
    } else {
      refusal = variant->refuses(desc);
    }
    if (!refusal) {
      if (why) *why += std::string(op) + ": " + variant->name + "\n";
      return {std::move(desc), variant};
    }
    const std::string line = std::string(variant->name) + ": " + refusal;
    refusals += (refusals.empty() ? "" : "; ") + line;
    if (why) *why += std::string(op) + ": not " + line + "\n";
  }
  throw Error({.what = "no kernel can run this operation", .where = op, .hint = refusals});
}

const MatmulKernel* bind_matmul(const char* role, const MatmulDesc& desc, const BindOptions& options,
                                std::string* why) {
  std::string choice;
  const Isa limit = options.references ? Isa::Scalar : options.limit;
  const MatmulKernel& matmul = choose_matmul(desc, limit, why ? &choice : nullptr);
  if (why) *why += std::string(role) + ": " + choice + "\n";
  return &matmul;
}

void bind_linear(const char* role, Linear& linear, const BindOptions& options, std::string* why) {
  linear.row_invariant = options.row_invariant;
  if (linear.empty() || options.device != DeviceKind::Cpu) return;  // a GPU's operations bring their own
  linear.matmul = bind_matmul(role, {linear.weight.type, linear.n_in()}, options, why);
}

void bind_experts(const char* role, ExpertStack& stack, const BindOptions& options, std::string* why) {
  if (options.device != DeviceKind::Cpu) return;
  for (ExpertFormat& format : stack.formats) {
    format.matmul = bind_matmul(role, {format.type, stack.n_in}, options, why);
  }
}

}  // namespace

BoundOp<EmbedDesc, EmbedArgs> bind_op(EmbedDesc desc, const BindOptions& options, std::string* why) {
  return bind_first<EmbedDesc, EmbedArgs>("embed", desc, kEmbedKernels, options, why);
}

BoundOp<AttentionDesc, AttentionArgs> bind_op(AttentionDesc desc, const BindOptions& options,
                                              std::string* why) {
  bind_linear("attention qkv", desc.qkv, options, why);
  bind_linear("attention keys", desc.k, options, why);
  bind_linear("attention values", desc.v, options, why);
  bind_linear("attention output", desc.out, options, why);
  return bind_first<AttentionDesc, AttentionArgs>("attention", desc, kAttentionKernels, options, why);
}

BoundOp<MlaDesc, MlaArgs> bind_op(MlaDesc desc, const BindOptions& options, std::string* why) {
  bind_linear("attention query latents", desc.q_a, options, why);
  bind_linear("attention queries", desc.q, options, why);
  bind_linear("attention latents", desc.kv_a, options, why);
  bind_linear("attention keys", desc.k_b, options, why);
  bind_linear("attention values", desc.v_b, options, why);
  bind_linear("attention output", desc.out, options, why);
  if (options.device == DeviceKind::Cpu)
    desc.unfold = &choose_matmul({Type::F32, desc.kv_rank}, options.references ? Isa::Scalar : options.limit);
  return bind_first<MlaDesc, MlaArgs>("mla", desc, kMlaKernels, options, why);
}

BoundOp<RouteDesc, RouteArgs> bind_op(RouteDesc desc, const BindOptions& options, std::string* why) {
  bind_linear("router", desc.router, options, why);
  return bind_first<RouteDesc, RouteArgs>("route", desc, kRouteKernels, options, why);
}

BoundOp<ExpertsDesc, ExpertsArgs> bind_op(ExpertsDesc desc, const BindOptions& options, std::string* why) {
  desc.row_invariant = options.row_invariant;
  bind_experts("expert gate", desc.gate, options, why);
  bind_experts("expert up", desc.up, options, why);
  bind_experts("expert down", desc.down, options, why);
  return bind_first<ExpertsDesc, ExpertsArgs>("experts", desc, kExpertsKernels, options, why);
}

BoundOp<FfnDesc, FfnArgs> bind_op(FfnDesc desc, const BindOptions& options, std::string* why) {
  bind_linear("ffn gate", desc.gate, options, why);
  bind_linear("ffn up", desc.up, options, why);
  bind_linear("ffn down", desc.down, options, why);
  return bind_first<FfnDesc, FfnArgs>("ffn", desc, kFfnKernels, options, why);
}

BoundOp<HeadDesc, HeadArgs> bind_op(HeadDesc desc, const BindOptions& options, std::string* why) {
  bind_linear("head", desc.output, options, why);
  return bind_first<HeadDesc, HeadArgs>("head", desc, kHeadKernels, options, why);
}

}  // namespace sw
