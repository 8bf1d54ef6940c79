// SPDX-License-Identifier: MIT
#include "convert/hf_quantization.h"

#include <algorithm>
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <span>

#include "base/error.h"

namespace sw {
namespace {

using nlohmann::json;

constexpr std::string_view kKey = "quantization_config";

/// Members that no weight depends on: which modules are quantised shows in the tensors, and activations and
/// the cache are not quantised here.
constexpr std::string_view kIdle[] = {"quant_method",
                                      "modules_to_not_convert",
                                      "ignored_layers",
                                      "ignore",
                                      "exclude_modules",
                                      "targets",
                                      "activation_scheme",
                                      "input_activations",
                                      "output_activations",
                                      "kv_cache_scheme",
                                      "kv_cache_quant_algo",
                                      "scale_fmt",
                                      "dequantize",
                                      "quantization_status",
                                      "global_compression_ratio",
                                      "producer",
                                      "version",
                                      "dynamic",
                                      "observer",
                                      "observer_kwargs",
                                      "scale_dtype",
                                      "zp_dtype"};

/// One object of the configuration, whose members are looked at one by one.
class Members {
 public:
  Members(const HfConfig& config, std::string where, const json& object)
      : config_(config), where_(std::move(where)), object_(object) {
    if (!object.is_object()) fail("", "an object", object);
  }

  /// Null where it is absent or null.
  const json* take(std::string_view name) {
    taken_.push_back(name);
    const auto found = object_.find(name);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  /// A text of these; the first where it is absent.
  std::string text(std::string_view name, std::initializer_list<std::string_view> allowed) {
    const json* v = take(name);
    if (!v) return std::string(*allowed.begin());
    if (v->is_string() && std::ranges::find(allowed, v->get<std::string>()) != allowed.end())
      return v->get<std::string>();
    fail(name, fmt::format("{}", fmt::join(allowed, ", ")), *v);
  }
  /// Throws where a member is there and is not this.
  void granted(std::string_view name, const json& only) {
    const json* v = take(name);
    if (v && *v != only) fail(name, only.dump(), *v);
  }
  /// Throws where a member is there that says something.
  void empty(std::string_view name) {
    const json* v = take(name);
    if (v && !v->empty()) fail(name, "nothing", *v);
  }
  /// Once all is taken that counts: refuses the rest.
  void end() const {
    for (const auto& [name, value] : object_.items()) {
      if (std::ranges::find(taken_, name) != taken_.end() ||
          std::ranges::find(kIdle, name) != std::end(kIdle))
        continue;
      throw Error({.what = "a setting of the checkpoint's quantisation is not known",
                   .where = path(name),
                   .hint = "convert the model's unquantised weights"});
    }
  }
  Members inner(std::string_view name, const json& object) const { return {config_, member(name), object}; }

  [[noreturn]] void fail(std::string_view name, const std::string& expected, const json& got) const {
    throw Error({.what = "the checkpoint is quantised in a way that is not read",
                 .where = path(name),
                 .expected = expected,
                 .got = HfConfig::shown(got),
                 .hint = "convert the model's unquantised weights"});
  }

 private:
  std::string member(std::string_view name) const {
    return name.empty() ? where_ : where_ + "." + std::string(name);
  }
  std::string path(std::string_view name) const { return config_.where(member(name)); }

  const HfConfig& config_;
  std::string where_;
  const json& object_;
  std::vector<std::string_view> taken_;
};

void read_fp8(Members& all, HfQuantization& q) {
  q.scaled = true;
  all.text("fmt", {"e4m3", "float8_e4m3fn"});
  const json* block = all.take("weight_block_size");
  if (!block) return;
  const auto is_size = [](const json& n) { return n.is_number_integer() && n > 0 && n <= 1 << 20; };
  if (!block->is_array() || block->size() != 2 || !std::ranges::all_of(*block, is_size))
    all.fail("weight_block_size", "rows and columns", *block);
  q.block_rows = block->front().get<int64_t>();
  q.block_cols = block->back().get<int64_t>();
}

void read_modelopt(Members& all, HfQuantization& q) {
  const std::string algorithm = all.text("quant_algo", {"NVFP4", "FP8"});
  (algorithm == "FP8" ? q.scaled : q.nvfp4) = true;
  all.granted("group_size", 16);
  all.take("config_groups");  // says the same once more
}

void read_group(Members group, HfQuantization& q) {
  group.take("format");
  const json* described = group.take("weights");
  if (!described) group.fail("weights", "how they are quantised", json());
  Members weights = group.inner("weights", *described);
  const json* bits = weights.take("num_bits");
  const std::string kind = weights.text("type", {"int", "float"});
  if (kind == "int" && bits && *bits == 4) {
    q.int4 = true;
  } else if (bits && *bits == 8) {
    q.scaled = true;
  } else if (kind == "float" && bits && *bits == 4) {
    q.nvfp4 = true;
    weights.granted("group_size", 16);
  } else {
    weights.fail("num_bits", "4 or 8", bits ? *bits : json());
  }
  weights.granted("symmetric", true);
  if (const json* order = weights.take("actorder"); order && *order != "static" && *order != "weight")
    weights.fail("actorder", "null or static", *order);
  weights.take("strategy");
  weights.take("group_size");
  if (const json* block = weights.take("block_structure"); block && q.scaled) {
    if (!block->is_array() || block->size() != 2 || !block->front().is_number_integer() ||
        !block->back().is_number_integer())
      weights.fail("block_structure", "rows and columns", *block);
    q.block_rows = block->front().get<int64_t>();
    q.block_cols = block->back().get<int64_t>();
  }
  weights.end();
  group.end();
}

void read_compressed(Members& all, HfQuantization& q) {
  all.text("format", {"pack-quantized", "float-quantized", "int-quantized", "naive-quantized",
                      "nvfp4-pack-quantized", "mixed-precision"});
  all.empty("sparsity_config");
  all.empty("transform_config");
  const json* groups = all.take("config_groups");
  if (!groups || !groups->is_object()) all.fail("config_groups", "an object", groups ? *groups : json());
  const Members inside = all.inner("config_groups", *groups);
  for (const auto& [name, group] : groups->items()) read_group(inside.inner(name, group), q);
}

}  // namespace

HfQuantization read_quantization(const HfConfig& config) {
  HfQuantization q;
  const json* object = config.value(kKey);
  if (!object) return q;
  Members all(config, std::string(kKey), *object);
  if (!object->contains("quant_method")) all.fail("quant_method", "the method's name", json());
  const std::string method = all.text("quant_method", {"fp8", "mxfp4", "modelopt", "compressed-tensors"});
  if (method == "fp8") {
    read_fp8(all, q);
  } else if (method == "mxfp4") {
    q.mxfp4 = true;
  } else if (method == "modelopt") {
    read_modelopt(all, q);
  } else {
    read_compressed(all, q);
  }
  all.end();
  return q;
}

}  // namespace sw
