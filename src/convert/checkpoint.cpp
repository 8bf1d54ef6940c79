// SPDX-License-Identifier: MIT
#include "convert/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <fmt/core.h>
#include <set>

#include "base/error.h"
#include "base/half.h"
#include "quant/mxfp4.h"
#include "quant/q4_0.h"

namespace sw {
namespace {

constexpr int64_t kMxfp4Cols = MXFP4::kBlockElems, kNvfp4Cols = 16, kPerWord = 8;

[[noreturn]] void fail(const StTensor& tensor, const std::string& expected, const std::string& got) {
  throw Error({.what = "a quantised tensor's scales do not fit",
               .where = "tensor " + printable(tensor.name),
               .expected = expected,
               .got = got});
}

std::string without(const std::string& name, std::string_view end) {
  return name.substr(0, name.size() - end.size());
}

std::optional<Type> plain_type(StDtype dtype) {
  switch (dtype) {
    case StDtype::F64:
    case StDtype::F32:
      return Type::F32;
    case StDtype::F16:
      return Type::F16;
    case StDtype::BF16:
      return Type::BF16;
    default:
      return std::nullopt;
  }
}

/// The shape with other rows' length.
Shape with_cols(const Shape& shape, int64_t n_col) {
  Shape out;
  for (int i = 0; i + 1 < shape.n_dims(); ++i) out.push_back(shape[i]);
  out.push_back(n_col);
  return out;
}

/// Finds the scales of codes, and notes what belongs to them.
class Matcher {
 public:
  Matcher(const Safetensors& file, const HfQuantization& quantization) : file_(file), q_(quantization) {}

  Checkpoint::Tensors match() {
    for (const auto& [name, tensor] : file_.tensors()) add(name, tensor);
    for (const StTensor* part : parts_) tensors_.erase(part->name);
    n_dropped_ = std::erase_if(tensors_, [&](const auto& named) { return is_of_activations(named.first); });
    return std::move(tensors_);
  }
  size_t n_activation_scale() const { return n_dropped_; }

 private:
  void add(const std::string& name, const StTensor& stored) {
    if (q_.mxfp4 && name.ends_with("_blocks")) return add_mxfp4(without(name, "_blocks"), stored);
    if (q_.int4 && name.ends_with("_packed") && stored.dtype == StDtype::I32)
      return add_int4(without(name, "_packed"), stored);
    if (q_.nvfp4 && stored.dtype == StDtype::U8 && name.ends_with("_packed"))
      return add_nvfp4(without(name, "_packed"), stored);
    if (q_.nvfp4 && stored.dtype == StDtype::U8 && file_.find(name + "_scale_2"))
      return add_nvfp4(name, stored);
    const bool codes = stored.dtype == StDtype::F8_E4M3 || stored.dtype == StDtype::I8;
    if (q_.scaled && codes && (file_.find(name + "_scale_inv") || file_.find(name + "_scale")))
      return add_scaled(name, stored);
    const std::optional<Type> type = plain_type(stored.dtype);
    put({.name = name,
         .shape = stored.shape,
         .type = type,
         .rows_as = type.value_or(Type::F32),
         .stored = &stored});
  }

  void put(CheckpointTensor tensor) {
    const std::string name = tensor.name;
    const bool is_new = tensors_.insert_or_assign(name, std::move(tensor)).second;
    if (!is_new)
      throw Error({.what = "a tensor is there both quantised and plain", .where = printable(name)});
  }
  const StTensor& part(const StTensor& of, const std::string& name) {
    const StTensor* found = file_.find(name);
    if (!found) fail(of, "a tensor " + printable(name), "none");
    parts_.insert(found);
    return *found;
  }
  /// The one number of a tensor.
  float one(const StTensor& of, const std::string& name) {
    const StTensor& tensor = part(of, name);
    if (!plain_type(tensor.dtype) || tensor.shape.n_elements() != 1)
      fail(of, name + " is one number", tensor.shape.to_string());
    return Safetensors::to_f32(tensor).front();
  }

  void add_mxfp4(const std::string& name, const StTensor& codes) {
    const StTensor& scales = part(codes, name + "_scales");
    parts_.insert(&codes);
    const int n = codes.shape.n_dims();
    Shape shape, per_block;
    for (int i = 0; i + 2 < n; ++i) shape.push_back(codes.shape[i]);
    per_block = shape;
    if (n >= 2) per_block.push_back(codes.shape[n - 2]);
    if (n < 3 || codes.shape[n - 1] != kMxfp4Cols / 2 || codes.dtype != StDtype::U8 ||
        scales.dtype != StDtype::U8 || scales.shape != per_block)
      fail(codes, "U8 [.., n, 16], scales U8 [.., n]",
           codes.shape.to_string() + ", " + scales.shape.to_string());
    shape.push_back(codes.shape[n - 2] * kMxfp4Cols);
    put({.name = name,
         .shape = shape,
         .type = Type::MXFP4,
         .rows_as = Type::MXFP4,
         .packing = Packing::Mxfp4,
         .stored = &codes,
         .scales = &scales,
         .scale_cols = kMxfp4Cols});
  }

  void add_nvfp4(const std::string& name, const StTensor& codes) {
    const bool divided = codes.name != name;  // compressed-tensors': the scale of all divides
    const StTensor& scales = part(codes, name + "_scale");
    const float of_all = one(codes, name + (divided ? "_global_scale" : "_scale_2"));
    if (divided) parts_.insert(&codes);
    const int64_t n_col = codes.shape.n_cols() * 2;
    if (scales.dtype != StDtype::F8_E4M3 || n_col % kNvfp4Cols != 0 ||
        scales.shape != with_cols(codes.shape, n_col / kNvfp4Cols))
      fail(codes, "F8_E4M3, one for 16 weights of a row", scales.shape.to_string());
    put({.name = name,
         .shape = with_cols(codes.shape, n_col),
         .type = Type::BF16,
         .packing = Packing::Nvfp4,
         .stored = &codes,
         .scales = &scales,
         .scale_cols = kNvfp4Cols,
         .scale_of_all = divided ? 1.0f / of_all : of_all});
  }

  void add_int4(const std::string& name, const StTensor& codes) {
    const StTensor& scales = part(codes, name + "_scale");
    const std::vector<int32_t> dims = Safetensors::to_i32(part(codes, name + "_shape"));
    parts_.insert(&codes);
    const int64_t n_col = codes.shape.n_cols() * kPerWord, n_group = scales.shape.n_cols();
    const Shape shape = with_cols(codes.shape, n_col);
    if (dims.size() != 2 || shape.n_dims() != 2 || dims[0] != shape[0] || dims[1] != shape[1])
      fail(codes, name + "_shape says " + shape.to_string(), fmt::format("{} numbers", dims.size()));
    if (!plain_type(scales.dtype) || n_group < 1 || n_col % n_group != 0 ||
        scales.shape != with_cols(shape, n_group))
      fail(codes, "one for so many weights of a row", scales.shape.to_string());
    const int64_t group = n_col / n_group;
    const bool as_q4_0 = group % Q4_0::kBlockElems == 0 && are_f16(scales);
    put({.name = name,
         .shape = shape,
         .type = as_q4_0 ? Type::Q4_0 : Type::BF16,
         .rows_as = as_q4_0 ? Type::Q4_0 : Type::F32,
         .packing = Packing::Int4,
         .stored = &codes,
         .scales = &scales,
         .scale_cols = group});
  }
  static bool are_f16(const StTensor& scales) {
    return std::ranges::all_of(Safetensors::to_f32(scales),
                               [](float s) { return f16_to_f32(f32_to_f16(s)) == s; });
  }

  void add_scaled(const std::string& name, const StTensor& codes) {
    const bool inverse = file_.find(name + "_scale_inv") != nullptr;  // a name: both are factors
    const StTensor& scales = part(codes, name + (inverse ? "_scale_inv" : "_scale"));
    if (!plain_type(scales.dtype) && scales.dtype != StDtype::F8_E8M0)
      fail(codes, "scales of floats", st_dtype_name(scales.dtype));
    CheckpointTensor tensor{.name = name,
                            .shape = codes.shape,
                            .type = Type::BF16,
                            .packing = Packing::Scaled,
                            .stored = &codes,
                            .scales = &scales};
    const int64_t n_row = matrix_rows(codes.shape), n_col = codes.shape.n_cols();
    if (scales.shape.n_elements() == 1) {
      tensor.scale_rows = codes.shape.n_rows();
      tensor.scale_cols = n_col;
    } else if (scales.shape.n_elements() == codes.shape.n_rows() &&
               (scales.shape.n_dims() == 1 || scales.shape == with_cols(codes.shape, 1))) {
      tensor.scale_cols = n_col;
    } else {
      tensor.scale_rows = q_.block_rows;
      tensor.scale_cols = q_.block_cols;
      const auto blocks = [](int64_t n, int64_t block) { return block > 0 ? (n + block - 1) / block : 0; };
      Shape expected;
      for (int i = 0; i + 2 < codes.shape.n_dims(); ++i) expected.push_back(codes.shape[i]);
      expected.push_back(blocks(n_row, q_.block_rows));
      expected.push_back(blocks(n_col, q_.block_cols));
      if (scales.shape != expected) {
        fail(codes,
             q_.block_rows > 0 ? expected.to_string() + " by weight_block_size"
                               : "one for the tensor or each row",
             scales.shape.to_string());
      }
    }
    put(std::move(tensor));
  }

  bool is_of_activations(std::string_view name) const {
    if (!q_.any()) return false;
    constexpr std::string_view kEnds[] = {".input_scale", ".input_global_scale",  ".k_scale",
                                          ".v_scale",     ".k_proj.output_scale", ".v_proj.output_scale"};
    return std::ranges::any_of(kEnds, [&](std::string_view end) { return name.ends_with(end); });
  }
  const Safetensors& file_;
  const HfQuantization& q_;
  Checkpoint::Tensors tensors_;
  std::set<const StTensor*> parts_;
  size_t n_dropped_ = 0;
};

}  // namespace

Checkpoint::Checkpoint(const Safetensors& file, const HfQuantization& quantization) {
  Matcher matcher(file, quantization);
  tensors_ = matcher.match();
  n_activation_scale_ = matcher.n_activation_scale();
}

const CheckpointTensor* Checkpoint::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

}  // namespace sw
