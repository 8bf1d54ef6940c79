// SPDX-License-Identifier: MIT
// Texts saved in files: found again in another engine, without a change in any logit; and every file that
// does not fit is refused, with the engine as it was.
#include "slots/text_files.h"

#include <fstream>

#include "runtime/runtime.h"
#include "support/refusal.h"
#include "unit/engine/engine_support.h"

namespace sw {
namespace {

namespace fs = std::filesystem;
using testing::expect_refused;

// So large a u-batch that windows of a prompt's end are still there behind the answer.
const EngineOptions kOptions{.forward = {.n_ubatch = 256, .invariant = true}, .n_ctx = 512};

SequenceRequest greedy(std::vector<int32_t> prompt, int64_t n, const RoutingPolicy& routing = {}) {
  SequenceRequest request{.prompt = std::move(prompt), .n_predict = n, .routing = routing};
  request.sampler.temperature = 0;
  return request;
}

struct Ran {
  Answer answer = {};
  int64_t n_computed = 0;
  RoutedText text = {};
};

Ran run(Engine& engine, const SequenceRequest& request) {
  Ran ran;
  const SequenceId id = engine.submit(request);
  Answers answers;
  while (!engine.idle()) {
    step_into(engine, answers);
    ran.n_computed += engine.n_computed();
  }
  ran.answer = std::move(answers[id]);
  ran.text = {.tokens = request.prompt,
              .n_prompt = std::ssize(request.prompt),
              .routing = request.routing.value_or(RoutingPolicy())};
  ran.text.tokens.insert(ran.text.tokens.end(), ran.answer.tokens.begin(), ran.answer.tokens.end());
  return ran;
}

class TextFilesTest : public testing::TinyModel {
 protected:
  fs::path path() const { return folder() / "text"; }

  /// Saves a text of one engine, restores it in another, and goes on behind it there.
  void expect_found_again(const EngineOptions& options, const RoutingPolicy& routing = {}) {
    Engine before(*model_, options);
    const Ran first = run(before, greedy(text(300), 40, routing));
    const auto saved = TextFiles(before, *model_).save(first.text, path());
    EXPECT_EQ(saved.size_bytes, fs::file_size(path()));
    EXPECT_GE(saved.n_token, 256);

    Engine after(*model_, options);
    const auto restored = TextFiles(after, *model_).restore(path());
    EXPECT_EQ(restored.n_token, saved.n_token);
    EXPECT_EQ(restored.size_bytes, saved.size_bytes);
    EXPECT_EQ(restored.text.tokens, first.text.tokens);
    EXPECT_EQ(restored.text.n_prompt, 300);
    EXPECT_EQ(restored.text.routing, routing);

    const SequenceRequest again = greedy(text(300), 40, routing);
    const Ran second = run(after, again);
    EXPECT_EQ(second.n_computed, 300 - 256 + 40 - 1) << "four pages of the prompt are there";
    second.answer.expect_is(first.answer);
    std::vector<int32_t> longer(first.text.tokens.begin(), first.text.tokens.begin() + 330);
    longer.push_back(7);
    const SequenceRequest on = greedy(longer, 20, routing);
    const Ran third = run(after, on);
    EXPECT_LE(third.n_computed, 331 - 256 + 20 - 1);
    third.answer.expect_is(answer_alone(*model_, on, 512, kOptions.forward, options.cache_type));
  }
};

class EachKind : public TextFilesTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override { load(GetParam()); }
};

TEST_P(EachKind, IsFoundAgainInAnotherEngine) { expect_found_again(kOptions); }

TEST_P(EachKind, IsFoundAgainAmongOthers) {
  EngineOptions options = kOptions;
  options.n_parallel = 3;
  options.cache_type = Type::F32;
  Engine before(*model_, options);
  const Ran first = run(before, greedy(text(200), 8));
  run(before, greedy(text(150, 40), 8));
  TextFiles(before, *model_).save(first.text, path());
  // The other engine has less room for windows and states, and a text of its own.
  options.n_parallel = 1;
  Engine after(*model_, options);
  run(after, greedy(text(70, 90), 8));
  EXPECT_EQ(TextFiles(after, *model_).restore(path()).n_token, 192);
  const Ran second = run(after, greedy(text(200), 8));
  EXPECT_EQ(second.n_computed, 200 - 192 + 8 - 1);
  second.answer.expect_is(first.answer);
}

INSTANTIATE_TEST_SUITE_P(Caches, EachKind,
                         ::testing::Values("bailing_moe_v2", "gpt_oss", "deepseek_v3", "lfm2_moe",
                                           "qwen3_moe"),
                         [](const auto& info) { return std::string(info.param); });

class LingFiles : public TextFilesTest {
 protected:
  void SetUp() override { load("bailing_moe_v2"); }

  /// A saved text of 200 tokens.
  void save() {
    Engine engine(*model_, kOptions);
    TextFiles(engine, *model_).save(run(engine, greedy(text(200), 8)).text, path());
  }
  std::string bytes() const { return read_file(path(), uint64_t{1} << 30, Reading::Update); }
  void put(const std::string& bytes) const { std::ofstream(path(), std::ios::binary) << bytes; }
  /// The file is refused with such a line, and what the engine has stays.
  static void expect_refused_by(Engine& engine, const Model& model, const fs::path& file,
                                const std::string& line) {
    SCOPED_TRACE(line);
    const SequenceRequest request = greedy(text(130, 5), 6);
    const Ran before = run(engine, request);
    TextFiles files(engine, model);
    expect_refused([&] { files.restore(file); }, line);
    const Ran after = run(engine, request);
    EXPECT_EQ(after.n_computed, 130 - 128 + 6 - 1);
    after.answer.expect_is(before.answer);
  }
};

TEST_F(LingFiles, WhatIsThereDoesNotMakeRoomForTheRest) {
  save();
  EngineOptions options = kOptions;
  options.n_cache_token = 512;
  Engine engine(*model_, options);
  run(engine, greedy(text(200), 8));
  run(engine, greedy(text(390, 50), 8));  // leaves the first page of the text's three
  EXPECT_EQ(TextFiles(engine, *model_).restore(path()).n_token, 192);
}

TEST_F(LingFiles, ATextRoutedByAnotherPolicyIsAnotherText) {
  const RoutingPolicy few{.experts_prefill = {{.k = 2}}, .experts_decode = {{.k = 1}}};
  expect_found_again(
      kOptions,
      {.experts_prefill = {{.k = 1}}, .experts_decode = {{.k = 1}}, .threshold = Threshold{1, 0.3f}});
  Engine before(*model_, kOptions);
  TextFiles(before, *model_).save(run(before, greedy(text(200), 8, few)).text, path());
  Engine after(*model_, kOptions);
  EXPECT_EQ(TextFiles(after, *model_).restore(path()).n_token, 192);
  const SequenceRequest own = greedy(text(200), 8);
  const Ran plain = run(after, own);
  EXPECT_EQ(plain.n_computed, 200 + 8 - 1) << "nothing of the other policy's text is used";
  plain.answer.expect_is(answer_alone(*model_, own, 512));
  EXPECT_EQ(run(after, greedy(text(200), 8, few)).n_computed, 200 - 192 + 8 - 1);
}

TEST_F(LingFiles, AShortTextHasNoPage) {
  Engine engine(*model_, kOptions);
  const Ran ran = run(engine, greedy(text(20), 4));
  TextFiles files(engine, *model_);
  EXPECT_EQ(files.save(ran.text, path()).n_token, 0);
  const auto restored = files.restore(path());
  EXPECT_EQ(restored.n_token, 0);
  EXPECT_EQ(restored.text.tokens, ran.text.tokens);
}

TEST_F(LingFiles, ATextThatIsThereIsNotTakenTwice) {
  Engine engine(*model_, kOptions);
  const Ran ran = run(engine, greedy(text(200), 8));
  TextFiles files(engine, *model_);
  files.save(ran.text, path());
  EXPECT_EQ(files.restore(path()).n_token, 192);
  EXPECT_EQ(files.restore(path()).n_token, 192);
  EXPECT_EQ(run(engine, greedy(text(200), 8)).n_computed, 200 - 192 + 8 - 1);
}

TEST_F(LingFiles, GoesFromAndToOtherDevices) {
  const RuntimeOptions options{.devices = {.devices = "fake:1"}, .engine = kOptions};
  Runtime before(*model_, options);
  const Ran first = run(before.engine(), greedy(text(200), 8));
  TextFiles(before.engine(), *model_).save(first.text, path());
  Runtime after(*model_, options);
  EXPECT_EQ(TextFiles(after.engine(), *model_).restore(path()).n_token, 192);
  const Ran second = run(after.engine(), greedy(text(200), 8));
  EXPECT_EQ(second.n_computed, 200 - 192 + 8 - 1);
  second.answer.expect_is(first.answer);
}

TEST_F(LingFiles, WhatDoesNotFitIsRefused) {
  save();
  EngineOptions other = kOptions;
  other.cache_type = Type::F32;
  Engine f32(*model_, other);
  expect_refused_by(f32, *model_, path(),
                    "text, types: expected [\"F32\",\"F32\"], got [\"F16\",\"F16\"] (-ctk");
  other = kOptions;
  other.n_ctx = 192;
  Engine small(*model_, other);
  expect_refused_by(small, *model_, path(), "the saved text does not fit in the context");
  other = kOptions;
  const Model overridden(file(),
                         {.overrides = {parse_key_override("bailingmoe2.rope.freq_base=float:5000")}});
  Engine another(overridden, other);
  expect_refused_by(another, overridden, path(), "the text was saved with another model");
}

/// Rows of whole blocks.
class FilesOfCacheTypes : public LingFiles {
 protected:
  void SetUp() override { load("bailing_moe_v2_qkvbias"); }
  static EngineOptions options(CacheType type) {
    EngineOptions options = kOptions;
    options.cache_type = type;
    return options;
  }
};

TEST_F(FilesOfCacheTypes, AreFoundAgain) {
  for (const CacheType type : {CacheType(Type::Q8_0, Type::Q4_0), CacheType(Type::BF16),
                               CacheType(Type::IQ4_NL, Type::F32), CacheType(Type::Q4_0, Type::Q5_1)})
    expect_found_again(options(type));
}

TEST_F(FilesOfCacheTypes, AnotherTypeIsRefused) {
  const auto save = [&](CacheType type) {
    Engine engine(*model_, options(type));
    TextFiles(engine, *model_).save(run(engine, greedy(text(200), 8)).text, path());
  };
  const auto expect_refused_over = [&](CacheType type, const std::string& line) {
    Engine engine(*model_, options(type));
    expect_refused_by(engine, *model_, path(), line);
  };
  save({Type::Q8_0, Type::Q4_0});
  expect_refused_over(Type::F16,
                      "types: expected [\"F16\",\"F16\"], got [\"Q8_0\",\"Q4_0\"] (-ctk and -ctv choose");
  expect_refused_over({Type::Q4_0, Type::Q8_0},
                      "types: expected [\"Q4_0\",\"Q8_0\"], got [\"Q8_0\",\"Q4_0\"]");
  // Of the same size.
  expect_refused_over({Type::Q8_0, Type::IQ4_NL}, "expected [\"Q8_0\",\"IQ4_NL\"], got [\"Q8_0\",\"Q4_0\"]");
  save(Type::F16);
  expect_refused_over(Type::BF16, "expected [\"BF16\",\"BF16\"], got [\"F16\",\"F16\"]");
}

TEST_F(LingFiles, ARoutingThatTheEngineHasNoRoomForIsRefused) {
  EngineOptions many = kOptions;
  many.experts_max = 6;
  Engine before(*model_, many);
  const RoutingPolicy routing{.experts_prefill = {{.k = 6}}, .experts_decode = {{.k = 6}}};
  TextFiles(before, *model_).save(run(before, greedy(text(200), 8, routing)).text, path());
  Engine after(*model_, kOptions);
  expect_refused_by(after, *model_, path(), path().string());
}

TEST_F(LingFiles, DamagedFilesAreRefused) {
  save();
  const std::string whole = bytes();
  Engine engine(*model_, kOptions);
  for (const size_t n :
       {size_t{0}, size_t{5}, size_t{12}, size_t{15}, size_t{20}, whole.size() / 2, whole.size() - 1}) {
    put(whole.substr(0, n));
    expect_refused_by(engine, *model_, path(),
                      n < 8     ? "this is no saved text"
                      : n <= 15 ? "the file ends too early"
                                : "the saved text is cut");
  }
  for (const size_t at : {size_t{16}, whole.size() / 3, whole.size() - 30}) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 4);
    put(changed);
    expect_refused_by(engine, *model_, path(), "the saved text is damaged: its checksum differs");
  }
  std::string later = whole;
  later[8] = 3;
  put(later);
  expect_refused_by(engine, *model_, path(), "the text was saved in another version of the format: ");
  put("GGUF" + whole);
  expect_refused_by(engine, *model_, path(), "this is no saved text");
  expect_refused([&] { TextFiles(engine, *model_).restore(folder() / "none"); }, "cannot open the file");
  expect_refused([&] { TextFiles(engine, *model_).restore(folder()); }, "this is a folder");
}

TEST_F(LingFiles, ASaveThatFailsLeavesTheOldFile) {
  save();
  const std::string whole = bytes();
  Engine engine(*model_, kOptions);
  const Ran ran = run(engine, greedy(text(300), 8));
  TextFiles files(engine, *model_);
  EXPECT_THROW(files.save(ran.text, folder() / "none" / "text"), Error);
  expect_refused([&] { files.save(ran.text, file()); }, "this would replace a model by another kind of file");
  EXPECT_EQ(bytes(), whole);
  EXPECT_EQ(files.restore(path()).n_token, 192);
  files.save(ran.text, path());  // restored from is no reason not to write there
  EXPECT_GT(bytes().size(), whole.size());
}

TEST_F(LingFiles, RunningTextsKeepTheirPages) {
  save();
  EngineOptions options = kOptions;
  options.n_parallel = 2;
  options.n_cache_token = 512;
  Engine engine(*model_, options);
  const SequenceRequest request = greedy(text(400, 50), 60);
  const SequenceId id = engine.submit(request);
  Answers answers;
  for (int i = 0; i < 12; ++i) step_into(engine, answers);  // seven of eight pages are in use
  TextFiles files(engine, *model_);
  expect_refused([&] { files.restore(path()); }, "running texts leave too little room");
  while (!engine.idle()) step_into(engine, answers);
  answers[id].expect_is(answer_alone(*model_, request, 512));
  EXPECT_EQ(files.restore(path()).n_token, 192);
}

}  // namespace
}  // namespace sw
