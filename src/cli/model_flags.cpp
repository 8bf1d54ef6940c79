// SPDX-License-Identifier: MIT
#include "cli/model_flags.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/foreign_flags.h"
#include "cli/option_text.h"
#include "cli/progress_bar.h"
#include "cli/shipped_files.h"
#include "router/resolve.h"
#include "runtime/limits.h"

namespace sw::cli {
namespace {

constexpr const char* kModelGroup = "Model";
constexpr const char* kDefaultModel = "fable-ling-Q4_K_M.gguf";

std::string check_flash(std::string& value) {
  if (!is_switch_word(value)) return "expected on, off or auto, got " + printable(value, 40);
  if (value == "off" || value == "0" || value == "false" || value == "disabled")
    log::info("-fa {}: no effect here: always on", value);
  return {};
}

/// Routing flags that the model leaves nothing to do.
void warn_of_idle_routing(const ModelFlags& flags, const Model& model) {
  const RoutingPolicy policy = flags.policy();
  if (policy == RoutingPolicy{}) return;
  if (model.moe_layers().empty()) {
    log::warn("the routing flags have no effect: the model has no experts");
    return;
  }
  const auto grouped = [](const MoeLayer& layer) { return layer.router.has_groups(); };
  if (policy.grouped == true && std::ranges::none_of(model.moe_layers(), grouped))
    log::warn("-ger has no effect: the model's experts have no groups");
  if (!policy.threshold) return;
  int most = 0;
  for (const Phase phase : {Phase::Prefill, Phase::Decode}) {
    const ResolvedRows resolved = resolve_rows(policy, phase, model.moe_layers(), model.hparams().n_layer);
    for (const LayerPolicy& row : resolved.rows) most = std::max<int>(most, row.k);
  }
  if (policy.threshold->min_k >= most) {
    log::warn("-ser {},{} has no effect: a token has {} experts, and that many always stay",
              policy.threshold->min_k, policy.threshold->share, most);
  }
}

void add_routing_flags(CLI::App& command, ModelFlags& f) {
  const std::string group = "Routing";
  command.add_option("--experts,--moe-n-expert", f.experts, "experts per token; by layer: 0-3=8,4-19=4")
      ->option_text("N|LIST")
      ->group(group);
  command.add_option("--experts-prefill", f.experts_prefill, "the same, for the prompt only")
      ->option_text("N|LIST")
      ->group(group);
  command.add_option("--experts-decode", f.experts_decode, "the same, for generated tokens only")
      ->option_text("N|LIST")
      ->group(group);
  command
      .add_flag("--grouped-expert-routing,!--no-grouped-expert-routing", f.grouped,
                "limit each token to its best groups of experts, or let all experts compete (default: as the "
                "file says)")
      ->group(group);
  command
      .add_option("--expert-threshold", f.threshold,
                  "keep the MIN best experts, and others whose weight is at least T times the largest")
      ->option_text("MIN,T")
      ->group(group);
  command
      .add_option("--expert-mask", f.masks, "experts that layer L must not use, as in 3:0-7,12; repeatable")
      ->option_text("L:IDS")
      ->allow_extra_args(false)
      ->group(group);
}

}  // namespace

void add_model_file_flag(CLI::App& command, std::string& model) {
  command.add_option("-m,--model", model, "a GGUF file (default: the model that comes with the program)")
      ->option_text("FILE");
}

CLI::Option* add_template_name_flag(CLI::App& command, std::string& name) {
  return command
      .add_option("--template-name", name, "one of the model's several chat templates, such as tool_use")
      ->option_text("NAME");
}

void add_model_flags(CLI::App& command, ModelFlags& f, const char* cache_default) {
  add_model_file_flag(command, f.model);
  command.get_option("--model")->group(kModelGroup);
  command.add_option("-t,--threads", f.n_thread, "number of threads (default: one per core)")
      ->transform(range(limits::kThreads))
      ->group(kModelGroup);
  command.add_option("--ubatch-size", f.n_ubatch, "tokens that go through the layers together")
      ->transform(range(limits::kUbatchTokens))
      ->capture_default_str()
      ->group(kModelGroup);
  const std::string rare = std::string(kRare) + "the model";
  add_cache_flags(command, f.cache, cache_default);
  command.get_option("--cache-type-k")->group(kModelGroup);
  command.get_option("--cache-type-v")->group(rare);
  command
      .add_option("--override-kv", f.overrides,
                  "replace a value of the file's metadata (int, float, bool, str); "
                  "repeatable")
      ->option_text("KEY=TYPE:VALUE")
      ->allow_extra_args(false)
      ->group(rare);
  command
      .add_flag("--no-fused", f.no_fused, "use the slow reference kernels on the CPU, for checking results")
      ->group(rare);
  command
      .add_flag("--invariant", f.invariant, "the same bits for a token in any batch, whatever is beside it")
      ->group(kModelGroup);
  command
      .add_flag("--repack,!--no-repack", f.repack,
                "copy the CPU's weights into the order that its kernels read fastest")
      ->group(rare);
  command.add_flag("--explain", f.explain, "print which kernel runs each operation, where, and why")
      ->group(kModelGroup);
  command.add_option("--flash-attn", f.flash, "always on; accepted for habit's sake")
      ->expected(0, 1)
      ->check(CLI::Validator(check_flash, "{on,off,auto}"))
      ->group(rare);
  command.add_flag("--fused-moe", f.fused_moe, "always on; accepted for habit's sake")->group(rare);
  add_routing_flags(command, f);
  add_placement_flags(command, f.placement);
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

std::filesystem::path model_path(const std::string& flag) {
  if (!flag.empty()) return flag;
  if (const auto path = find_shipped(kDefaultModel)) return *path;
  throw Error(
      {.what = "the default model was not found", .where = kDefaultModel, .hint = "name a model with -m"});
}

std::filesystem::path model_file(const std::string& flag) {
  std::filesystem::path path = model_path(flag);
  const bool is_folder = std::filesystem::is_directory(path);
  if (!is_folder && path.extension() != ".safetensors") return path;
  const std::filesystem::path folder = is_folder                    ? path
                                       : path.parent_path().empty() ? "."
                                                                    : path.parent_path();
  if (!std::filesystem::exists(folder / "config.json")) return path;
  throw Error({.what = is_folder ? "this is a folder, not a file" : "this is not a GGUF file",
               .where = path.string(),
               .hint = "switchyard convert " + folder.string() + " -o OUT.gguf makes a GGUF file of it"});
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

std::unique_ptr<const Model> load_model(const ModelFlags& flags, std::vector<RoutingPolicy> policies,
                                        const Progress& on_read) {
  ProgressBar bar("loading");
  Notes notes = log_notes();
  notes.on_info = [&bar](std::string_view line) {  // comes when the weights are read
    bar.finish();
    log::info("{}", line);
  };
  notes.on_read = [show = bar.callback(), &on_read](uint64_t done, uint64_t total) {
    if (on_read) on_read(done, total);  // before the bar: it may print a line
    show(done, total);
  };
  std::unique_ptr<const Model> model = open_model(
      model_file(flags.model),
      {.overrides = flags.overrides, .policies = std::move(policies), .cache_type = flags.cache.type()},
      notes);
  warn_of_idle_routing(flags, *model);
  note_unused_value_type(flags.cache, Forward::cache_plan(*model, 1, flags.cache.type()));
  return model;
}

MeasureOptions measure_options(const ModelFlags& flags, MeasuredRoom room) {
  return {.devices = flags.placement.options(),
          .forward = flags.forward_options(),
          .cache_type = flags.cache.type(),
          .n_ctx = room.n_ctx,
          .n_seq = room.n_seq};
}

}  // namespace sw::cli
