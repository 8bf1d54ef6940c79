// SPDX-License-Identifier: MIT
#include "convert/quant_mix.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "formats/gguf.h"
#include "support/test_data.h"

namespace sw {
namespace {

Type chosen(const char* mix, const char* name, Shape shape = {256, 256}, int64_t n_layer = 32,
            bool has_output = true) {
  return choose_type(quant_mix(mix), {name, shape, {n_layer, has_output}}).type;
}
Type chosen_for(const char* mix, const char* name, const MixModel& model) {
  return choose_type(quant_mix(mix), {name, {256, 256}, model}).type;
}

TEST(QuantMix, Q4KMChoosesAsMainline) {
  SW_DATA_OR_SKIP(path, "interop/fable-ling-Q4_K_M.gguf");
  const GgufFile file(path);
  const QuantMix& mix = quant_mix("Q4_K_M");
  EXPECT_EQ(file.metadata().require_int("general.file_type"), mix.file_type);
  const int64_t n_layer = file.metadata().require_int("bailingmoe2.block_count");
  ASSERT_EQ(file.tensors().size(), 82u);
  for (const GgufTensor& tensor : file.tensors()) {
    const MixChoice choice = choose_type(mix, {tensor.name, tensor.shape, {n_layer}});
    EXPECT_EQ(static_cast<uint32_t>(choice.type), tensor.type_id) << tensor.name;
    EXPECT_EQ(choice.note, "");
  }
}

TEST(QuantMix, MediumMixesSpendBitsOnEveryThirdBlock) {
  // 32 blocks: 0-3 and 28-31, and from the fourth on every third.
  std::string more;
  for (int i = 0; i < 32; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    const Type value = chosen("Q4_K_M", (block + "attn_v.weight").c_str());
    EXPECT_EQ(chosen("Q4_K_M", (block + "ffn_down_exps.weight").c_str(), {8, 256, 256}), value);
    EXPECT_EQ(chosen("Q5_K_M", (block + "attn_kv_b.weight").c_str()),
              value == Type::Q6_K ? Type::Q6_K : Type::Q5_K);
    EXPECT_EQ(chosen("Q4_K_M", (block + "attn_k.weight").c_str()), Type::Q4_K);
    more += value == Type::Q6_K ? '6' : '4';
  }
  EXPECT_EQ(more, "66664464464464464464464464466666");
}

TEST(QuantMix, SmallMixSpendsBitsOnTheFirstBlocks) {
  EXPECT_EQ(chosen("Q4_K_S", "blk.3.attn_v.weight"), Type::Q5_K);
  EXPECT_EQ(chosen("Q4_K_S", "blk.4.attn_v.weight"), Type::Q4_K);
  EXPECT_EQ(chosen("Q4_K_S", "blk.1.ffn_down.weight", {256, 256}, 16), Type::Q5_K);
  EXPECT_EQ(chosen("Q4_K_S", "blk.2.ffn_down.weight", {256, 256}, 16), Type::Q4_K);
  EXPECT_EQ(chosen("Q4_K_S", "blk.0.ffn_down.weight", {256, 256}, 6), Type::Q4_K);
  EXPECT_EQ(chosen("Q5_K_S", "blk.0.ffn_down.weight"), Type::Q5_K);
}

TEST(QuantMix, ExpertsInSeparateTensorsCountLikeStacks) {
  EXPECT_EQ(chosen("Q4_K_M", "blk.0.ffn_down.7.weight"), Type::Q6_K);
  EXPECT_EQ(chosen("Q4_K_M", "blk.4.ffn_down.17.weight"), Type::Q4_K);
  EXPECT_EQ(chosen("Q4_K_M", "blk.0.ffn_up.7.weight"), Type::Q4_K);
}

TEST(QuantMix, OutputMatrix) {
  for (const char* mix : {"Q4_K_M", "Q4_K_S", "Q5_K_M", "Q5_K_S", "Q6_K", "Q4_0", "Q4_1", "Q5_0", "Q5_1"}) {
    EXPECT_EQ(chosen(mix, "output.weight"), Type::Q6_K) << mix;
    EXPECT_EQ(chosen(mix, "token_embd.weight"), quant_mix(mix).base) << mix;
    EXPECT_EQ(chosen(mix, "token_embd.weight", {256, 256}, 32, false), Type::Q6_K) << mix;
  }
  for (const char* mix : {"F32", "F16", "BF16", "Q8_0"}) {
    EXPECT_EQ(chosen(mix, "output.weight"), quant_mix(mix).base) << mix;
    EXPECT_EQ(chosen(mix, "blk.0.ffn_down.weight"), quant_mix(mix).base) << mix;
  }
}

/// Names and numbers are those of LlamaFileType in gguf-py 0.19.
TEST(QuantMix, NumbersAreThoseOfFiles) {
  constexpr std::pair<const char*, uint32_t> kNumbers[] = {
      {"Q2_K", 10},    {"Q2_K_S", 21}, {"Q3_K_S", 11}, {"Q3_K_M", 12},   {"Q3_K_L", 13}, {"IQ1_S", 24},
      {"IQ1_M", 31},   {"IQ2_XS", 20}, {"IQ2_S", 28},  {"IQ2_XXS", 19},  {"IQ2_M", 29},  {"IQ3_XS", 22},
      {"IQ3_XXS", 23}, {"IQ3_S", 26},  {"IQ3_M", 27},  {"IQ4_NL", 25},   {"IQ4_XS", 30}, {"TQ1_0", 36},
      {"TQ2_0", 37},   {"Q4_K_M", 15}, {"Q6_K", 18},   {"MXFP4_MOE", 38}};
  for (const auto& [name, number] : kNumbers) EXPECT_EQ(quant_mix(name).file_type, number) << name;
  for (const QuantMix& mix : quant_mixes())
    EXPECT_EQ(&quant_mix(std::to_string(mix.file_type)), &mix) << mix.name;
}

/// A model of 32 blocks with shared heads and many experts: the types that mainline's quantizer takes.
TEST(QuantMix, LowMixesChooseAsMainline) {
  struct {
    const char* mix;
    Type embedding, output, queries, keys, values, attn_out, up, first_down, down;
  } constexpr kRows[] = {
      {"Q2_K", Type::Q2_K, Type::Q6_K, Type::Q2_K, Type::Q2_K, Type::Q4_K, Type::Q3_K, Type::Q2_K, Type::Q3_K,
       Type::Q3_K},
      {"Q2_K_S", Type::Q2_K, Type::Q6_K, Type::Q2_K, Type::Q2_K, Type::Q4_K, Type::Q2_K, Type::Q2_K,
       Type::Q4_K, Type::Q2_K},
      {"Q3_K_S", Type::Q3_K, Type::Q6_K, Type::Q3_K, Type::Q3_K, Type::Q3_K, Type::Q3_K, Type::Q3_K,
       Type::Q3_K, Type::Q3_K},
      {"Q3_K_M", Type::Q3_K, Type::Q6_K, Type::Q3_K, Type::Q3_K, Type::Q5_K, Type::Q4_K, Type::Q3_K,
       Type::Q5_K, Type::Q4_K},
      {"Q3_K_L", Type::Q3_K, Type::Q6_K, Type::Q3_K, Type::Q3_K, Type::Q5_K, Type::Q5_K, Type::Q3_K,
       Type::Q5_K, Type::Q5_K},
      {"IQ1_S", Type::Q2_K, Type::Q5_K, Type::IQ1_S, Type::IQ1_S, Type::Q4_K, Type::IQ2_XXS, Type::IQ1_S,
       Type::Q2_K, Type::IQ1_S},
      {"IQ2_XXS", Type::Q2_K, Type::Q5_K, Type::IQ2_XXS, Type::IQ2_XXS, Type::Q4_K, Type::IQ2_XXS,
       Type::IQ2_XXS, Type::Q2_K, Type::IQ2_XXS},
      {"IQ2_S", Type::IQ3_S, Type::Q5_K, Type::IQ2_XS, Type::IQ2_XS, Type::Q4_K, Type::IQ3_S, Type::IQ2_XS,
       Type::IQ3_S, Type::IQ2_XS},
      {"IQ2_M", Type::IQ3_S, Type::Q5_K, Type::IQ2_S, Type::IQ2_S, Type::Q4_K, Type::IQ3_S, Type::IQ2_S,
       Type::IQ3_S, Type::IQ2_S},
      {"IQ3_XXS", Type::IQ3_S, Type::Q5_K, Type::IQ2_S, Type::IQ2_S, Type::Q4_K, Type::IQ3_S, Type::IQ3_XXS,
       Type::Q4_K, Type::Q3_K},
      {"IQ3_XS", Type::IQ3_S, Type::Q6_K, Type::IQ3_XXS, Type::IQ3_XXS, Type::Q4_K, Type::IQ3_S,
       Type::IQ3_XXS, Type::IQ3_S, Type::IQ3_S},
      {"IQ3_M", Type::IQ3_S, Type::Q6_K, Type::IQ3_S, Type::IQ3_S, Type::Q4_K, Type::Q4_K, Type::IQ3_S,
       Type::Q4_K, Type::IQ3_S},
      {"IQ4_XS", Type::IQ4_XS, Type::Q6_K, Type::IQ4_XS, Type::IQ4_XS, Type::Q5_K, Type::IQ4_XS, Type::IQ4_XS,
       Type::Q5_K, Type::IQ4_XS},
      {"TQ2_0", Type::Q4_K, Type::Q6_K, Type::TQ2_0, Type::TQ2_0, Type::TQ2_0, Type::TQ2_0, Type::TQ2_0,
       Type::TQ2_0, Type::TQ2_0},
  };
  constexpr MixModel kModel = {.n_layer = 32, .n_expert = 64, .heads_per_kv = 4};
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.mix);
    EXPECT_EQ(chosen_for(row.mix, "token_embd.weight", kModel), row.embedding);
    EXPECT_EQ(chosen_for(row.mix, "output.weight", kModel), row.output);
    EXPECT_EQ(chosen_for(row.mix, "blk.9.attn_q.weight", kModel), row.queries);
    EXPECT_EQ(chosen_for(row.mix, "blk.9.attn_k.weight", kModel), row.keys);
    EXPECT_EQ(chosen_for(row.mix, "blk.1.attn_v.weight", kModel), row.values);
    EXPECT_EQ(chosen_for(row.mix, "blk.9.attn_output.weight", kModel), row.attn_out);
    EXPECT_EQ(chosen_for(row.mix, "blk.9.ffn_up.weight", kModel), row.up);
    EXPECT_EQ(chosen_for(row.mix, "blk.1.ffn_down.weight", kModel), row.first_down);
    EXPECT_EQ(chosen_for(row.mix, "blk.9.ffn_down.weight", kModel), row.down);
  }
}

TEST(QuantMix, RulesAskForHeadsAndExperts) {
  constexpr MixModel kAlone = {.n_layer = 32}, kEight = {.n_layer = 32, .n_expert = 8};
  EXPECT_EQ(chosen_for("Q2_K", "blk.9.attn_v.weight", kAlone), Type::Q3_K);
  EXPECT_EQ(chosen_for("IQ2_XS", "blk.9.attn_v.weight", kAlone), Type::Q2_K);
  EXPECT_EQ(chosen_for("IQ2_XS", "blk.9.attn_v.weight", {.n_layer = 32, .n_expert = 4}), Type::Q4_K);
  EXPECT_EQ(chosen_for("IQ3_XXS", "blk.9.attn_v.weight", kAlone), Type::IQ3_S);
  EXPECT_EQ(chosen_for("Q4_K_M", "blk.9.attn_k.weight", kEight), Type::Q8_0);
  EXPECT_EQ(chosen_for("Q4_K_M", "blk.9.attn_v.weight", kEight), Type::Q8_0);
  EXPECT_EQ(chosen_for("Q4_K_M", "blk.9.attn_output.weight", kEight), Type::Q5_K);
  EXPECT_EQ(chosen_for("Q5_K_M", "blk.9.attn_output.weight", kEight), Type::Q5_K);
  EXPECT_EQ(chosen_for("Q3_K_L", "blk.9.attn_output.weight", kEight), Type::Q3_K);
  EXPECT_EQ(chosen_for("IQ1_S", "blk.9.attn_k.weight", kEight), Type::Q4_K);
  EXPECT_EQ(chosen_for("IQ3_M", "blk.8.ffn_down.weight", kEight), Type::IQ3_S);
  EXPECT_EQ(chosen_for("IQ3_M", "blk.6.ffn_down.weight", kEight), Type::Q4_K);
  EXPECT_EQ(chosen_for("IQ3_XS", "blk.28.ffn_gate.weight", kAlone), Type::IQ3_S);
  EXPECT_EQ(chosen_for("IQ3_XS", "blk.27.ffn_gate.weight", kAlone), Type::IQ3_XXS);
  EXPECT_EQ(chosen("MXFP4_MOE", "blk.3.ffn_down_exps.weight", {8, 256, 256}), Type::MXFP4);
  EXPECT_EQ(chosen("MXFP4_MOE", "blk.3.ffn_down.weight"), Type::Q8_0);
  EXPECT_EQ(chosen("MXFP4_MOE", "output.weight"), Type::Q8_0);
}

/// Where errors are weighed, mainline leaves more to the plain format, and gives Q4_0 and Q5_0 an offset.
TEST(QuantMix, RulesAskForImportance) {
  constexpr MixModel kPlain = {.n_layer = 32}, kWeighed = {.n_layer = 32, .has_importance = true};
  const auto expect = [&](const char* mix, const char* name, Type without, Type with) {
    EXPECT_EQ(chosen_for(mix, name, kPlain), without) << mix << ", " << name;
    EXPECT_EQ(chosen_for(mix, name, kWeighed), with) << mix << ", " << name;
  };
  expect("Q4_0", "blk.3.ffn_down.weight", Type::Q4_0, Type::Q4_1);
  expect("Q4_0", "blk.4.ffn_down.weight", Type::Q4_0, Type::Q4_0);
  expect("Q5_0", "blk.3.ffn_down.weight", Type::Q5_0, Type::Q5_1);
  expect("IQ4_XS", "blk.3.ffn_down.weight", Type::Q5_K, Type::IQ4_XS);
  expect("IQ4_NL", "blk.3.ffn_down.weight", Type::Q5_K, Type::IQ4_NL);
  expect("IQ3_XXS", "blk.3.ffn_down.weight", Type::Q4_K, Type::IQ3_XXS);
  expect("IQ3_XXS", "blk.9.ffn_down.weight", Type::Q3_K, Type::IQ3_XXS);
  expect("IQ3_XXS", "blk.9.attn_v.weight", Type::IQ3_S, Type::IQ3_XXS);
  expect("Q4_K_M", "blk.3.ffn_down.weight", Type::Q6_K, Type::Q6_K);
}

TEST(QuantMix, SmallTensorsStayF32InEveryMix) {
  for (const QuantMix& mix : quant_mixes()) {
    EXPECT_EQ(chosen(mix.name, "blk.0.attn_norm.weight", {256}), Type::F32);
    EXPECT_EQ(chosen(mix.name, "output_norm.weight", {256}), Type::F32);
    EXPECT_EQ(chosen(mix.name, "blk.0.attn_q_norm.weight", {4, 256}), Type::F32);
    EXPECT_EQ(chosen(mix.name, "blk.1.ffn_gate_inp.weight", {32, 256}), Type::F32);
    EXPECT_EQ(chosen(mix.name, "blk.1.ffn_gate_inp_shexp.weight", {1, 256}), Type::F32);
    EXPECT_EQ(chosen(mix.name, "blk.1.exp_probs_b.bias", {256}), Type::F32);
    EXPECT_EQ(chosen(mix.name, "blk.1.ffn_up_exps.bias", {32, 256}), Type::F32);
    EXPECT_EQ(chosen(mix.name, "rope_freqs.weight", {256}), Type::F32);
  }
}

TEST(QuantMix, FallsBackWhereBlocksDoNotFit) {
  const auto choice = [](const char* mix, int64_t n) {
    return choose_type(quant_mix(mix), {"blk.0.ffn_up.weight", {8, n}, {4}});
  };
  EXPECT_EQ(choice("Q4_K_M", 96).type, Type::Q5_0);
  EXPECT_EQ(choice("Q4_K_M", 96).note,
            "blk.0.ffn_up.weight: Q5_0 instead of Q4_K, rows of 96 are not a multiple of 256");
  EXPECT_EQ(choice("Q5_K_M", 96).type, Type::Q5_1);
  EXPECT_EQ(choice("Q6_K", 96).type, Type::Q8_0);
  EXPECT_EQ(choice("Q2_K_S", 96).type, Type::IQ4_NL);
  EXPECT_EQ(choice("IQ2_XXS", 96).type, Type::IQ4_NL);
  EXPECT_EQ(choice("TQ2_0", 96).type, Type::Q4_0);
  EXPECT_EQ(choice("Q4_K_M", 48).type, Type::F16);
  EXPECT_EQ(choice("Q8_0", 48).type, Type::F16);
  EXPECT_EQ(choice("Q4_0", 96).type, Type::Q4_0);
  EXPECT_EQ(choice("Q4_0", 96).note, "");
  EXPECT_EQ(choice("Q4_0", 1).type, Type::F16);
  EXPECT_EQ(choice("F32", 1).type, Type::F32);
  EXPECT_EQ(choice("BF16", 7).type, Type::BF16);
}

TEST(QuantMix, OddNames) {
  for (const char* name :
       {"", ".", "blk.", "blk.0", "blk.x.attn_v.weight", "blk.99999999999999999999.attn_v.weight"}) {
    const Type type = chosen("Q4_K_M", name);
    EXPECT_TRUE(type == Type::F32 || type == Type::Q4_K) << name;
  }
  EXPECT_EQ(chosen("Q4_K_M", "mystery.weight"), Type::Q4_K);
}

TEST(QuantMix, IsFoundByNameInAnyCaseOrByNumber) {
  EXPECT_EQ(&quant_mix("q4_k_m"), &quant_mix("Q4_K_M"));
  for (const char* name : {"Q4_K", "q4_k", "15"}) EXPECT_EQ(&quant_mix(name), &quant_mix("Q4_K_M")) << name;
  EXPECT_EQ(&quant_mix("Q5_K"), &quant_mix("Q5_K_M"));
  EXPECT_EQ(&quant_mix("7"), &quant_mix("Q8_0"));
  EXPECT_EQ(&quant_mix("Q3_K"), &quant_mix("Q3_K_M"));
  EXPECT_EQ(&quant_mix("iq3_xxs"), &quant_mix("23"));
  for (const char* name : {"", "99", "015", "Q8_0_M", "Q4_0_M", "IQ3", "IQ2"})
    EXPECT_THROW(quant_mix(name), Error) << name;
  try {
    quant_mix("Q3_K_XL");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("Q4_K_M"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace sw
