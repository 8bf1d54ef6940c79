// SPDX-License-Identifier: MIT
#pragma once
#include <optional>
#include <string>

#include "base/error.h"
#include "convert/hf_config.h"
#include "golden/ling_golden.h"

namespace sw {

/// Every model of ../shared/data/golden, some of ../shared/data/golden_next, and qwen2 of tests/data. Those
/// of an architecture that is not declared yet are skipped aloud.
inline constexpr const char* kGoldenModels[] = {"bailing_moe_v2",
                                                "bailing_moe_v2_qkvbias",
                                                "bailing_moe_v2_mtp",
                                                "llama",
                                                "llama_llama3rope",
                                                "qwen2",
                                                "qwen3",
                                                "qwen3_moe",
                                                "qwen3_moe_sparse2",
                                                "qwen3_moe_bf16_sharded",
                                                "qwen3_vl_moe",
                                                "olmoe",
                                                "mixtral",
                                                "glm4_moe",
                                                "gpt_oss",
                                                "deepseek_v2",
                                                "deepseek_v3",
                                                "deepseek_v3_yarn",
                                                "longcat_flash",
                                                "longcat_flash_b",
                                                "lfm2_moe"};

/// Why a model does not run on GPUs, if it does not.
inline std::optional<std::string> refused_by_gpus(const Model& model) {
  for (const LayerKind& kind : model.arch().kinds) {
    if (operations_of(kind.steps).has(Operation::ShortConv)) return "no GPU runs short convolutions yet";
  }
  return std::nullopt;
}

/// Whether all_archs() has what the folder's config.json names; why not, else.
inline std::optional<std::string> unknown_architecture(const std::filesystem::path& folder) {
  try {
    HfConfig(folder / "config.json").arch();
    return std::nullopt;
  } catch (const Error& e) {
    return e.what();
  }
}

}  // namespace sw

/// Declares `var`, the folder of a golden model, or skips the test aloud.
#define SW_GOLDEN_OR_SKIP(var, name)                        \
  SW_DATA_OR_SKIP(var, ::sw::testing::golden_folder(name)); \
  if (const auto why = ::sw::unknown_architecture(var)) GTEST_SKIP() << *why

/// Skips the test aloud where no GPU runs the model.
#define SW_RUNS_ON_GPUS_OR_SKIP(model) \
  if (const auto refused = ::sw::refused_by_gpus(model)) GTEST_SKIP() << *refused
