// SPDX-License-Identifier: MIT
#include "cli/model_report.h"

#include <algorithm>
#include <bit>
#include <fmt/core.h>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "convert/quant_mix.h"
#include "formats/foreign_types.h"
#include "model/memory_plan.h"
#include "router/resolve.h"

namespace sw::cli {
namespace {

constexpr size_t kMaxShownItems = 6;
constexpr size_t kMaxShownBytes = 80;

template <class... Args>
void line(std::string& out, fmt::format_string<Args...> format, Args&&... args) {
  fmt::format_to(std::back_inserter(out), format, std::forward<Args>(args)...);
  out += '\n';
}

std::string show_item(int64_t v) { return std::to_string(v); }
std::string show_item(uint64_t v) { return std::to_string(v); }
/// The shortest digits that read back as the same value of the type that the file has.
std::string show_item(double v) {
  const auto narrow = static_cast<float>(v);
  return static_cast<double>(narrow) == v ? fmt::format("{}", narrow) : fmt::format("{}", v);
}
std::string show_item(bool v) { return v ? "true" : "false"; }
std::string show_item(const std::string& v) { return '"' + printable(v, kMaxShownBytes) + '"'; }
std::string show_item(const GgufArray& array) {
  return std::visit(
      [&](const auto& items) {
        std::string text = fmt::format("[{}] of {}:", items.size(), gguf_type_name(array.element));
        for (size_t i = 0; i < std::min(items.size(), kMaxShownItems); ++i) text += " " + show_item(items[i]);
        return text + (items.size() > kMaxShownItems ? " ..." : "");
      },
      array.items);
}

nlohmann::ordered_json json_of(const auto& value) { return value; }
nlohmann::ordered_json json_of(double value) { return std::stod(show_item(value)); }
nlohmann::ordered_json json_of(const GgufArray& array) {
  auto out = nlohmann::ordered_json::array();
  std::visit(
      [&](const auto& items) {
        for (const auto& item : items) out.push_back(json_of(item));
      },
      array.items);
  return out;
}

std::string show(const GgufValue& value) {
  return std::visit([](const auto& v) { return show_item(v); }, value.data);
}

std::string show_figure(const Key& key, double value) {
  if (!key.gguf_names.empty()) return std::string(name_of_value(key.gguf_names, static_cast<int>(value)));
  return key.field.type == Field::Type::Bool ? show_item(value != 0) : show_item(value);
}

std::string type_of(uint32_t id) {
  const std::optional<Type> type = type_from_id(id);
  const ForeignType* foreign = find_foreign_type(id);
  return type ? type_name(*type) : foreign ? foreign->name : "type " + std::to_string(id);
}

void sum_tensors(const GgufFile& file, std::string& out) {
  struct Sum {
    size_t n_tensors = 0, bytes = 0, n_unsized = 0;
    int64_t elements = 0, sized = 0;  ///< elements, and those of tensors whose size is known
  };
  std::map<uint32_t, Sum> by_type;
  Sum all;
  for (const GgufTensor& t : file.tensors()) {
    for (Sum* sum : {&by_type[t.type_id], &all}) {
      ++sum->n_tensors;
      sum->bytes += t.size_bytes;
      sum->elements += t.shape.n_elements();
      sum->sized += t.size_bytes > 0 ? t.shape.n_elements() : 0;
      sum->n_unsized += t.size_bytes == 0;
    }
  }
  line(out, "\ntensors");
  const auto bits = [](const Sum& s) {
    return s.sized ? 8.0 * static_cast<double>(s.bytes) / static_cast<double>(s.sized) : 0.0;
  };
  for (const auto& [id, sum] : by_type) {
    const std::string size = sum.bytes > 0 ? fmt::format("{:>10.2f} MiB", mib(sum.bytes)) : "  size unknown";
    line(out, "  {:<8} {:>5} tensors {:>14} elements {}", type_of(id), sum.n_tensors, sum.elements, size);
  }
  const std::string unsized =
      all.n_unsized > 0 ? fmt::format(" without {} tensors of unknown size", all.n_unsized) : "";
  line(out, "  {:<8} {:>5} tensors {:>14} elements {:>10.2f} MiB, {:.3f} bits per weight{}", "all",
       all.n_tensors, all.elements, mib(all.bytes), bits(all), unsized);
}

/// Every hyperparameter that the architecture has, and who said so.
void describe_figures(const Model& model, std::string& out) {
  const std::vector<std::string>& overridden = model.overridden();
  for (const ReadKey& read : model.read_keys()) {
    const Key& key = *read.key;
    if (key.gguf.empty()) continue;
    const std::string name = fmt::format("{}.{}", model.arch().name, key.gguf);
    const bool changed = std::find(overridden.begin(), overridden.end(), name) != overridden.end();
    const char* source = changed ? "overridden" : read.from_file ? "file" : "default";
    line(out, "  {} = {}  ({})", name, show_figure(key, read.value), source);
  }
}

void describe_plan(const Model& model, int64_t n_ctx, CacheType cache_type, std::string& out) {
  const int k = model.moe_layers().empty() ? 0 : model.moe_layers().front().router.n_expert_used;
  line(out, "\nmodel");
  line(out, "  parameters        {:.3f} M, {:.3f} M active per token",
       static_cast<double>(model.n_parameters()) / 1e6,
       static_cast<double>(n_active_parameters(model, k)) / 1e6);
  describe_figures(model, out);
  for (const std::string& note : model.notes()) line(out, "  {}", note);
  if (n_ctx == 0) n_ctx = model.hparams().n_ctx_train;
  const FileWeights weights(model);
  const std::vector<DeviceFacts> cpu = {{.name = "CPU"}};
  PlanInput input{.experts_max = experts_needed(model.moe_layers(), {}),
                  .policies = PolicyTable::sizes(model.moe_layers(), 1),
                  .cache = Forward::cache_plan(model, n_ctx, cache_type, 1, ForwardOptions{}.n_ubatch)};
  const DevicePlan plan = plan_memory(weights.view(), cpu, place(weights.view(), cpu, {}), input).front();
  input.forward.repack = true;
  const size_t packed =
      plan_memory(weights.view(), cpu, place(weights.view(), cpu, {}), input).front().packed_bytes;
  line(out, "\nmemory");
  line(out, "  weights           {:>10.2f} MiB (mapped from the file)", mib(plan.weight_bytes));
  if (packed > 0) line(out, "  packed            {:>10.2f} MiB more with --repack", mib(packed));
  line(out, "  KV cache          {:>10.2f} MiB ({} tokens: {})", mib(plan.cache_bytes), n_ctx,
       describe_cache(input.cache));
  line(out, "  buffers           {:>10.2f} MiB (u-batch {})", mib(plan.buffer_bytes), input.forward.n_ubatch);
  line(out, "  all               {:>10.2f} MiB", mib(plan.size_bytes()));
}

/// "4", or "2 to 8" where layers differ.
std::string show_experts(const ResolvedRows& resolved) {
  const auto [least, most] = std::ranges::minmax(resolved.rows, {}, &LayerPolicy::k);
  return least.k == most.k ? std::to_string(most.k) : fmt::format("{} to {}", least.k, most.k);
}

std::string name_of(const Model& model) {
  return printable(model.file().metadata().get_string("general.name").value_or("no name"));
}

/// ", Q4_K_M", where the file says what it was made with.
std::string format_of(const Model& model) {
  const std::optional<int64_t> file_type = model.file().metadata().get_int("general.file_type");
  const std::span<const QuantMix> mixes = quant_mixes();
  const auto mix = std::ranges::find_if(mixes, [&](const QuantMix& m) { return m.file_type == file_type; });
  return mix == mixes.end() ? "" : fmt::format(", {}", mix->name);
}

}  // namespace

std::string describe_file(const GgufFile& file, const std::vector<std::string>& overridden) {
  std::string out;
  line(out, "{}: GGUF version {}, {} metadata values, {} tensors, {:.2f} MiB", file.name(), file.version(),
       file.metadata().entries().size(), file.tensors().size(), mib(file.size_bytes()));
  line(out, "\nmetadata");
  for (const auto& [key, value] : file.metadata().entries()) {
    const bool changed = std::find(overridden.begin(), overridden.end(), key) != overridden.end();
    line(out, "  {} = {}{}", printable(key), show(value), changed ? "  (overridden)" : "");
  }
  sum_tensors(file, out);
  return out;
}

std::string describe_tensors(const GgufFile& file) {
  std::string out;
  for (const GgufTensor& t : file.tensors()) {
    line(out, "{:<40} {:<20} {:<8} {:>12} bytes", printable(t.name), t.shape.to_string(), type_of(t.type_id),
         t.size_bytes);
  }
  return out;
}

std::string file_json(const GgufFile& file) {
  using Json = nlohmann::ordered_json;
  Json metadata = Json::object(), tensors = Json::array();
  for (const auto& [key, value] : file.metadata().entries())
    metadata[key] = std::visit([](const auto& v) { return json_of(v); }, value.data);
  for (const GgufTensor& t : file.tensors()) {
    Json shape = Json::array();
    for (int d = 0; d < t.shape.n_dims(); ++d) shape.push_back(t.shape[d]);
    tensors.push_back(
        {{"name", t.name}, {"shape", shape}, {"type", type_of(t.type_id)}, {"bytes", t.size_bytes}});
  }
  const Json all = {{"version", file.version()}, {"metadata", metadata}, {"tensors", tensors}};
  return all.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::string describe_model(const std::filesystem::path& path, const std::vector<KeyOverride>& overrides,
                           int64_t n_ctx, CacheType cache_type) {
  std::string out;
  try {
    describe_plan(Model(path, {.overrides = overrides, .read_in = false}), n_ctx, cache_type, out);
  } catch (const Error& e) {
    line(out, "\nmodel\n  cannot be run: {}", e.what());
  }
  return out;
}

void warn_of_long_context(const Model& model, int64_t n_token) {
  if (n_token <= model.hparams().n_ctx_train) return;
  log::warn("{} tokens are more than the model was trained for ({})", n_token, model.hparams().n_ctx_train);
}

std::string describe_cache(const CachePlan& plan) {
  size_t bytes[2] = {}, state_bytes = 0;
  for (int g = 0; g < plan.n_group(); ++g) {
    const CacheGroup& group = plan.group(g);
    const size_t n = group.blocks.size() * static_cast<size_t>(plan.n_page(g));
    for (size_t part = 0; part < group.n_part(); ++part)
      (group.is_state() ? state_bytes : bytes[part]) += n * plan.part_bytes(g, part);
  }
  const auto size = [](size_t n) { return fmt::format(" {:.2f} MiB", mib(n)); };
  const bool values = plan.has_values();
  std::string text = cache_type_name(plan.type.k) + (values ? " keys" : " latents") + size(bytes[0]);
  if (values) text += ", " + cache_type_name(plan.type.v) + " values" + size(bytes[1]);
  if (state_bytes > 0) text += ", states" + size(state_bytes);
  return text;
}

std::string describe_title(const Model& model) { return name_of(model) + format_of(model); }

std::string describe_name(const Model& model) {
  const auto millions = [](int64_t n) { return static_cast<double>(n) / 1e6; };
  std::string out =
      fmt::format("model: {}, {:.1f} M parameters", name_of(model), millions(model.n_parameters()));
  if (!model.moe_layers().empty()) {
    const int k = model.moe_layers().front().router.n_expert_used;
    out += fmt::format(" ({:.1f} M active)", millions(n_active_parameters(model, k)));
  }
  return out + format_of(model) + ", " + printable(model.file().name());
}

std::string describe_routing(const Model& model, const RoutingPolicy& policy) {
  const std::vector<MoeLayer>& layers = model.moe_layers();
  if (layers.empty()) return "routing: none, the model has no experts";
  const auto resolve = [&](Phase phase) {
    return resolve_rows(policy, phase, layers, model.hparams().n_layer);
  };
  const ResolvedRows resolved = resolve(Phase::Prefill);
  const RouterSpec& router = layers.front().router;
  const std::string prefill = show_experts(resolved), decode = show_experts(resolve(Phase::Decode));
  std::string out =
      fmt::format("routing: {}, {} of {} experts per token",
                  policy == RoutingPolicy{} ? "the model's own" : "as asked for", prefill, router.n_logits());
  if (decode != prefill) out += fmt::format(" of the prompt and {} generated", decode);
  if (resolved.rows.front().grouped()) {
    out += fmt::format(", grouped ({} of {} groups)", router.n_group_used, router.n_group);
  } else {
    out += fmt::format(", standard ({})", router.has_groups() ? "all groups" : "no groups");
  }
  if (policy.threshold)
    out += fmt::format(", threshold {},{}", policy.threshold->min_k, policy.threshold->share);
  int n_masked = 0;
  for (const uint32_t word : resolved.masks) n_masked += std::popcount(word);
  if (n_masked > 0) out += fmt::format(", {} masked", n_masked);
  return out;
}

}  // namespace sw::cli
