// SPDX-License-Identifier: MIT
#include <algorithm>
#include <filesystem>
#include <fmt/core.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/chunked_text.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "cli/model_report.h"
#include "cli/text_input.h"
#include "eval/collect_importance.h"
#include "router/policy_json.h"
#include "router/resolve.h"
#include "tokenizer/tokenizer.h"

namespace sw::cli {
namespace {

struct ImatrixFlags {
  ModelFlags model = {};
  ChunkedText text = {};
  std::string out = "imatrix.gguf";
  std::vector<std::string> in_files = {};
  bool parse_special = false, with_output = false, show = false;
};

/// Inputs of products are seen on the CPU, in kernels that take them unrounded.
void refuse_other_kernels(const ModelFlags& flags) {
  const PlacementFlags& placement = flags.placement;
  const bool on_gpu = (!placement.device.empty() && placement.device != "none") ||
                      placement.n_gpu_layers > 0 || !placement.overrides.empty();
  if (!on_gpu && !flags.no_fused) return;
  throw Error({.what = "importance is measured on the CPU, with kernels of its own",
               .where = !on_gpu                       ? "--no-fused"
                        : placement.n_gpu_layers > 0  ? "-ngl"
                        : placement.overrides.empty() ? "--device"
                                                      : "-ot",
               .hint = "leave the flag out"});
}

/// The policy as JSON, empty where it means what the model does by itself.
std::string name_routing(const Model& model, const RoutingPolicy& policy) {
  const auto resolve = [&](const RoutingPolicy& p) {
    return resolve_rows(p, Phase::Prefill, model.moe_layers(), model.hparams().n_layer);
  };
  const ResolvedRows own = resolve({}), asked = resolve(policy);
  return asked.rows == own.rows && asked.masks == own.masks ? "" : policy_to_json(policy).dump();
}

/// What the text of the flags shows. `before`, if any, is what it will be added to, which is checked first.
ImportanceMatrix collect(const ImatrixFlags& flags, const ImportanceMatrix* before) {
  refuse_other_kernels(flags.model);
  const std::string text = read_text(flags.text.file);
  const RoutingPolicy policy = flags.model.policy();
  const std::unique_ptr<const Model> model = load_model(flags.model, {policy});
  if (!flags.show) check_writable(flags.out, FileKind::Gguf);  // now that the model is an input
  const Tokenizer tokenizer = Tokenizer::from_gguf(model->file());
  const std::vector<int32_t> tokens = tokenizer.encode(text, {.parse_special = flags.parse_special});
  PerplexityOptions options{.n_ctx = flags.text.n_ctx,
                            .n_chunk = flags.text.n_chunk,
                            .bos = tokenizer.add_bos() ? tokenizer.bos_id() : std::nullopt,
                            .cache_type = flags.model.cache.type()};
  warn_of_long_context(*model, options.n_ctx);
  const int64_t n_seq = std::max<int64_t>(1, flags.model.n_ubatch / flags.text.n_ctx);
  MeasureOptions pass = measure_options(flags.model, {flags.text.n_ctx, n_seq});
  pass.devices.devices = "none";
  pass.forward.observe_products = true;
  ImportanceMatrix nothing_yet = no_importance_yet(*model, options.n_ctx);
  nothing_yet.routing = name_routing(*model, policy);
  if (before) before->check_merge(nothing_yet, "what " + flags.text.file + " would give");
  MeasuredModel measured(*model, pass, {&policy, 1}, log_notes());
  options.policy = measured.policy(0, Phase::Prefill);
  log::info("{}", describe_routing(*model, policy));
  ImportanceMatrix matrix = collect_importance(measured.forward(), *model, tokens, options, flags.with_output,
                                               [](const Perplexity& so_far, int64_t n) {
                                                 log::info("[{}/{}] {:.4f}", so_far.n_chunk, n, so_far.value);
                                               });
  matrix.datasets = {std::filesystem::path(flags.text.file).filename().string()};
  matrix.routing = nothing_yet.routing;
  return matrix;
}

/// What one line of the table says of a tensor.
struct ImportanceSummary {
  int64_t n_unseen = 0;
  double n_input = 0, mean = 0, largest = 0;

  explicit ImportanceSummary(const Importance& one) {
    const auto n_matrix = std::ssize(one.counts);
    const int64_t n_col = std::ssize(one.sum_squares) / n_matrix;
    for (int64_t m = 0; m < n_matrix; ++m) {
      const std::vector<float> means = one.means(m, n_col);
      n_input += one.count(m);
      n_unseen += means.empty();
      for (const float v : means) {
        mean += v;
        largest = std::max(largest, static_cast<double>(v));
      }
    }
    mean /= static_cast<double>(std::max<int64_t>(1, n_matrix - n_unseen) * n_col);
  }
};

/// One line a tensor: whether all experts were seen, and how unequal its columns are.
void show(const ImportanceMatrix& matrix) {
  for (const std::string& name : matrix.datasets) fmt::print("text: {}\n", printable(name));
  fmt::print("{} chunks of {} tokens, routing: {}\n", matrix.n_chunk, matrix.chunk_tokens,
             !matrix.routing           ? "not recorded"
             : matrix.routing->empty() ? "the model's own"
                                       : printable(*matrix.routing));
  for (const auto& [key, value] : matrix.expert_keys)
    fmt::print("  {} = {}\n", printable(key), printable(value));
  fmt::print("{:<36} {:>8} {:>8} {:>12} {:>10} {:>12}\n", "tensor", "matrices", "unseen", "inputs", "mean",
             "largest/mean");
  for (const auto& [name, one] : matrix.tensors) {
    const ImportanceSummary sum(one);
    fmt::print("{:<36} {:>8} {:>8} {:>12.0f} {:>10.4g} {:>12.1f}\n", printable(name), one.counts.size(),
               sum.n_unseen, sum.n_input, sum.mean, sum.mean > 0 ? sum.largest / sum.mean : 0);
  }
}

int run(const ImatrixFlags& flags) {
  if (flags.text.file.empty() && flags.in_files.empty())
    throw UsageError("imatrix: expected a text (-f FILE), or matrices to merge or to show (--in-file FILE)");
  if (flags.text.file.empty() && (flags.with_output || flags.parse_special))
    throw UsageError("imatrix: --process-output and --parse-special are for a text (-f FILE)");
  std::optional<ImportanceMatrix> all;
  const auto add = [&](ImportanceMatrix one, const std::string& name) {
    if (all) {
      all->merge(one, name);
    } else {
      all = std::move(one);
    }
  };
  for (const std::string& file : flags.in_files) add(ImportanceMatrix::read(file), file);
  if (!flags.show) check_writable(flags.out, FileKind::Gguf);  // before the text is computed
  if (!flags.text.file.empty()) add(collect(flags, all ? &*all : nullptr), flags.text.file);
  if (flags.show) {
    show(*all);
    return kExitOk;
  }
  for (const std::string& line : unseen_experts(*all)) log::warn("{} saw no token", line);
  all->write(flags.out);
  log::info("wrote {}: {} tensors, {} chunks of {} tokens", flags.out, all->tensors.size(), all->n_chunk,
            all->chunk_tokens);
  return kExitOk;
}

}  // namespace

void add_imatrix(CLI::App& program, Action& action) {
  auto flags = std::make_shared<ImatrixFlags>();
  CLI::App* command =
      program.add_subcommand("imatrix", "measure on a text how much each column of the weights counts");
  add_text_flags(*command, flags->text);
  command->get_option("--file")->required(false);
  command->add_option("-o,--output-file", flags->out, "the file to write")
      ->option_text("FILE")
      ->capture_default_str();
  command->add_option("--in-file", flags->in_files, "add what an earlier matrix has seen; repeatable")
      ->allow_extra_args(false)
      ->option_text("FILE");
  command->add_flag("--process-output", flags->with_output, "measure the output matrix too");
  command->add_flag("--parse-special", flags->parse_special,
                    "find special tokens that are written in the text");
  command->add_flag("--show-statistics", flags->show, "print a line for each tensor, write nothing");
  add_model_flags(*command, flags->model, "f32");
  on_run(command, action, [flags] { return run(*flags); });
}

}  // namespace sw::cli
