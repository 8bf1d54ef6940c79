// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/cache_flags.h"
#include "cli/placement_flags.h"
#include "model/forward.h"
#include "router/policy.h"
#include "runtime/measured_model.h"
#include "runtime/open_model.h"
#include "tokenizer/tokenizer.h"

/// The flags that every subcommand which runs a model has.
namespace sw::cli {

struct ModelFlags {
  std::string model = {};  ///< empty: the default model
  std::vector<std::string> overrides = {};
  int n_thread = 0;  ///< 0: one per core
  int n_ubatch = 512;
  bool repack = false;
  CacheFlags cache = {};
  bool no_fused = false, invariant = false, explain = false;
  std::string flash = "on";
  bool fused_moe = true;  ///< always on; the flag is llama.cpp's users' habit

  std::string experts = {}, experts_prefill = {}, experts_decode = {}, threshold = {};
  std::vector<std::string> masks = {};
  std::string grouped = {};  ///< "true", "false", or empty: as the file says
  int experts_max = 0;

  PlacementFlags placement = {};

  /// Throws sw::Error on nonsense.
  RoutingPolicy policy() const;
  ForwardOptions forward_options() const;
};

/// `cache_default`: "f16", or "f32" for measuring.
void add_model_flags(CLI::App& command, ModelFlags& flags, const char* cache_default = "f16");
/// -m alone.
void add_model_file_flag(CLI::App& command, std::string& model);

/// --template-name
CLI::Option* add_template_name_flag(CLI::App& command, std::string& name);

/// The file that -m names, or the default model. Throws sw::Error where there is none.
std::filesystem::path model_path(const std::string& flag);

/// The same for a GGUF file: of a Hugging Face folder, or a file in one, the error says how to convert it.
std::filesystem::path model_file(const std::string& flag);

/// Of the GGUF file, tokenizer.json or Hugging Face folder that -m names, or of the default model.
Tokenizer load_tokenizer(const std::string& flag);

std::vector<RoutingPolicy> policies_of(std::span<const NamedPolicy> named);

/// Notes as lines on stderr.
Notes log_notes();

/// Opens the model with a progress bar; `on_read`, if any, is told the same. Policies that it cannot do are
/// refused before the weights are read.
std::unique_ptr<const Model> load_model(const ModelFlags& flags, std::vector<RoutingPolicy> policies,
                                        const Progress& on_read = {});

/// Tokens of a sequence, and sequences at one time.
struct MeasuredRoom {
  int64_t n_ctx = 0;
  int64_t n_seq = 1;
};
/// What the flags say, for a pass of that room.
MeasureOptions measure_options(const ModelFlags& flags, MeasuredRoom room);

}  // namespace sw::cli
