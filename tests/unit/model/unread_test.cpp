// SPDX-License-Identifier: MIT
// No tensor of a file is passed over in silence.
#include <gtest/gtest.h>
#include <set>

#include "base/error.h"
#include "convert/convert_hf.h"
#include "convert/hf_config.h"
#include "formats/gguf.h"
#include "model/model.h"
#include "support/converted_file.h"
#include "support/refusal.h"

namespace sw {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

/// Whether a config is there and its model is declared; the second set is ahead of the declarations.
bool is_known(const fs::path& config) {
  try {
    HfConfig(config).arch();
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// Every folder of a tiny model.
std::set<fs::path> golden_folders() {
  std::set<fs::path> folders;
  const fs::path committed = testing::source_dir() / "tests/data/golden";
  const std::optional<fs::path> next = testing::find_data("golden_next");
  for (const fs::path& root :
       {testing::find_data("golden").value_or(committed), committed, next.value_or(committed)}) {
    for (const auto& entry : fs::directory_iterator(root)) {
      if (is_known(entry.path() / "config.json")) folders.insert(entry.path());
    }
  }
  return folders;
}

/// A file with tensors more, of four values each.
fs::path write_more(const fs::path& plain, const Names& more, const fs::path& out) {
  const GgufFile file(plain);
  GgufWriter writer(out);
  for (const auto& [key, value] : file.metadata().entries()) writer.set(key, value);
  for (const GgufTensor& t : file.tensors()) writer.add_tensor(t.name, *type_from_id(t.type_id), t.shape);
  for (const std::string& name : more) writer.add_tensor(name, Type::F32, {4});
  for (const GgufTensor& t : file.tensors()) writer.write_tensor({t.data, t.size_bytes});
  const std::vector<float> values(4, 1.0f);
  for (size_t i = 0; i < more.size(); ++i) writer.write_tensor(std::as_bytes(std::span(values)));
  writer.finish();
  return out;
}

TEST(UnreadTensors, AreRefusedByNameInEveryArchitecture) {
  std::set<std::string_view> seen;
  for (const fs::path& folder : golden_folders()) {
    const testing::ConvertedFile plain(folder);
    seen.insert(Model(plain.path(), {.read_in = false}).arch().name);
    for (const char* name : {"blk.0.attn_gate.weight", "blk.0.attn_q.scale", "blk.999.attn_norm.weight",
                             "rope_factors_long.weight", "ffn_up"}) {
      const fs::path more = write_more(plain.path(), {name}, plain.folder() / "more.gguf");
      const std::string said = testing::refusal([&] { Model(more, {.read_in = false}); });
      EXPECT_NE(said.find("the file has tensors that nothing reads"), std::string::npos) << said;
      EXPECT_NE(said.find("more.gguf"), std::string::npos) << said;
      EXPECT_NE(said.find(", tensor " + std::string(name) + ": "), std::string::npos) << said;
    }
  }
  if (!testing::find_data("golden/olmoe") || !testing::find_data("golden_next/lfm2_moe"))
    GTEST_SKIP() << "only some architectures' golden models are here";
  for (const ArchSpec* arch : all_archs()) EXPECT_TRUE(seen.contains(arch->name)) << arch->name;
}

TEST(UnreadTensors, IdleOnesAreLeftOut) {
  SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2");
  const testing::ConvertedFile plain(folder);
  const Model model(write_more(plain.path(),
                               {"blk.0.attn_rot_embd.weight", "v.blk.0.ln1.weight", "v.patch_embd.weight"},
                               plain.folder() / "more.gguf"));
  EXPECT_EQ(model.notes(), Names{"2 tensors are left out: the vision tower"});
  EXPECT_EQ(model.weight_bytes(), Model(plain.path()).weight_bytes());
}

/// Who says that a model has fewer layers than its file means it.
TEST(UnreadTensors, LayersBeyondAnOverriddenCountAreLeftOut) {
  SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2");
  const testing::ConvertedFile file(folder);
  const LoadOptions fewer{.overrides = {parse_key_override("bailingmoe2.block_count=int:2")}};
  const Model model(file.path(), fewer);
  EXPECT_EQ(model.hparams().n_layer, 2);
  ASSERT_EQ(model.notes().size(), 1u);
  EXPECT_NE(model.notes()[0].find("tensors are left out: block_count is overridden"), std::string::npos);
}

/// Recipes name another architecture's key; without a word they would change nothing.
TEST(UnreadKeys, AnOverrideThatNothingReadsIsRefused) {
  SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2");
  const testing::ConvertedFile file(folder);
  const auto open = [&](const char* text) {
    Model(file.path(), LoadOptions{.overrides = {parse_key_override(text)}});
  };
  for (const char* idle : {"llama.expert_used_count=int:2", "bailingmoe2.expert_used_cuont=int:2", "x=int:1",
                           "bailingmoe2.attention.clamp_kqv=float:4"})  // which others have
    EXPECT_THROW(open(idle), Error) << idle;
  for (const char* read : {"bailingmoe2.expert_used_count=int:2", "bailingmoe2.rope.freq_base=float:9000",
                           "general.sampling.temp=float:1", "tokenizer.ggml.add_bos_token=bool:true"})
    EXPECT_NO_THROW(open(read)) << read;
}

/// What next-token layers hold is nobody's business yet, but a block behind them is an error.
TEST(UnreadTensors, NextTokenLayersAreSkipped) {
  SW_DATA_OR_SKIP(folder, "golden/bailing_moe_v2_mtp");
  const testing::ConvertedFile plain(folder);
  const int n_block = Model(plain.path()).hparams().n_block;
  const auto with = [&](int block) {
    return write_more(plain.path(), {"blk." + std::to_string(block) + ".nextn.more.weight"},
                      plain.folder() / "more.gguf");
  };
  EXPECT_EQ(Model(with(n_block - 1)).notes(), Names{"skipping 1 next-token-prediction layer(s)"});
  testing::expect_refused([&] { Model{with(n_block)}; },
                          "tensor blk." + std::to_string(n_block) + ".nextn.more");
}

TEST(UnreadTensors, FilesOfOthersHaveNone) {
  SW_DATA_OR_SKIP(files, "interop");
  int n_file = 0;
  for (const auto& entry : fs::directory_iterator(files)) {
    if (entry.path().extension() != ".gguf") continue;
    EXPECT_NO_THROW(Model(entry.path(), {.read_in = false})) << entry.path();
    ++n_file;
  }
  EXPECT_GT(n_file, 0);
}

}  // namespace
}  // namespace sw
