// SPDX-License-Identifier: MIT
#include <algorithm>
#include <utility>

#include "kernels/ops.h"
#include "kernels/product_observer.h"

namespace sw {

#ifdef SWITCHYARD_CUDA
#define SW_CUDA_VARIANT(name) SW_VARIANT(name, )
#else
#define SW_CUDA_VARIANT(name)
#endif
#define SW_OP_BEGIN(Name)                                            \
  std::vector<const Name##Kernel*> OpTraits<Name##Desc>::kernels() { \
    using Kernel = Name##Kernel;                                     \
    std::vector<const Kernel*> all;
#define SW_VARIANT(name, isa) \
  extern const Kernel name;   \
  all.push_back(&name);
#define SW_OP_END \
  return all;     \
  }
#include "kernels/op_variants.inc"
#undef SW_OP_BEGIN
#undef SW_VARIANT
#undef SW_CUDA_VARIANT
#undef SW_OP_END

namespace {

const MatmulKernel* bind_matmul(const char* name, const MatmulDesc& desc, const BindOptions& options,
                                std::string* why) {
  if (options.observe_products) {
    const MatmulKernel& observed = observed_matmul(options.limit);
    if (why) *why += std::string(name) + ": " + observed.name + " (its inputs are wanted)\n";
    return &observed;
  }
  std::string choice;
  const MatmulKernel& matmul = choose_matmul(desc, options.limit, why ? &choice : nullptr);
  if (why) *why += std::string(name) + ": " + choice + "\n";
  return &matmul;
}

/// The product of a matrix; a GPU's operations bring their own.
void bind_weight(const char* name, Linear& linear, const BindOptions& options, std::string* why) {
  if (linear.empty() || options.device != DeviceKind::Cpu) return;
  linear.matmul = bind_matmul(name, linear.product(options.may_pack), options, why);
}
void bind_weight(const char* name, ExpertStack& stack, const BindOptions& options, std::string* why) {
  if (options.device != DeviceKind::Cpu) return;
  for (ExpertFormat& format : stack.formats)
    format.matmul = bind_matmul(name, stack.product(format.type, options.may_pack), options, why);
}
/// All else is read as it is.
template <class Weight>
void bind_weight(const char*, Weight&, const BindOptions&, std::string*) {}

template <class Desc>
void bind_decoded(Desc&, const BindOptions&) {}
void bind_decoded(MlaDesc& desc, const BindOptions& options) {
  if (options.device == DeviceKind::Cpu)
    desc.bound.decoded = &choose_matmul({.weight = Type::F32, .n_in = desc.kv_rank}, options.limit);
}

bool gpu_reads(Type type) {
  switch (type) {
#define SW_GPU_TYPE(name) case Type::name:
#include "kernels/gpu_types.inc"
#undef SW_GPU_TYPE
    return true;
    default:
      return false;
  }
}
bool gpu_reads(const Linear& linear) { return linear.empty() || gpu_reads(linear.weight.type); }
bool gpu_reads(const WeightView& weight) { return !weight.data || gpu_reads(weight.type); }
bool gpu_reads(const ExpertStack& stack) {
  return std::ranges::all_of(stack.formats, [](const ExpertFormat& f) { return gpu_reads(f.type); });
}
bool gpu_reads(const Values&) { return true; }

/// Whether the kernels of GPUs read all weights of an operation.
template <class Desc>
bool gpu_reads_all(const Desc& desc) {
  bool all = true;
  for_each_weight(desc, [&](const char*, const auto& weight) { all = all && gpu_reads(weight); });
  return all;
}

/// Null where `kernel` can run `desc` with these options, else why not.
template <class Desc>
const char* refusal(const OpKernel<Desc>& kernel, bool is_reference, const Desc& desc,
                    const BindOptions& options) {
  if (options.references && !is_reference && options.device == DeviceKind::Cpu)
    return "the references were asked for";
  if (kernel.isa > options.limit || !cpu_has(kernel.isa)) return "needs another instruction set";
  if (options.device == DeviceKind::Cuda && !gpu_reads_all(desc))
    return "GPUs do not read the format of its weights; -ot or --cpu-moe keeps tensors on the CPU";
  return kernel.refuses(desc);
}

/// Walks the list of variants, best first.
template <class Desc>
const OpKernel<Desc>& choose_kernel(const Desc& desc, const BindOptions& options, std::string* why) {
  const char* op = OpTraits<Desc>::kName;
  const std::vector<const OpKernel<Desc>*> kernels = OpTraits<Desc>::kernels();
  std::string refusals;
  for (const OpKernel<Desc>* kernel : kernels) {
    if (kernel->device != options.device) continue;
    const char* reason = refusal(*kernel, kernel == kernels.back(), desc, options);
    if (!reason) {
      if (why) *why += std::string(op) + ": " + kernel->name + "\n";
      return *kernel;
    }
    const std::string line = std::string(kernel->name) + ": " + reason;
    refusals += (refusals.empty() ? "" : "; ") + line;
    if (why) *why += std::string(op) + ": not " + line + "\n";
  }
  throw Error({.what = "no kernel can run this operation", .where = op, .hint = refusals});
}

}  // namespace

template <class Desc>
BoundOp<Desc> bind_op(Desc desc, const BindOptions& options, std::string* why) {
  BindOptions products = options;
  if (options.references) products.limit = Isa::Scalar;
  for_each_weight(desc, [&](const char* name, auto& weight) { bind_weight(name, weight, products, why); });
  if constexpr (requires { desc.bound; }) desc.bound.row_invariant = options.row_invariant;
  bind_decoded(desc, products);
  const OpKernel<Desc>& kernel = choose_kernel(desc, options, why);
  return {std::move(desc), &kernel};
}

#define SW_OP(name, Name) template BoundOp<Name##Desc> bind_op(Name##Desc, const BindOptions&, std::string*);
#include "kernels/ops.inc"
#undef SW_OP

}  // namespace sw
