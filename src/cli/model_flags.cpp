// SPDX-License-Identifier: MIT
#include "cli/model_flags.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/foreign_flags.h"
#include "cli/progress_bar.h"
#include "cli/shipped_files.h"
#include "runtime/limits.h"

namespace sw::cli {
namespace {

constexpr const char* kDefaultModel = "fable-ling-Q4_K_M.gguf";

std::string check_flash(std::string& value) {
  if (!is_switch_word(value)) return "expected on, off or auto, got " + printable(value, 40);
  if (value == "off" || value == "0" || value == "false" || value == "disabled")
    log::info("-fa {}: no effect here: always on", value);
  return {};
}

}  // namespace

void add_model_file_flag(CLI::App& command, std::string& model) {
  command.add_option("-m,--model", model, "GGUF file (default: the model that comes with the program)")
      ->check(not_empty());
}

CLI::Option* add_template_name_flag(CLI::App& command, std::string& name) {
  return command
      .add_option("--template-name", name, "one of the model's several chat templates, such as tool_use")
      ->check(not_empty());
}

void add_model_flags(CLI::App& command, ModelFlags& f, const char* cache_default) {
  f.cache_type = cache_default;
  add_model_file_flag(command, f.model);
  command.add_option("-t,--threads", f.n_thread, "threads (default: one per core)")
      ->transform(range(limits::kThreads));
  command.add_option("--ubatch-size", f.n_ubatch, "-ub: tokens that go through the layers together")
      ->transform(range(limits::kUbatchTokens))
      ->capture_default_str();
  command.add_option("--cache-type-k", f.cache_type, "-ctk: keys and values as f16 or f32")
      ->capture_default_str();
  command.add_option("--cache-type-v", f.cache_type_v, "-ctv: as -ctk, which says it for both");
  command.add_option("--override-kv", f.overrides, "KEY=TYPE:VALUE (int, float, bool, str); repeatable")
      ->allow_extra_args(false);
  command.add_flag("--no-fused", f.no_fused, "use the scalar references");
  command.add_flag("--invariant", f.invariant,
                   "the same bits for a token in any batch, whatever is beside it");
  command.add_flag("--repack,!--no-repack", f.repack,
                   "copy the CPU's weights into the order that its kernels read fastest");
  command.add_flag("--explain", f.explain, "print which kernel was chosen for what, and why");
  command.add_option("--flash-attn", f.flash, "-fa: always on here")
      ->expected(0, 1)
      ->check(CLI::Validator(check_flash, ""));
  command.add_flag("--fused-moe", f.fused_moe, "-fmoe: always on here; --no-fused is the way off");
  const std::string group = "Routing";
  command.add_option("--experts,--moe-n-expert", f.experts, "experts per token: N, or 0-3=8,4-19=4 by layer")
      ->group(group);
  command.add_option("--experts-prefill", f.experts_prefill, "the same, for the prompt alone")->group(group);
  command.add_option("--experts-decode", f.experts_decode, "the same, for generated tokens alone")
      ->group(group);
  command
      .add_flag("--grouped-expert-routing,!--no-grouped-expert-routing", f.grouped,
                "-ger: route by groups, -no-ger: all experts compete (default: as the file says)")
      ->group(group);
  command
      .add_option("--expert-threshold", f.threshold,
                  "-ser MIN,T: MIN experts, then those with T of the best weight")
      ->group(group);
  add_placement_flags(command, f.placement);
  command
      .add_option("--expert-mask", f.masks, "L:IDS: experts that layer L must not use (3:0-7,12); repeatable")
      ->allow_extra_args(false)
      ->group(group);
}

RoutingPolicy ModelFlags::policy() const {
  RoutingPolicy p;
  if (!experts.empty()) p.experts_prefill = p.experts_decode = parse_expert_counts(experts);
  if (!experts_prefill.empty()) p.experts_prefill = parse_expert_counts(experts_prefill);
  if (!experts_decode.empty()) p.experts_decode = parse_expert_counts(experts_decode);
  if (!threshold.empty()) p.threshold = parse_threshold(threshold);
  if (!grouped.empty()) p.grouped = grouped == "true";
  for (const std::string& text : masks) {
    const std::vector<ExpertMask> more = parse_expert_mask(text);
    p.masks.insert(p.masks.end(), more.begin(), more.end());
  }
  return p;
}

ForwardOptions ModelFlags::forward_options() const {
  return {.n_thread = n_thread,
          .n_ubatch = n_ubatch,
          .references = no_fused,
          .invariant = invariant,
          .explain = explain,
          .repack = repack};
}

Type ModelFlags::kv_type() const {
  const std::optional<Type> type = type_from_name(cache_type);
  if (!type || (*type != Type::F16 && *type != Type::F32)) {
    throw Error({.what = "unknown cache type", .where = "-ctk", .expected = "f16 or f32", .got = cache_type});
  }
  if (!cache_type_v.empty() && cache_type_v != cache_type) {
    throw Error({.what = "keys and values have one type here",
                 .where = "-ctv",
                 .expected = cache_type + ", as -ctk",
                 .got = cache_type_v});
  }
  return *type;
}

std::filesystem::path model_path(const std::string& flag) {
  if (!flag.empty()) return flag;
  if (const auto path = find_shipped(kDefaultModel)) return *path;
  throw Error(
      {.what = "the default model was not found", .where = kDefaultModel, .hint = "name a model with -m"});
}

Tokenizer load_tokenizer(const std::string& flag) {
  const std::filesystem::path path = model_path(flag);
  if (std::filesystem::is_directory(path)) return Tokenizer::from_hf(path);
  if (path.extension() == ".json") return Tokenizer::from_json(path);
  return Tokenizer::from_gguf(GgufFile(path));
}

std::vector<RoutingPolicy> policies_of(std::span<const NamedPolicy> named) {
  std::vector<RoutingPolicy> policies;
  for (const NamedPolicy& n : named) policies.push_back(n.policy);
  return policies;
}

Notes log_notes() {
  return {.on_info = [](std::string_view line) { log::info("{}", line); },
          .on_warning = [](std::string_view line) { log::warn("{}", line); }};
}

std::unique_ptr<const Model> load_model(const ModelFlags& flags, std::vector<RoutingPolicy> policies) {
  ProgressBar bar("loading");
  Notes notes = log_notes();
  notes.on_info = [&bar](std::string_view line) {  // comes when the weights are read
    bar.finish();
    log::info("{}", line);
  };
  notes.on_read = bar.callback();
  return open_model(model_path(flags.model), {.overrides = flags.overrides, .policies = std::move(policies)},
                    notes);
}

MeasureOptions measure_options(const ModelFlags& flags, MeasuredRoom room) {
  return {.devices = flags.placement.options(),
          .forward = flags.forward_options(),
          .cache_type = flags.kv_type(),
          .n_ctx = room.n_ctx,
          .n_seq = room.n_seq};
}

}  // namespace sw::cli
