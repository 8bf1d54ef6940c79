// SPDX-License-Identifier: MIT
#include "convert/quantize.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

#include "base/error.h"
#include "formats/gguf.h"
#include "support/closeness.h"
#include "support/converted_file.h"

namespace sw {
namespace {

class Quantize : public testing::TinyLingFile {
 protected:
  std::filesystem::path out() const { return folder() / "out.gguf"; }
  QuantizeReport run(std::string_view mix, const QuantizeOptions& options = {}) const {
    return quantize(file(), out(), mix, options);
  }
  std::string refusal(std::string_view mix, const QuantizeOptions& options = {}) const {
    try {
      run(mix, options);
    } catch (const Error& e) {
      EXPECT_FALSE(std::filesystem::exists(out()));
      return e.what();
    }
    return "nothing was thrown";
  }
};

#define EXPECT_CONTAINS(text, part) EXPECT_PRED_FORMAT2(::testing::IsSubstring, part, text)

Type type_of(const GgufFile& file, const char* name) {
  return *type_from_id(file.find_tensor(name)->type_id);
}

TEST_F(Quantize, EncodesMatricesAndLeavesTheRest) {
  const QuantizeReport report = run("q8_0");
  EXPECT_TRUE(report.notes.empty());
  const GgufFile before(file()), after(out());
  EXPECT_EQ(after.metadata().require_int("general.file_type"), 7);
  EXPECT_EQ(after.metadata().require_int("general.quantization_version"), 2);
  ASSERT_EQ(after.metadata().entries().size(), before.metadata().entries().size());
  for (size_t i = 0; i < before.metadata().entries().size(); ++i) {
    EXPECT_EQ(after.metadata().entries()[i].first, before.metadata().entries()[i].first);
  }
  ASSERT_EQ(after.tensors().size(), before.tensors().size());
  for (size_t i = 0; i < before.tensors().size(); ++i) {
    const GgufTensor &a = before.tensors()[i], &b = after.tensors()[i];
    EXPECT_EQ(b.name, a.name);
    EXPECT_EQ(b.shape, a.shape);
    const bool stays = a.shape.n_dims() == 1 || a.name.ends_with("ffn_gate_inp.weight");
    ASSERT_EQ(b.type_id, static_cast<uint32_t>(stays ? Type::F32 : Type::Q8_0)) << a.name;
    const int64_t n = a.shape.n_elements();
    std::vector<float> x(static_cast<size_t>(n)), y(x.size());
    traits(Type::F32).decode(a.data, x.data(), n);
    traits(*type_from_id(b.type_id)).decode(b.data, y.data(), n);
    float largest = 0;
    for (const float v : x) largest = std::max(largest, std::abs(v));
    EXPECT_LE(testing::largest_error(y, x), stays ? 0.0f : largest / 200) << a.name;
  }
}

TEST_F(Quantize, ReportsFallbacksAndSizes) {
  const QuantizeReport report = run("Q4_K_M");  // no row here is a multiple of 256
  EXPECT_FALSE(report.notes.empty());
  EXPECT_CONTAINS(report.notes.front(), " instead of Q");
  const GgufFile after(out());
  uint64_t bytes = 0;
  for (size_t i = 0; i < after.tensors().size(); ++i) {
    EXPECT_EQ(report.tensors[i].name, after.tensors()[i].name);
    EXPECT_EQ(static_cast<uint32_t>(report.tensors[i].to), after.tensors()[i].type_id);
    EXPECT_EQ(report.tensors[i].to_bytes, after.tensors()[i].size_bytes);
    bytes += after.tensors()[i].size_bytes;
  }
  EXPECT_EQ(report.to_bytes, bytes);
}

TEST_F(Quantize, DryRunReportsTheSameAndWritesNothing) {
  const QuantizeReport dry = run("Q4_0", {.dry_run = true});
  EXPECT_FALSE(std::filesystem::exists(out()));
  const QuantizeReport wet = run("Q4_0");
  ASSERT_EQ(dry.tensors.size(), wet.tensors.size());
  for (size_t i = 0; i < dry.tensors.size(); ++i) EXPECT_EQ(dry.tensors[i].to, wet.tensors[i].to);
  EXPECT_EQ(dry.to_bytes, wet.to_bytes);
  EXPECT_EQ(dry.file_bytes, std::filesystem::file_size(out())) << "the header and padding too";
  EXPECT_EQ(dry.file_bytes, wet.file_bytes);
}

TEST_F(Quantize, DryRunRefusesWhatARunWould) {
  EXPECT_THROW(quantize(file(), file(), "Q8_0", {.dry_run = true}), Error);
  EXPECT_NO_THROW(quantize(file(), out(), "Q8_0", {.dry_run = true}));
}

TEST_F(Quantize, SuggestsTheFormatThatWasMeant) {
  EXPECT_CONTAINS(refusal("Q4_K_N"), "did you mean Q4_K_M?");
  EXPECT_CONTAINS(refusal("iq4xs"), "did you mean IQ4_XS?");
  EXPECT_CONTAINS(refusal("fp99999"), "expected one of F32, F16");
  for (const char* name : {"q4_j", "Q4K", "q4-k"}) {
    try {
      parse_tensor_type_rule(std::string("ffn=") + name);
      FAIL() << name;
    } catch (const Error& e) {
      EXPECT_CONTAINS(std::string(e.what()), "did you mean Q4_") << name;
    }
  }
}

/// The token embedding is the output matrix too: two flags name one tensor.
TEST_F(Quantize, FlagsOfOneTensorMustAgree) {
  const auto tied = folder() / "tied.gguf";
  {
    const GgufFile source(file());
    GgufWriter writer(tied);
    for (const auto& [k, v] : source.metadata().entries()) writer.set(k, v);
    for (const GgufTensor& t : source.tensors())
      if (t.name != "output.weight") writer.add_tensor(t.name, *type_from_id(t.type_id), t.shape);
    for (const GgufTensor& t : source.tensors())
      if (t.name != "output.weight") writer.write_tensor({t.data, t.size_bytes});
    writer.finish();
  }
  std::filesystem::rename(tied, file());
  EXPECT_CONTAINS(refusal("Q4_0", {.output_type = Type::Q8_0, .embedding_type = Type::Q5_0}),
                  "one tensor for what two flags name: --token-embedding-type and --output-tensor-type");
  run("Q4_0", {.output_type = Type::Q8_0, .embedding_type = Type::Q8_0});
  EXPECT_EQ(type_of(GgufFile(out()), "token_embd.weight"), Type::Q8_0);
  run("Q4_0", {.output_type = Type::Q5_1});
  EXPECT_EQ(type_of(GgufFile(out()), "token_embd.weight"), Type::Q5_1);
}

TEST_F(Quantize, AFlagOfATensorThatIsMissingIsRefused) {
  const auto renamed = folder() / "renamed.gguf";
  {
    const GgufFile source(file());
    GgufWriter writer(renamed);
    for (const auto& [k, v] : source.metadata().entries()) writer.set(k, v);
    for (const GgufTensor& t : source.tensors())
      writer.add_tensor(t.name == "token_embd.weight" ? "other.weight" : t.name, *type_from_id(t.type_id),
                        t.shape);
    for (const GgufTensor& t : source.tensors()) writer.write_tensor({t.data, t.size_bytes});
    writer.finish();
  }
  std::filesystem::rename(renamed, file());
  EXPECT_CONTAINS(refusal("Q4_0", {.embedding_type = Type::Q5_0}), "expected tensor token_embd.weight");
}

TEST_F(Quantize, ThreadsDoNotChangeTheBytes) {
  run("Q4_0", {.n_thread = 1});
  const std::string one = read_file(out());
  for (const int n_thread : {2, 7}) {
    run("Q4_0", {.n_thread = n_thread});
    EXPECT_TRUE(one == read_file(out())) << n_thread;
  }
}

TEST_F(Quantize, ProgressCountsUpToEveryByte) {
  uint64_t last = 0, total = 0;
  const QuantizeReport report = run("Q4_0", {.progress = [&](uint64_t done, uint64_t all) {
                                      EXPECT_GT(done, last);
                                      last = done;
                                      total = all;
                                    }});
  EXPECT_EQ(last, total);
  EXPECT_EQ(last, report.to_bytes);
}

TEST_F(Quantize, RulesComeBeforeTheMixAndTheFirstCounts) {
  run("Q4_0",
      {.tensor_types = {parse_tensor_type_rule("blk\\.1\\.ffn_.*_exps=q8_0"),
                        parse_tensor_type_rule("_exps=bf16"), parse_tensor_type_rule("norm|attn_qkv=f16")}});
  const GgufFile file(out());
  EXPECT_EQ(type_of(file, "blk.1.ffn_up_exps.weight"), Type::Q8_0);
  EXPECT_EQ(type_of(file, "blk.2.ffn_up_exps.weight"), Type::BF16);
  EXPECT_EQ(type_of(file, "blk.2.attn_qkv.weight"), Type::F16);
  EXPECT_EQ(type_of(file, "blk.2.attn_norm.weight"), Type::F32);
  EXPECT_EQ(type_of(file, "blk.2.attn_output.weight"), Type::Q4_0);
}

TEST_F(Quantize, EmbeddingAndOutputHaveFlagsOfTheirOwn) {
  const std::vector<TensorTypeRule> all = {{"weight", Type::Q5_1}};
  run("Q4_0", {.tensor_types = all, .output_type = Type::Q8_0, .embedding_type = Type::BF16});
  const GgufFile file(out());
  EXPECT_EQ(type_of(file, "token_embd.weight"), Type::BF16);
  EXPECT_EQ(type_of(file, "output.weight"), Type::Q8_0);
  EXPECT_EQ(type_of(file, "blk.2.attn_output.weight"), Type::Q5_1);  // its name only ends like theirs
  try {
    parse_type("q4_k_m", "--output-tensor-type");
    FAIL();
  } catch (const Error& e) {
    EXPECT_CONTAINS(std::string(e.what()), "--output-tensor-type");
    EXPECT_CONTAINS(std::string(e.what()), "IQ4_XS");
  }
}

TEST_F(Quantize, RefusesBadRules) {
  EXPECT_CONTAINS(refusal("Q4_0", {.tensor_types = {{"no_such_tensor", Type::F16}}}),
                  "decides for no tensor");
  EXPECT_CONTAINS(refusal("Q4_0", {.tensor_types = {{"attn_norm", Type::F16}}}), "decides for no tensor");
  EXPECT_CONTAINS(refusal("Q4_0", {.tensor_types = {{"(", Type::F16}}}), "no regular expression");
  EXPECT_CONTAINS(refusal("Q4_0", {.tensor_types = {{"", Type::F16}}}), "wrong length");
  EXPECT_THROW(TypeRules({{"x", Type::F16}}).find("\xff"), Error);
  EXPECT_CONTAINS(refusal("Q4_0", {.tensor_types = {{std::string(257, 'a'), Type::F16}}}), "wrong length");
  EXPECT_CONTAINS(refusal("Q4_0", {.tensor_types = {{"ffn_down_exps", Type::Q4_K}}}),
                  "rows of a multiple of 256 (Q4_K)");
  EXPECT_CONTAINS(refusal("Q4_0", {.output_type = Type::IQ1_S}), "rows of a multiple of 256 (IQ1_S)");
  for (const char* text : {"", "attn", "attn=", "attn=q9", "=q8_0x"}) {
    EXPECT_THROW(parse_tensor_type_rule(text), Error) << text;
  }
  EXPECT_EQ(parse_tensor_type_rule("a=b=q8_0").pattern, "a=b");
}

TEST_F(Quantize, RefusesToLosePrecisionTwice) {
  run("Q8_0");
  std::filesystem::rename(out(), file());
  EXPECT_CONTAINS(refusal("Q4_0"), "quantised already");
  run("Q8_0");  // nothing is lost: copied
  EXPECT_EQ(read_file(file()), read_file(out()));
  run("Q4_0", {.allow_requantize = true});
  EXPECT_EQ(type_of(GgufFile(out()), "output.weight"), Type::Q8_0);  // Q6_K's block is too long
  EXPECT_EQ(type_of(GgufFile(out()), "token_embd.weight"), Type::Q4_0);
}

TEST_F(Quantize, RefusesUnknownMixAndItsOwnInput) {
  EXPECT_CONTAINS(refusal("Q9_Z"), "Q4_K_M");
  EXPECT_THROW(quantize(file(), file(), "Q8_0"), Error);
  EXPECT_NO_THROW(GgufFile{file()});
}

TEST_F(Quantize, DropsTheKeysOfASplitAndRefusesCountsThatCannotBe) {
  const auto rewrite = [&](const char* key, GgufValue value) {
    const auto changed = folder() / "changed.gguf";
    const GgufFile source(file());
    GgufWriter writer(changed);
    for (const auto& [k, v] : source.metadata().entries()) writer.set(k, v);
    writer.set(key, std::move(value));
    for (const GgufTensor& t : source.tensors()) writer.add_tensor(t.name, *type_from_id(t.type_id), t.shape);
    for (const GgufTensor& t : source.tensors()) writer.write_tensor({t.data, t.size_bytes});
    writer.finish();
    std::filesystem::rename(changed, file());
  };
  rewrite("split.no", GgufValue::u32(0));
  run("Q8_0");
  EXPECT_FALSE(GgufFile(out()).metadata().find("split.no"));
  std::filesystem::remove(out());
  rewrite("split.tensors.count", GgufValue::i32(80));
  EXPECT_CONTAINS(refusal("Q8_0"), "one part of a split");
  rewrite("split.tensors.count", GgufValue::i32(40));
  rewrite("bailingmoe2.block_count", GgufValue::u64(uint64_t{1} << 61));
  EXPECT_CONTAINS(refusal("Q4_0"), "more blocks than it has tensors");
}

/// fable-ling -> bf16 -> Q4_K_M, as models/README.md describes it. About 5 s of processor time.
TEST(FableLing, ComesOutWithMainlinesTypesAndAsCommitted) {
  SW_DATA_OR_SKIP(folder, "models/fable-ling");
  SW_DATA_OR_SKIP(reference, "interop/fable-ling-Q4_K_M.gguf");
  const testing::ConvertedFile bf16(folder, Type::BF16);
  const auto made = bf16.folder() / "made.gguf";
  const QuantizeReport report = quantize(bf16.path(), made, "Q4_K_M", {.n_thread = 2});
  EXPECT_TRUE(report.notes.empty());

  const GgufFile ours(made), theirs(reference);
  EXPECT_EQ(ours.metadata().require_int("general.file_type"), 15);
  EXPECT_EQ(ours.metadata().require_string("general.name"), "Fable Ling");
  ASSERT_EQ(ours.tensors().size(), theirs.tensors().size());
  for (const GgufTensor& tensor : theirs.tensors()) {
    const GgufTensor* mine = ours.find_tensor(tensor.name);
    ASSERT_TRUE(mine) << tensor.name;
    EXPECT_EQ(mine->type_id, tensor.type_id) << tensor.name;
    EXPECT_EQ(mine->shape, tensor.shape) << tensor.name;
  }
  const auto committed = testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf";
  EXPECT_TRUE(read_file(made) == read_file(committed)) << "models/ does not hold what the sources make";
}

}  // namespace
}  // namespace sw
