// SPDX-License-Identifier: MIT
#include "cli/model_report.h"

#include <algorithm>
#include <bit>
#include <fmt/core.h>
#include <iterator>
#include <map>

#include "base/error.h"
#include "engine/engine.h"
#include "model/forward.h"

namespace sw::cli {
namespace {

constexpr size_t kMaxShownItems = 6;
constexpr size_t kMaxShownBytes = 80;

double mib(size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

template <class... Args>
void line(std::string& out, fmt::format_string<Args...> format, Args&&... args) {
  fmt::format_to(std::back_inserter(out), format, std::forward<Args>(args)...);
  out += '\n';
}

std::string show_item(int64_t v) { return std::to_string(v); }
std::string show_item(uint64_t v) { return std::to_string(v); }
std::string show_item(double v) { return fmt::format("{:.9g}", v); }
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

std::string show(const GgufValue& value) {
  return std::visit([](const auto& v) { return show_item(v); }, value.data);
}

std::string show_figure(const Key& key, double value) {
  if (!key.gguf_names.empty()) return std::string(name_of_value(key.gguf_names, static_cast<int>(value)));
  HParams probe;
  const bool is_bool = std::holds_alternative<bool*>(key.field(probe));
  return is_bool ? show_item(value != 0) : show_item(value);
}

void describe_tensors(const GgufFile& file, std::string& out) {
  struct Sum {
    size_t n_tensors = 0, bytes = 0;
    int64_t elements = 0;
  };
  std::map<uint32_t, Sum> by_type;
  Sum all;
  for (const GgufTensor& t : file.tensors()) {
    for (Sum* sum : {&by_type[t.type_id], &all}) {
      ++sum->n_tensors;
      sum->bytes += t.size_bytes;
      sum->elements += t.shape.n_elements();
    }
  }
  line(out, "\ntensors");
  const auto bits = [](const Sum& s) {
    return s.elements ? 8.0 * static_cast<double>(s.bytes) / static_cast<double>(s.elements) : 0.0;
  };
  for (const auto& [id, sum] : by_type) {
    const std::optional<Type> type = type_from_id(id);
    const std::string name = type ? type_name(*type) : "type " + std::to_string(id);
    line(out, "  {:<8} {:>5} tensors {:>14} elements {:>10.2f} MiB", name, sum.n_tensors, sum.elements,
         mib(sum.bytes));
  }
  line(out, "  {:<8} {:>5} tensors {:>14} elements {:>10.2f} MiB, {:.3f} bits per weight", "all",
       all.n_tensors, all.elements, mib(all.bytes), bits(all));
}

/// Every figure that the architecture has, and who said so.
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

void describe_plan(const Model& model, int64_t n_ctx, std::string& out) {
  const int k = model.moe_layers().empty() ? 0 : model.moe_layers().front().router.n_expert_used;
  line(out, "\nmodel");
  line(out, "  parameters        {:.3f} M, {:.3f} M active a token",
       static_cast<double>(model.n_parameters()) / 1e6,
       static_cast<double>(model.n_active_parameters(k)) / 1e6);
  describe_figures(model, out);
  for (const std::string& note : model.notes()) line(out, "  {}", note);
  if (n_ctx == 0) n_ctx = model.hparams().n_ctx_train;
  PolicyTable policies(model.moe_layers(), model.hparams().n_layer, experts_needed(model, {}), 1);
  const Forward forward(model, policies, {.plan_only = true});
  const size_t cache =
      Forward::cache_plan(model, n_ctx, Type::F16, 1, ForwardOptions{}.n_ubatch).size_bytes();
  line(out, "\nmemory");
  line(
      out, "  weights           {:>10.2f} MiB (mapped from the file{})", mib(model.weight_bytes()),
      model.copied_bytes() ? fmt::format(", but for {:.2f} that are copied", mib(model.copied_bytes())) : "");
  line(out, "  KV cache          {:>10.2f} MiB ({} tokens, f16)", mib(cache), n_ctx);
  line(out, "  buffers           {:>10.2f} MiB (u-batch {})", mib(forward.buffer_bytes()),
       forward.options().n_ubatch);
  line(out, "  all               {:>10.2f} MiB", mib(model.weight_bytes() + cache + forward.buffer_bytes()));
}

/// "4", or "2 to 8" where layers differ.
std::string show_experts(const PhasePolicies& policies, uint16_t id) {
  int least = policies.table.at(id, 0).k, most = least;
  for (int layer = 1; layer < policies.table.n_moe_layer(); ++layer) {
    least = std::min(least, policies.table.at(id, layer).k);
    most = std::max(most, policies.table.at(id, layer).k);
  }
  return least == most ? std::to_string(most) : fmt::format("{} to {}", least, most);
}

}  // namespace

std::string describe_file(const GgufFile& file, const std::vector<std::string>& overridden) {
  std::string out;
  line(out, "{}: GGUF version {}, {} metadata values, {} tensors, {:.2f} MiB", file.name(), file.version(),
       file.metadata().size(), file.tensors().size(), mib(file.size_bytes()));
  line(out, "\nmetadata");
  for (const auto& [key, value] : file.metadata()) {
    const bool changed = std::find(overridden.begin(), overridden.end(), key) != overridden.end();
    line(out, "  {} = {}{}", printable(key), show(value), changed ? "  (overridden)" : "");
  }
  describe_tensors(file, out);
  return out;
}

std::string describe_model(const std::filesystem::path& path, const std::vector<KeyOverride>& overrides,
                           int64_t n_ctx) {
  std::string out;
  try {
    describe_plan(Model(path, {.overrides = overrides, .read_in = false}), n_ctx, out);
  } catch (const Error& e) {
    line(out, "\nmodel\n  cannot be run: {}", e.what());
  }
  return out;
}

PhasePolicies resolve_policy(const Model& model, const RoutingPolicy& policy) {
  PhasePolicies result{
      .table = PolicyTable(model.moe_layers(), model.hparams().n_layer, experts_needed(model, policy), 3)};
  result.prefill = result.table.resolve(policy, Phase::Prefill);
  result.decode = result.table.resolve(policy, Phase::Decode);
  return result;
}

std::string describe_routing(const Model& model, const RoutingPolicy& policy) {
  if (model.moe_layers().empty()) return "routing: none, the model has no experts";
  const PhasePolicies policies = resolve_policy(model, policy);
  const RouterSpec& router = model.moe_layers().front().router;
  const std::string prefill = show_experts(policies, policies.prefill),
                    decode = show_experts(policies, policies.decode);
  std::string out =
      fmt::format("routing: {}, {} of {} experts a token",
                  policy == RoutingPolicy{} ? "the model's own" : "as asked for", prefill, router.n_logits());
  if (decode != prefill) out += fmt::format(" of the prompt and {} generated", decode);
  if (policies.table.at(policies.prefill, 0).grouped()) {
    out += fmt::format(", grouped ({} of {} groups)", router.n_group_used, router.n_group);
  } else {
    out += fmt::format(", standard ({})", router.has_groups() ? "all groups" : "no groups");
  }
  if (policy.threshold)
    out += fmt::format(", threshold {}:{}", policy.threshold->min_k, policy.threshold->share);
  int n_masked = 0;
  for (int layer = 0; layer < policies.table.n_moe_layer(); ++layer) {
    for (const uint32_t word : policies.table.mask(policies.prefill, layer)) n_masked += std::popcount(word);
  }
  if (n_masked > 0) out += fmt::format(", {} masked", n_masked);
  return out;
}

}  // namespace sw::cli
