// SPDX-License-Identifier: MIT
#include "eval/routing_report.h"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/half.h"
#include "router/stats_json.h"

namespace sw {
namespace {

using nlohmann::ordered_json;

constexpr const char* kKind = "switchyard_routing_statistics";
constexpr int kVersion = 1;
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 28;

/// The mean of a histogram's index.
double mean_of(const std::vector<uint64_t>& histogram) {
  double sum = 0, n = 0;
  for (size_t i = 0; i < histogram.size(); ++i) {
    sum += static_cast<double>(i) * static_cast<double>(histogram[i]);
    n += static_cast<double>(histogram[i]);
  }
  return n > 0 ? sum / n : 0;
}

}  // namespace

std::string stats_table(const RoutingStats& stats) {
  std::string out =
      "| layer | tokens | experts used | max / mean | entropy of weights, bits | groups per token | "
      "experts with weights per token |\n|---|---|---|---|---|---|---|\n";
  for (const LayerStats& l : stats.layers()) {
    const auto real = std::span(l.counts).first(static_cast<size_t>(l.n_expert));
    const auto n_used = std::count_if(real.begin(), real.end(), [](uint64_t n) { return n > 0; });
    const double n_token = std::max(1.0, static_cast<double>(l.n_tokens));
    out += fmt::format("| {} | {} | {} of {} | {:.2f} | {:.3f} | {:.2f} | {:.2f} |\n", l.layer, l.n_tokens,
                       n_used, l.n_expert, l.imbalance(), l.entropy_bits / n_token,
                       mean_of(l.groups_per_token), mean_of(l.real_per_token));
  }
  return out;
}

void write_stats(const RoutingStats& stats, const StatsOrigin& origin, const std::filesystem::path& path) {
  ordered_json file = {{"kind", kKind},
                       {"version", kVersion},
                       {"model", origin.model},
                       {"policy", origin.policy},
                       {"layers", ordered_json::array()}};
  for (const LayerStats& l : stats.layers()) file["layers"].push_back(stats_to_json(l));
  AtomicFile out(path);
  out.write(file.dump() + "\n");
  out.commit();
}

RoutingStats read_stats(const std::filesystem::path& path, const StatsOrigin& origin,
                        std::span<const MoeLayer> layers) {
  const auto refuse = [&](const std::string& why) -> Error {
    return Error({.what = "this file holds no routing statistics",
                  .where = path.string(),
                  .expected = "what switchyard routing --out wrote",
                  .got = why});
  };
  try {
    const ordered_json file = ordered_json::parse(read_file(path, kMaxFileBytes, Reading::Update));
    if (file.at("kind") != kKind || file.at("version") != kVersion) throw refuse("another kind or version");
    // A file of an earlier version does not say.
    const StatsOrigin its{.model = file.value("model", origin.model),
                          .policy = file.value("policy", origin.policy)};
    if (its != origin) {
      throw Error({.what = "these statistics are of another model or policy",
                   .where = path.string(),
                   .expected = origin.model + ", " + origin.policy,
                   .got = its.model + ", " + its.policy,
                   .hint = "a file for each"});
    }
    std::vector<LayerStats> read;
    for (const ordered_json& j : file.at("layers")) {
      read.push_back({.layer = j.at("layer"),
                      .n_expert = j.at("n_expert"),
                      .group_size = j.at("group_size"),
                      .n_tokens = j.at("n_tokens"),
                      .counts = j.at("counts"),
                      .groups_per_token = j.at("groups_per_token"),
                      .real_per_token = j.at("real_per_token"),
                      .entropy_bits = j.at("entropy_bits")});
    }
    return naming_file(path.string(), [&] { return RoutingStats(layers, std::move(read)); });
  } catch (const nlohmann::json::parse_error&) {
    throw refuse("no JSON");
  } catch (const nlohmann::json::exception&) {  // its words name the library's types
    throw refuse("JSON of something else: a member is missing or has another type");
  }
}

RoutingTrace::RoutingTrace(std::span<const MoeLayer> layers) {
  for (const MoeLayer& l : layers) layers_.push_back({.layer = l.layer});
}

void RoutingTrace::on_routing(int moe_layer, TensorView<const float>, const Routing& routing) {
  Layer& l = layers_[static_cast<size_t>(moe_layer)];
  l.k = routing.ids.n_cols();
  for (int64_t t = 0; t < routing.n_tokens(); ++t) {
    for (int64_t s = 0; s < l.k; ++s) {
      l.ids.push_back(static_cast<int16_t>(routing.ids.at(t, s)));
      l.weights.push_back(f32_to_f16(routing.weights.at(t, s)));
    }
  }
}

void RoutingTrace::write(const std::filesystem::path& path) const {
  SafetensorsWriter writer;
  for (const Layer& l : layers_) {
    const int64_t n_token = l.k > 0 ? std::ssize(l.ids) / l.k : 0;
    const std::string name = "layer" + std::to_string(l.layer);
    writer.add(name + ".topk_ids", {n_token, l.k}, l.ids);
    writer.add_f16(name + ".topk_weights", {n_token, l.k}, l.weights);
  }
  writer.write(path);
}

}  // namespace sw
