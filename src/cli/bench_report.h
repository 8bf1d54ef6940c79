// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "cli/profile_flag.h"
#include "eval/sweep_bench.h"

namespace sw::cli {

/// Prints the rows of a sweep to stdout as they come: a Markdown table, or a JSON object each.
class BenchReport {
 public:
  struct Options {
    bool markdown = true;
    std::vector<std::string> names = {};  ///< of the policies; behind them that of the mix, if there is one
    bool mix = false;
    int64_t n_seq = 1;
    std::vector<ProfileDevice> devices = {};  ///< of profiles, where rows have one
  };

  explicit BenchReport(Options options) : options_(std::move(options)) {}

  /// The head of a table.
  void begin() const;
  void add(const SweepRow& row);
  /// The profiles, behind a table.
  void end() const;

 private:
  const std::string& name_of(const SweepRow& row) const { return options_.names[row.policy]; }
  bool is_mix(const SweepRow& row) const { return options_.mix && row.policy + 1 == options_.names.size(); }
  std::string table_line(const SweepRow& row) const;
  std::string json_line(const SweepRow& row) const;

  Options options_;
  std::vector<SweepRow> rows_;  // of the last n_kv
  std::string profiles_;        // what end() prints
};

}  // namespace sw::cli
