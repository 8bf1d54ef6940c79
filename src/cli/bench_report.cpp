// SPDX-License-Identifier: MIT
#include "cli/bench_report.h"

#include <cstdio>
#include <fmt/core.h>
#include <nlohmann/json.hpp>
#include <utility>

namespace sw::cli {
namespace {

double each(double rate, const SweepRow& row) { return rate / static_cast<double>(row.n_seq); }

}  // namespace

/// The first columns are those of other engines' sweeps, whose scripts draw them; ours follow.
void BenchReport::begin() const {
  if (!options_.markdown) return;
  std::string head =
      "|    PP |     TG |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s | PP +/- | TG +/- |";
  std::string line =
      "|-------|--------|--------|----------|----------|----------|----------|--------|--------|";
  if (options_.n_seq > 1) {
    head += " N_SEQ | PP/seq t/s | TG/seq t/s |";
    line += "-------|------------|------------|";
  }
  if (options_.names.size() > 1) head += " policy |", line += "---|";
  if (options_.mix) head += " mix costs |", line += "---|";
  fmt::print("{}\n{}\n", head, line);
}

void BenchReport::add(const SweepRow& row) {
  if (row.policy == 0) rows_.clear();
  rows_.push_back(row);
  fmt::print("{}\n", options_.markdown ? table_line(row) : json_line(row));
  std::fflush(stdout);
  if (!row.profile || !options_.markdown) return;
  for (const auto& [phase, profile] :
       {std::pair("prefill", &row.profile->prefill), {"decode", &row.profile->decode}}) {
    const std::string title = fmt::format("{} at N_KV {}, {}", phase, row.n_kv, name_of(row));
    profiles_ += "\n" + describe_profile(title, *profile, options_.devices) + "\n";
  }
}

void BenchReport::end() const { fmt::print("{}", profiles_); }

std::string BenchReport::table_line(const SweepRow& row) const {
  std::string line = fmt::format(
      "| {:>5} | {:>6} | {:>6} | {:>8.4f} | {:>8.2f} | {:>8.4f} | {:>8.2f} | {:>4.1f} % | {:>4.1f} % |",
      row.n_prefill, row.n_decode, row.n_kv, row.prefill.median_s, row.prefill_rate(), row.decode.median_s,
      row.decode_rate(), 100 * row.prefill.spread, 100 * row.decode.spread);
  if (options_.n_seq > 1) {
    line += fmt::format(" {:>5} | {:>10.2f} | {:>10.2f} |", row.n_seq, each(row.prefill_rate(), row),
                        each(row.decode_rate(), row));
  }
  if (options_.names.size() > 1) line += " " + name_of(row) + " |";
  if (!options_.mix) return line;
  if (!is_mix(row)) return line + " |";
  const MixCost cost = mix_cost(rows_);
  return line + fmt::format(" PP {:+.1f} %, TG {:+.1f} % |", 100 * cost.prefill, 100 * cost.decode);
}

std::string BenchReport::json_line(const SweepRow& row) const {
  nlohmann::ordered_json j = {{"policy", name_of(row)},
                              {"n_pp", row.n_prefill},
                              {"n_tg", row.n_decode},
                              {"n_kv", row.n_kv},
                              {"t_pp_s", row.prefill.median_s},
                              {"s_pp", row.prefill_rate()},
                              {"spread_pp", row.prefill.spread},
                              {"t_tg_s", row.decode.median_s},
                              {"s_tg", row.decode_rate()},
                              {"spread_tg", row.decode.spread},
                              {"tg_weight_bytes", row.decode_weight_bytes}};
  if (options_.n_seq > 1) {
    j["n_seq"] = row.n_seq;
    j["s_pp_seq"] = each(row.prefill_rate(), row);
    j["s_tg_seq"] = each(row.decode_rate(), row);
  }
  if (is_mix(row)) {
    const MixCost cost = mix_cost(rows_);
    j["mix_cost_pp"] = cost.prefill;
    j["mix_cost_tg"] = cost.decode;
  }
  if (row.profile) {
    j["profile_pp"] = profile_json(row.profile->prefill, options_.devices);
    j["profile_tg"] = profile_json(row.profile->decode, options_.devices);
  }
  return j.dump();
}

}  // namespace sw::cli
