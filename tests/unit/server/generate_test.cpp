// SPDX-License-Identifier: MIT
#include <cmath>
#include <map>

#include "unit/server/server_fixture.h"

namespace sw::server {
namespace {

using Generate = ServerTest;

/// The text of a chat's stream, by choice; checks what B2 of the wire contract promises of its chunks.
std::map<size_t, std::string> join_chat(const std::vector<ServerEvent>& events) {
  std::map<size_t, std::string> texts;
  std::map<size_t, int> n_finish;
  for (const ServerEvent& event : events) {
    const Json chunk = Json::parse(event.data);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    for (const Json& choice : chunk["choices"]) {
      const size_t index = choice["index"];
      if (!texts.contains(index)) {
        EXPECT_EQ(choice["delta"]["role"], "assistant");
      }
      texts[index] += choice["delta"].value("content", "");
      if (!choice["finish_reason"].is_null()) ++n_finish[index];
    }
  }
  for (const auto& [index, n] : n_finish) EXPECT_EQ(n, 1) << index;
  EXPECT_EQ(n_finish.size(), texts.size());
  return texts;
}

TEST_F(Generate, AChatHasTheShapeOfOpenAis) {
  const Json answer = server().json("/v1/chat/completions", chat("Tell me a story about a fox."));
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_EQ(answer["model"], "fable");
  EXPECT_EQ(answer["choices"][0]["message"]["role"], "assistant");
  EXPECT_FALSE(content_of(answer).empty());
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  const Json& usage = answer["usage"];
  EXPECT_EQ(usage["completion_tokens"], 12);
  EXPECT_EQ(usage["total_tokens"], usage["prompt_tokens"].get<int>() + 12);
  EXPECT_EQ(answer["timings"]["predicted_n"], 12);
  EXPECT_GT(answer["metrics"]["time_to_first_token_ms"], 0);
  EXPECT_FALSE(answer.contains("warnings"));
}

TEST_F(Generate, AStreamGivesTheTextOfTheWholeAnswer) {
  const Json body = chat("Tell me a story about a fox.", 20);
  const std::string whole = content_of(server().json("/v1/chat/completions", body));
  EXPECT_EQ(join_chat(server().stream("/v1/chat/completions", body))[0], whole);

  std::string text;
  for (const ServerEvent& event : server().stream("/v1/completions", completion("Once upon a time", 20)))
    text += Json::parse(event.data)["choices"][0]["text"];
  EXPECT_EQ(text, text_of(server().json("/v1/completions", completion("Once upon a time", 20))));
}

TEST_F(Generate, UsageIsTheLastChunkWhereItIsAskedForAndNoneElsewhere) {
  Json body = chat("Hello", 3);
  for (const ServerEvent& event : server().stream("/v1/chat/completions", body)) {
    const Json chunk = Json::parse(event.data);
    EXPECT_FALSE(chunk.contains("usage"));
    EXPECT_FALSE(chunk["choices"].empty());
  }
  body["stream_options"] = {{"include_usage", true}};
  const Json last = Json::parse(server().stream("/v1/chat/completions", body).back().data);
  EXPECT_TRUE(last["choices"].empty());
  EXPECT_EQ(last["usage"]["completion_tokens"], 3);
}

TEST_F(Generate, SeveralAnswersDifferAndTheFirstIsTheOneOfNOne) {
  Json body = chat("Tell me a story.", 12);
  body["temperature"] = 1;
  body["seed"] = 7;
  const std::string one = content_of(server().json("/v1/chat/completions", body));
  body["n"] = 3;
  const Json answer = server().json("/v1/chat/completions", body);
  ASSERT_EQ(answer["choices"].size(), 3u);
  EXPECT_EQ(content_of(answer), one);
  EXPECT_NE(answer["choices"][1]["message"]["content"], answer["choices"][2]["message"]["content"]);
  EXPECT_EQ(join_chat(server().stream("/v1/chat/completions", body)).size(), 3u);
}

TEST_F(Generate, ASeedRepeatsAndNoneVaries) {
  Json body = completion("Once upon a time", 16);
  body["temperature"] = 1.5;
  EXPECT_NE(text_of(server().json("/v1/completions", body)), text_of(server().json("/v1/completions", body)));
  body["seed"] = 11;
  EXPECT_EQ(text_of(server().json("/v1/completions", body)), text_of(server().json("/v1/completions", body)));
}

TEST_F(Generate, StopStringsEndTheTextAndAreNoPartOfIt) {
  const std::string whole = text_of(server().json("/v1/completions", completion("Once upon a time", 24)));
  const std::string stop = whole.substr(whole.size() / 2, 5);
  Json body = completion("Once upon a time", 24);
  body["stop"] = Json::array({"never to be seen", stop});
  const Json answer = server().json("/v1/completions", body);
  EXPECT_EQ(text_of(answer), whole.substr(0, whole.find(stop)));
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  std::string streamed;
  for (const ServerEvent& event : server().stream("/v1/completions", body))
    streamed += Json::parse(event.data)["choices"][0]["text"];
  EXPECT_EQ(streamed, text_of(answer));
}

TEST_F(Generate, LogprobsAreThoseOfTheChosenTokens) {
  Json body = chat("Tell me a story about a fox.", 8);
  body["logprobs"] = true;
  body["top_logprobs"] = 3;
  const Json answer = server().json("/v1/chat/completions", body);
  const Json& content = answer["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 8u);
  std::string joined;
  for (const Json& token : content) {
    joined += token["token"];
    ASSERT_EQ(token["top_logprobs"].size(), 3u);
    EXPECT_EQ(token["token"], token["top_logprobs"][0]["token"]) << "greedy takes the most probable";
    EXPECT_EQ(token["logprob"], token["top_logprobs"][0]["logprob"]);
    EXPECT_LE(token["logprob"].get<double>(), 0);
    EXPECT_GE(token["top_logprobs"][0]["logprob"].get<double>(),
              token["top_logprobs"][1]["logprob"].get<double>());
  }
  EXPECT_EQ(joined, content_of(answer));

  Json plain = completion("Once upon a time", 4);
  plain["logprobs"] = 2;
  const Json logprobs = server().json("/v1/completions", plain)["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"].size(), 4u);
  EXPECT_EQ(logprobs["top_logprobs"][0].size(), 2u);
  EXPECT_EQ(logprobs["text_offset"][1], logprobs["tokens"][0].get<std::string>().size());
}

TEST_F(Generate, AllProbabilitiesTogetherAreOne) {
  Json body = completion("Once upon a time", 1);
  body["logprobs"] = 20;
  double sum = 0;
  const Json answer = server().json("/v1/completions", body);
  for (const auto& [token, logprob] : answer["choices"][0]["logprobs"]["top_logprobs"][0].items())
    sum += std::exp(logprob.get<double>());
  EXPECT_GT(sum, 0.5);
  EXPECT_LE(sum, 1.0001);
}

TEST_F(Generate, ALogitBiasForbidsAToken) {
  Json body = completion("Once upon a time", 1);
  const int32_t first = TestServer::tokenizer().encode(text_of(server().json("/v1/completions", body)))[0];
  body["logit_bias"] = {{std::to_string(first), -100}};
  EXPECT_NE(TestServer::tokenizer().encode(text_of(server().json("/v1/completions", body)))[0], first);
}

TEST_F(Generate, PromptsAsIdsAndInLists) {
  const std::string text = "Once upon a time";
  const std::vector<int32_t> ids = TestServer::tokenizer().encode(text, {.add_special = true});
  const std::string expected = text_of(server().json("/v1/completions", completion(text)));
  Json body = completion("", 12);
  body["prompt"] = ids;
  EXPECT_EQ(text_of(server().json("/v1/completions", body)), expected);
  body["prompt"] = Json::array({text, "The fox", text});
  const Json answer = server().json("/v1/completions", body);
  ASSERT_EQ(answer["choices"].size(), 3u);
  EXPECT_EQ(text_of(answer), expected);
  EXPECT_EQ(answer["choices"][2]["text"], expected);
  EXPECT_EQ(answer["choices"][1]["text"], text_of(server().json("/v1/completions", completion("The fox"))));
}

TEST_F(Generate, EchoAndNoTokens) {
  Json body = completion("Once upon a time", 0);
  body["echo"] = true;
  const Json answer = server().json("/v1/completions", body);
  EXPECT_EQ(text_of(answer), "Once upon a time");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 0);
}

TEST_F(Generate, ARepeatedPromptComesFromTheCache) {
  std::string prompt = "A prompt of more than one page: ";
  for (int i = 0; i < 60; ++i)
    prompt += "the fox and the hare went to the wood " + std::to_string(i) + " times. ";
  const Json body = completion(prompt, 4);
  server().json("/v1/completions", body);
  const Json again = server().json("/v1/completions", body);
  const int64_t cached = again["usage"]["prompt_tokens_details"]["cached_tokens"];
  EXPECT_GT(cached, 0);
  EXPECT_EQ(cached % 64, 0);
  EXPECT_EQ(again["timings"]["cache_n"], cached);
  Json other = body;
  other["moe"] = {{"experts", 2}};
  EXPECT_EQ(server().json("/v1/completions", other)["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
}

TEST_F(Generate, UnknownFieldsAreWarnedOfAndNullsAreAbsent) {
  Json body = chat("Hello", 2);
  body["brand_new"] = {{"x", 1}};
  body["stop"] = body["moe"] = body["seed"] = nullptr;
  const Json answer = server().json("/v1/chat/completions", body);
  ASSERT_EQ(answer["warnings"].size(), 1u);
  EXPECT_EQ(answer["warnings"][0]["param"], "brand_new");
  const Json first = Json::parse(server().stream("/v1/chat/completions", body).front().data);
  EXPECT_EQ(first["warnings"][0]["param"], "brand_new");
}

TEST_F(Generate, UnknownMembersOfObjectsAreWarnedOf) {
  const auto warned = [](const std::string& path, const Json& body) {
    std::vector<std::string> names;
    const Json answer = server().json(path, body);
    for (const Json& one : answer.value("warnings", Json::array())) names.push_back(one["param"]);
    return names;
  };
  using Names = std::vector<std::string>;
  Json body = chat("Hello", 2);
  body["stream_options"] = {{"include_usgae", true}};
  body["response_format"] = {{"type", "text"}, {"strict", nullptr}};
  EXPECT_EQ(warned("/v1/chat/completions", body), Names{"stream_options.include_usgae"});
  Json message = chat("Hello", 2);
  message["thinking"] = {{"type", "enabled"}, {"budget_tokens", 1024}};
  EXPECT_EQ(warned("/v1/messages", message), Names{"thinking.budget_tokens"});
}

TEST_F(Generate, ProgressIsToldWhereItIsWanted) {
  Json body = chat("Hello", 2);
  body["return_progress"] = true;
  int n = 0;
  for (const ServerEvent& event : server().stream("/v1/chat/completions", body)) {
    const Json chunk = Json::parse(event.data);
    if (!chunk.contains("prompt_progress")) continue;
    ++n;
    EXPECT_EQ(chunk["prompt_progress"]["processed"], chunk["prompt_progress"]["total"]);
  }
  EXPECT_EQ(n, 1);
}

TEST_F(Generate, PartsAndNullMembersOfMessages) {
  Json plain = chat("Tell me\na story.", 8), parts = plain;
  parts["messages"][0]["content"] = {{{"type", "text"}, {"text", "Tell me"}},
                                     {{"type", "text"}, {"text", "a story."}}};
  parts["messages"][0]["tool_calls"] = nullptr;
  EXPECT_EQ(content_of(server().json("/v1/chat/completions", parts)),
            content_of(server().json("/v1/chat/completions", plain)));
}

}  // namespace
}  // namespace sw::server
