// SPDX-License-Identifier: MIT
#include <map>
#include <numeric>
#include <thread>

#include "unit/server/server_fixture.h"

namespace sw::server {
namespace {

using RoutingPerRequest = ServerTest;

Json with_moe(Json body, const Json& moe) {
  body["moe"] = moe;
  return body;
}

TEST_F(RoutingPerRequest, TheEchoIsWhatWasReallyUsed) {
  const auto echo = [&](const Json& moe) {
    return server().json("/v1/completions", with_moe(completion("Once", 1), moe))["moe"];
  };
  EXPECT_EQ(server().json("/v1/completions", completion("Once", 1))["moe"],
            Json({{"experts_prefill", 4}, {"experts_decode", 4}, {"grouped", true}}));
  EXPECT_EQ(echo({{"experts", 2}}), Json({{"experts_prefill", 2}, {"experts_decode", 2}, {"grouped", true}}));
  EXPECT_EQ(echo({{"experts_decode", 1}, {"grouped", false}}),
            Json({{"experts_prefill", 4}, {"experts_decode", 1}, {"grouped", false}}));
  const Json layers = echo({{"experts", {{1, 2, 3}}}})["experts_prefill"];
  EXPECT_EQ(layers, Json::parse("[[1,2,3],[3,5,4]]"));
  EXPECT_EQ(echo({{"threshold", {1, 0.5}}, {"mask", {{"5", {1, 7}}}}})["mask"], Json({{"5", {1, 7}}}));
}

TEST_F(RoutingPerRequest, ExpertsOfEachTokenAreThoseOfThePolicy) {
  const Json moe = {{"experts", 3}, {"mask", {{"2", {0, 1, 2, 3}}}}, {"return_routing", true}};
  const Json answer = server().json("/v1/completions", with_moe(completion("Once upon a time", 5), moe));
  const Json& routing = answer["choices"][0]["routing"];
  ASSERT_EQ(routing.size(), 5u);
  std::string text;
  for (const Json& token : routing) {
    text += token["text"];
    ASSERT_EQ(token["layers"].size(), 5u) << "the first layer is dense";
    for (const Json& layer : token["layers"]) {
      ASSERT_EQ(layer["experts"].size(), 3u);
      ASSERT_EQ(layer["weights"].size(), 3u);
      for (const int expert : layer["experts"]) {
        EXPECT_GE(expert, layer["layer"] == 2 ? 4 : 0);
        EXPECT_LT(expert, 32);
      }
    }
  }
  EXPECT_EQ(text, text_of(answer));
  EXPECT_FALSE(server().json("/v1/completions", completion("Once", 1))["choices"][0].contains("routing"));
}

TEST_F(RoutingPerRequest, AStreamBringsTheRoutingWithTheTokens) {
  const Json body = with_moe(chat("Hello", 6), {{"return_routing", true}});
  size_t n = 0;
  for (const ServerEvent& event : server().stream("/v1/chat/completions", body)) {
    const Json chunk = Json::parse(event.data);
    if (chunk["choices"][0].contains("routing")) n += chunk["choices"][0]["routing"].size();
  }
  EXPECT_EQ(n, 6u);
}

TEST_F(RoutingPerRequest, WhatTheModelCannotDoIsRefusedByName) {
  const std::pair<Json, const char*> cases[] = {
      {{{"experts", 1000}}, "moe"},        {{{"experts", 0}}, "moe.experts"},
      {{{"experts", "4"}}, "moe.experts"}, {{{"threshold", {1, 2}}}, "moe.threshold"},
      {{{"grouped", 1}}, "moe.grouped"},   {{{"nonsense", 1}}, "moe.nonsense"},
      {{{"mask", {{"99", {1}}}}}, "moe"},  {{{"return_routing", 1}}, "moe.return_routing"}};
  for (const auto& [moe, param] : cases) {
    const Json error = server().json("/v1/completions", with_moe(completion("x", 1), moe), 400)["error"];
    EXPECT_TRUE(error["param"].get<std::string>().starts_with(param)) << error;
  }
}

/// Clients at one time, each with its own policy and prompt: nobody gets anything of another.
TEST_F(RoutingPerRequest, ManyClientsGetWhatEachGetsAlone) {
  const Json policies[] = {Json::object(),
                           {{"experts", 1}},
                           {{"experts", 2}, {"grouped", false}},
                           {{"threshold", {1, 0.4}}},
                           {{"experts_decode", 2}},
                           {{"mask", {{"3", {0, 5, 9}}}}}};
  const char* subjects[] = {"fox", "king", "ship", "cat"};
  std::vector<Json> bodies;
  for (const Json& policy : policies) {
    for (const char* subject : subjects)
      bodies.push_back(
          with_moe(completion(std::string("The story of the ") + subject + " begins", 16), policy));
  }
  std::vector<std::string> alone, together(bodies.size());
  for (const Json& body : bodies) alone.push_back(text_of(server().json("/v1/completions", body)));
  EXPECT_NE(alone[0], alone[4]) << "the policy changes the text";
  for (int round = 0; round < 3; ++round) {
    std::vector<std::thread> clients;
    for (size_t i = 0; i < bodies.size(); ++i)
      clients.emplace_back([&, i] { together[i] = text_of(server().json("/v1/completions", bodies[i])); });
    for (std::thread& client : clients) client.join();
    EXPECT_EQ(together, alone);
  }
}

/// The engine knows 256 policies at one time, those of the phases counted: who comes then may come again.
TEST_F(RoutingPerRequest, MorePoliciesThanThereIsRoomForAreToldToWait) {
  ServerOptions options = TestServer::defaults();
  options.n_parallel = 140;
  const TestServer wide(options, 32);
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 140; ++i) {
    const Json policy = {{"mask", {{std::to_string(1 + i / 28), {i % 28}}}}, {"experts_prefill", 3}};
    clients.push_back(std::make_unique<HttpClient>(wide.port()));
    clients.back()->send(
        sw::testing::http_request("/v1/completions", dump(with_moe(completion("The fox", 16), policy))));
  }
  int n_served = 0, n_told = 0;
  for (const auto& client : clients) {
    const HttpAnswer answer = client->answer();
    n_served += answer.status == 200;
    if (answer.status != 429) continue;
    ++n_told;
    EXPECT_EQ(answer.header("retry-after"), "1");
    EXPECT_EQ(Json::parse(answer.body)["error"]["code"], "too_many_policies");
  }
  EXPECT_GT(n_told, 0);
  EXPECT_EQ(n_served + n_told, 140);
  EXPECT_GE(n_served, 127);
}

TEST_F(RoutingPerRequest, TheLiveStatisticsCountWhatWasRouted) {
  const auto count = [](const Json& statistics) {
    uint64_t n = 0;
    for (const Json& layer : statistics["layers"]) {
      for (const uint64_t c : layer["counts"]) n += c;
    }
    return n;
  };
  const Json before = server().json("/v1/moe");
  EXPECT_EQ(before["object"], "moe.statistics");
  EXPECT_EQ(before["layers"].size(), 5u);
  EXPECT_EQ(before["layers"][0]["counts"].size(), 32u);
  EXPECT_EQ(before["server"]["n_parallel"], 4);
  server().json("/v1/completions", with_moe(completion("Once upon a time", 9), {{"experts_decode", 2}}));
  // 8 tokens were computed to choose the others from: in 5 layers with 2 experts each, and the prompt with 4.
  const uint64_t n_prompt = TestServer::tokenizer().encode("Once upon a time", {.add_special = true}).size();
  EXPECT_EQ(count(server().json("/v1/moe")) - count(before), 5 * (8 * 2 + n_prompt * 4));

  HttpClient live(server().port());
  live.send(sw::testing::http_request("/v1/moe?stream=true&interval_ms=50"));
  std::string got;
  while (got.find("data: ", got.find("data: ") + 1) == got.npos) got += live.receive();
  EXPECT_NE(got.find("moe.statistics"), got.npos);
  EXPECT_EQ(server().json("/v1/moe?stream=true&interval_ms=1", nullptr, 400)["error"]["param"],
            "interval_ms");
}

}  // namespace
}  // namespace sw::server
