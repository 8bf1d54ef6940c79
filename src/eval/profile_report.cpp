// SPDX-License-Identifier: MIT
#include "eval/profile_report.h"

#include <algorithm>
#include <fmt/core.h>

namespace sw {
namespace {

bool by_layer(const ProfileSummary& profile) {
  return std::ranges::any_of(profile.rows, [](const ProfileRow& row) { return row.layer >= 0; });
}

/// Bytes of weights a second; nothing where none are read, or nobody knows how many.
std::optional<double> rate_of(const ProfileRow& row) {
  if (!row.weight_bytes || *row.weight_bytes == 0 || row.seconds <= 0) return {};
  return static_cast<double>(*row.weight_bytes) / row.seconds;
}

std::optional<double> share_of_limit(const ProfileRow& row, const ProfileDevice& device) {
  const std::optional<double> rate = rate_of(row);
  return rate && device.read_limit > 0 ? std::optional(*rate / device.read_limit) : std::nullopt;
}

/// `head`: what stands before the numbers.
std::string line(const std::string& head, const ProfileRow& row, const ProfileDevice& device, double wall_s) {
  const std::optional<double> rate = rate_of(row), share = share_of_limit(row, device);
  const bool reads = !row.weight_bytes || *row.weight_bytes > 0;
  const std::string weights = !reads ? ""
                              : row.weight_bytes
                                  ? fmt::format("{:.3f}", static_cast<double>(*row.weight_bytes) / 1e6)
                                  : "?";
  return head + fmt::format(" {:>7} | {:>10.3f} | {:>5.1f} % | {:>10} | {:>7} | {:>8} |\n",
                            row.n_call > 0 ? std::to_string(row.n_call) : "", 1e3 * row.seconds,
                            100 * row.seconds / wall_s, weights,
                            rate ? fmt::format("{:.1f}", *rate / 1e9) : "",
                            share ? fmt::format("{:.0f} %", 100 * *share) : "");
}

}  // namespace

std::vector<ProfileDevice> profile_devices(Forward& forward) {
  const std::vector<double> limits = forward.measure_read_limits();
  std::vector<ProfileDevice> devices;
  for (size_t d = 0; d < limits.size(); ++d)
    devices.push_back({forward.placed().devices()[d]->info().name, limits[d]});
  return devices;
}

std::string profile_table(const ProfileSummary& profile, std::span<const ProfileDevice> devices) {
  const bool layers = by_layer(profile);
  const auto head = [&](const std::string& operation, const std::string& device, int layer) {
    std::string out = fmt::format("| {:<10} | {:<6} |", operation, device);
    if (layers) out += layer >= 0 ? fmt::format(" {:>5} |", layer) : "       |";
    return out;
  };
  std::string out = fmt::format(
      "| operation  | device |{}   calls |    time ms |   share | weights MB |    GB/s | of limit |\n",
      layers ? " layer |" : "");
  out += fmt::format(
      "|------------|--------|{}---------|------------|---------|------------|---------|----------|\n",
      layers ? "-------|" : "");
  for (size_t d = 0; d < devices.size(); ++d) {
    ProfileRow rest{.device = static_cast<int>(d), .seconds = profile.wall_s};
    bool any = false;
    for (const ProfileRow& row : profile.rows) {
      if (row.device != rest.device) continue;
      out += line(head(row.operation, devices[d].name, row.layer), row, devices[d], profile.wall_s);
      rest.seconds -= row.seconds;
      any = true;
    }
    if (any) out += line(head("rest", devices[d].name, -1), rest, devices[d], profile.wall_s);
  }
  out.pop_back();
  return out;
}

nlohmann::ordered_json profile_json(const ProfileSummary& profile, std::span<const ProfileDevice> devices) {
  nlohmann::ordered_json limits = nlohmann::ordered_json::object(), rows = nlohmann::ordered_json::array();
  const auto or_null = [](const auto& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
  };
  for (const ProfileDevice& device : devices) {
    if (device.read_limit > 0) limits[device.name] = device.read_limit;
  }
  for (const ProfileRow& row : profile.rows) {
    const ProfileDevice& device = devices[static_cast<size_t>(row.device)];
    nlohmann::ordered_json& j = rows.emplace_back();
    j = {{"operation", row.operation}, {"device", device.name}};
    if (row.layer >= 0) j["layer"] = row.layer;
    j["n_call"] = row.n_call;
    j["time_s"] = row.seconds;
    j["weight_bytes"] = or_null(row.weight_bytes);
    j["bytes_per_s"] = or_null(rate_of(row));
    j["of_limit"] = or_null(share_of_limit(row, device));
  }
  return {{"n_pass", profile.n_pass},
          {"n_token", profile.n_token},
          {"wall_s", profile.wall_s},
          {"read_limit_bytes_per_s", limits},
          {"rows", rows}};
}

}  // namespace sw
