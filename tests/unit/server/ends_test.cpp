// SPDX-License-Identifier: MIT
#include <filesystem>
#include <random>
#include <thread>

#include "unit/server/server_fixture.h"

namespace sw::server {
namespace {

using Ends = ServerTest;

size_t count_entries(const char* folder) {
  size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++n;
  return n;
}

template <class Condition>
bool eventually(Condition&& condition) {
  for (int i = 0; i < 500; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return condition();
}

bool is_idle(const TestServer& server) {
  const Json now = server.json("/v1/moe")["server"];
  return now["n_running"] == 0 && now["n_waiting"] == 0 && now["kv_cache_usage"] == 0.0;
}

/// Clients that go at any moment: before, within and after each part of their request and its answer.
TEST_F(Ends, DisconnectsLeaveNothingBehind) {
  const int n_round = sw::testing::find_data("models") ? 300 : 60;
  ASSERT_TRUE(eventually([] { return is_idle(server()); }));
  const std::string reference = text_of(server().json("/v1/completions", completion("The fox", 12)));
  const size_t n_fd = count_entries("/proc/self/fd"), n_thread = count_entries("/proc/self/task");
  std::mt19937 random(20261129);
  for (int i = 0; i < n_round; ++i) {
    Json body = random() % 2 ? chat("Tell me a story.", 200) : completion("Once upon a time", 200);
    body["ignore_eos"] = true;
    body["n"] = 1 + random() % 2;
    body["stream"] = random() % 2 == 0;
    const std::string request = sw::testing::http_request(
        body.contains("prompt") ? "/v1/completions" : "/v1/chat/completions", dump(body));
    HttpClient client(server().port());
    client.send(
        std::string_view(request).substr(0, random() % 3 ? request.size() : random() % request.size()));
    if (random() % 2) std::this_thread::sleep_for(std::chrono::milliseconds(random() % 20));
    if (random() % 3 == 0) client.receive(20);
    const auto how = random() % 3;
    if (how == 0) client.reset();
    if (how == 1) client.half_close();
  }
  EXPECT_TRUE(eventually([] { return is_idle(server()); }));
  EXPECT_TRUE(eventually([&] { return count_entries("/proc/self/fd") <= n_fd; })) << n_fd;
  EXPECT_EQ(count_entries("/proc/self/task"), n_thread);
  EXPECT_EQ(text_of(server().json("/v1/completions", completion("The fox", 12))), reference);
  const std::string metrics = server().ask("/metrics").body;
  EXPECT_NE(metrics.find("switchyard:slots_leaked 0"), metrics.npos);
}

TEST_F(Ends, AClientThatGoesFreesItsPlaceAtOnce) {
  ServerOptions options = TestServer::defaults();
  options.n_parallel = 1;
  const TestServer small(options);
  Json body = completion("Once", 1000);
  body["ignore_eos"] = body["stream"] = true;
  auto client = std::make_unique<HttpClient>(small.port());
  client->send(sw::testing::http_request("/v1/completions", dump(body)));
  client->receive();
  const auto start = std::chrono::steady_clock::now();
  client.reset();
  small.json("/v1/completions", completion("x", 1));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2)) << "1000 tokens take longer";
  EXPECT_TRUE(eventually([&] { return is_idle(small); }));
}

/// What runs is finished, what comes is told to come again.
TEST_F(Ends, StoppingDrains) {
  auto stopping = std::make_unique<TestServer>();
  Json body = completion("Once", 100);
  body["ignore_eos"] = body["stream"] = true;
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(std::make_unique<HttpClient>(stopping->port()));
    clients.back()->send(sw::testing::http_request("/v1/completions", dump(body)));
  }
  ASSERT_TRUE(eventually([&] {
    const Json now = stopping->json("/v1/moe")["server"];
    return now["n_running"] == 4 && now["n_waiting"] == 8;
  }));
  stopping->stop();
  const HttpAnswer refused = stopping->ask("/v1/completions", completion("x", 1));
  EXPECT_EQ(refused.status, 503);
  EXPECT_FALSE(refused.header("retry-after").empty());
  EXPECT_EQ(stopping->ask("/ready").status, 503);
  EXPECT_EQ(stopping->ask("/health").status, 200);
  std::thread end([&] { stopping.reset(); });
  for (const auto& client : clients) {
    const HttpAnswer answer = client->answer();
    EXPECT_TRUE(answer.complete);
    EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n"));
  }
  end.join();
}

TEST_F(Ends, WhatDoesNotEndInTimeIsTold) {
  ServerOptions options = TestServer::defaults();
  options.limits.drain_s = 0.05;
  options.n_parallel = 1;
  auto stopping = std::make_unique<TestServer>(options);
  Json body = completion("Once", 1000);
  body["ignore_eos"] = body["stream"] = true;
  HttpClient client(stopping->port());
  client.send(sw::testing::http_request("/v1/completions", dump(body)));
  ASSERT_TRUE(eventually([&] { return stopping->json("/v1/moe")["server"]["n_running"] == 1; }));
  stopping.reset();
  const HttpAnswer answer = client.answer();
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(Json::parse(sw::testing::read_events(answer.body).back().data)["error"]["code"], "stopping");
}

}  // namespace
}  // namespace sw::server
