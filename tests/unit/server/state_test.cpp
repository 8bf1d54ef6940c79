// SPDX-License-Identifier: MIT
#include <cmath>
#include <numeric>
#include <thread>

#include "server/routes.h"
#include "unit/server/server_fixture.h"

namespace sw::server {
namespace {

using State = ServerTest;

TEST_F(State, BeforeTheModelIsLoadedItSaysHowFar) {
  Server server(TestServer::defaults());
  server.set_load_progress(1, 4);
  EXPECT_EQ(sw::testing::ask(server.port(), "/health").status, 200);
  const HttpAnswer ready = sw::testing::ask(server.port(), "/ready");
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(Json::parse(ready.body), Json({{"status", "loading"}, {"progress", 0.25}}));
  EXPECT_EQ(sw::testing::ask(server.port(), "/v1/models").status, 503);
  EXPECT_FALSE(server.stop());
}

TEST_F(State, ReadyModelsAndProps) {
  EXPECT_EQ(server().json("/ready")["status"], "ready");
  const Json models = server().json("/v1/models");
  EXPECT_EQ(models["data"].size(), 2u);
  EXPECT_EQ(models["data"][0]["id"], "fable");
  const Json props = server().json("/props");
  EXPECT_EQ(props["n_ctx"], 1024);
  EXPECT_EQ(props["limits"]["body_bytes"], 16 << 20);
  EXPECT_EQ(props["moe"]["layers"][0]["n_expert"], 32);
  EXPECT_EQ(props["moe"]["layers"].size(), 5u);
  EXPECT_EQ(props["default_generation_settings"]["top_k"], 40);
}

TEST_F(State, ThePageHasAStrictPolicy) {
  const HttpAnswer page = server().ask("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_TRUE(page.header("content-type").starts_with("text/html"));
  const std::string policy = page.header("content-security-policy");
  EXPECT_NE(policy.find("default-src 'none'"), policy.npos);
  EXPECT_EQ(policy.find("unsafe"), policy.npos);
}

TEST_F(State, SlotsShowWhatRunsAndNoText) {
  EXPECT_EQ(server().json("/slots").size(), 4u);
  Json body = completion("A secret text of a user", 600);
  body["ignore_eos"] = body["stream"] = true;
  body["moe"] = {{"experts", 2}};
  HttpClient client(server().port());
  client.send(sw::testing::http_request("/v1/completions", dump(body)));
  client.receive();
  const HttpAnswer slots = server().ask("/slots");
  EXPECT_EQ(slots.body.find("secret"), slots.body.npos);
  const Json slot = Json::parse(slots.body)[0];
  EXPECT_EQ(slot["is_processing"], true);
  EXPECT_EQ(slot["moe"]["experts_decode"], 2);
  EXPECT_TRUE(slot["request_id"].get<std::string>().starts_with("req_"));
}

TEST_F(State, MetricsHaveTheNamesOfTheContract) {
  server().json("/v1/completions", completion("Once", 4));
  const HttpAnswer answer = server().ask("/metrics");
  EXPECT_TRUE(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
  for (const char* name :
       {"num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "prefix_cache_queries",
        "prefix_cache_hits", "prompt_tokens_total", "generation_tokens_total", "iteration_tokens_total",
        "time_to_first_token_seconds_bucket", "inter_token_latency_seconds_sum",
        "e2e_request_latency_seconds_count", "request_queue_time_seconds_count",
        "request_success_total{finished_reason=\"length\"}", "admission_rejections", "corrupted_requests",
        "client_disconnects_total", "slots_leaked", "expert_load_imbalance{layer=\"1\"}",
        "step_watchdog_age_seconds"})
    EXPECT_NE(answer.body.find(std::string("\nswitchyard:") + name), answer.body.npos) << name;
}

TEST_F(State, TokensThereAndBack) {
  const std::string text = "Once upon a time <|role_end|> ünïcode";
  const Json tokens = server().json("/tokenize", {{"content", text}})["tokens"];
  EXPECT_EQ(tokens.get<std::vector<int32_t>>(), TestServer::tokenizer().encode(text));
  EXPECT_EQ(server().json("/detokenize", {{"tokens", tokens}})["content"], text);
  EXPECT_EQ(server()
                .json("/tokenize", {{"content", text}, {"parse_special", false}})["tokens"]
                .get<std::vector<int32_t>>(),
            TestServer::tokenizer().encode(text, {.parse_special = false}));
  const Json pieces = server().json("/tokenize", {{"content", "a b"}, {"with_pieces", true}})["tokens"];
  EXPECT_TRUE(pieces[0].contains("piece"));
}

TEST_F(State, ThePromptOfMessages) {
  const Json messages = {{{"role", "user"}, {"content", "Hi"}}};
  EXPECT_EQ(server().json("/apply-template", {{"messages", messages}})["prompt"],
            ChatTemplate(TestServer::tokenizer()).render(messages));
  const Json chat_answer = server().json("/v1/chat/completions", {{"messages", messages}, {"max_tokens", 1}});
  EXPECT_EQ(server().json("/v1/messages/count_tokens", {{"messages", messages}})["input_tokens"],
            chat_answer["usage"]["prompt_tokens"]);
}

TEST_F(State, EmbeddingsAreMeansOfLengthOne) {
  const Json answer = server().json("/v1/embeddings", {{"input", {"the fox", "the fox", "a ship at sea"}}});
  ASSERT_EQ(answer["data"].size(), 3u);
  const auto vector = [&](size_t i) { return answer["data"][i]["embedding"].get<std::vector<float>>(); };
  const auto dot = [](const std::vector<float>& a, const std::vector<float>& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  };
  EXPECT_EQ(vector(0).size(), 256u);
  EXPECT_NEAR(dot(vector(0), vector(0)), 1, 1e-5);
  EXPECT_EQ(vector(0), vector(1));
  EXPECT_LT(dot(vector(0), vector(2)), 0.999);
  EXPECT_EQ(answer["usage"]["prompt_tokens"], answer["usage"]["total_tokens"]);
  const Json other = server().json("/v1/embeddings", {{"input", "the fox"}, {"moe", {{"experts", 1}}}});
  EXPECT_NE(other["data"][0]["embedding"].get<std::vector<float>>(), vector(0));
  const std::string text = server().json(
      "/v1/embeddings", {{"input", "the fox"}, {"encoding_format", "base64"}})["data"][0]["embedding"];
  EXPECT_EQ(text.size(), (256 * 4 + 2) / 3 * 4);
}

TEST_F(State, TheOpenApiFileHasEveryRouteAndField) {
  const Json api = server().json("/openapi.json");
  for (const Route& route : routes()) EXPECT_TRUE(api["paths"].contains(route.path)) << route.path;
  const Json& schema =
      api["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"];
  EXPECT_EQ(schema["required"], Json::array({"messages"}));
  EXPECT_EQ(schema["properties"]["n"]["maximum"], 16.0);
  EXPECT_EQ(schema["properties"]["temperature"]["type"],
            Json::array({"number", "null"}));  // as an absent one
}

TEST_F(State, AMessageForAnthropicsClients) {
  const Json body = {
      {"system", "You tell stories."},
      {"messages", {{{"role", "user"}, {"content", {{{"type", "text"}, {"text", "A story."}}}}}}},
      {"max_tokens", 8},
      {"temperature", 0}};
  const Json answer = server().json("/v1/messages", body);
  EXPECT_EQ(answer["type"], "message");
  EXPECT_EQ(answer["stop_reason"], "max_tokens");
  EXPECT_EQ(answer["usage"]["output_tokens"], 8);
  std::string text;
  std::vector<std::string> names;
  for (const ServerEvent& event : server().stream("/v1/messages", body, false)) {
    const Json json = Json::parse(event.data);
    EXPECT_EQ(json["type"], event.name);
    if (names.empty() || names.back() != event.name) names.push_back(event.name);
    if (event.name == "content_block_delta") text += json["delta"]["text"];
  }
  EXPECT_EQ(text, answer["content"][0]["text"]);
  EXPECT_EQ(names, (std::vector<std::string>{"message_start", "content_block_start", "content_block_delta",
                                             "content_block_stop", "message_delta", "message_stop"}));
  Json stopped = body;
  stopped["stop_sequences"] = Json::array({text.substr(4, 4)});
  EXPECT_EQ(server().json("/v1/messages", stopped)["stop_sequence"], text.substr(4, 4));
}

TEST_F(State, AResponseForNewerClients) {
  const Json body = {{"input", "A story."},
                     {"instructions", "You tell stories."},
                     {"max_output_tokens", 8},
                     {"temperature", 0}};
  const Json answer = server().json("/v1/responses", body);
  EXPECT_EQ(answer["status"], "incomplete");
  const std::string whole = answer["output"][0]["content"][0]["text"];
  EXPECT_FALSE(whole.empty());
  std::string text;
  int64_t number = 0;
  for (const ServerEvent& event : server().stream("/v1/responses", body, false)) {
    const Json json = Json::parse(event.data);
    EXPECT_EQ(json["type"], event.name);
    EXPECT_EQ(json["sequence_number"], number++);
    if (event.name == "response.output_text.delta") text += json["delta"];
    if (event.name == "response.incomplete") {
      EXPECT_EQ(json["response"]["output"][0]["content"][0]["text"], whole);
    }
  }
  EXPECT_EQ(text, whole);
}

}  // namespace
}  // namespace sw::server
