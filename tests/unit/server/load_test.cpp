// SPDX-License-Identifier: MIT
#include <atomic>
#include <random>
#include <sys/resource.h>
#include <thread>

#include "unit/server/server_fixture.h"

namespace sw::server {
namespace {

using Load = ServerTest;

/// Clients that each ask for texts of their own, one after the other, some of them going early: what comes
/// back is what each prompt gives alone.
TEST_F(Load, NothingForeignIsInAnyAnswer) {
  const bool all = sw::testing::find_data("models").has_value();
  const int n_client = all ? 64 : 16, n_prompt = all ? 5 : 3, n_kind = 8;
  const Json policies[] = {Json::object(), {{"experts", 2}}, {{"grouped", false}}, {{"experts_decode", 1}}};
  const auto body_of = [&](int kind) {
    Json body = completion("Marked " + std::to_string(kind) + ": the tale of the fox who", 6);
    body["moe"] = policies[kind % 4];
    return body;
  };
  std::vector<std::string> alone;
  for (int kind = 0; kind < n_kind; ++kind)
    alone.push_back(text_of(server().json("/v1/completions", body_of(kind))));
  std::atomic<int> n_right = 0, n_asked = 0;
  std::vector<std::thread> clients;
  for (int c = 0; c < n_client; ++c) {
    clients.emplace_back([&, c] {
      std::mt19937 random(static_cast<unsigned>(c));
      auto connection = std::make_unique<HttpClient>(server().port());
      for (int i = 0; i < n_prompt; ++i) {
        const int kind = static_cast<int>(random() % n_kind);
        connection->send(sw::testing::http_request("/v1/completions", dump(body_of(kind))));
        if (random() % 8 == 0) {
          connection = std::make_unique<HttpClient>(server().port());
          continue;
        }
        ++n_asked;
        const HttpAnswer answer = connection->answer(120000);
        if (answer.status == 200 && text_of(Json::parse(answer.body)) == alone[static_cast<size_t>(kind)])
          ++n_right;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(n_right, n_asked);
  EXPECT_GT(n_asked, n_client);
}

TEST_F(Load, AThousandIdleConnectionsBesideStreams) {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  constexpr rlim_t kWanted = 4096;
  if (limit.rlim_max < kWanted) GTEST_SKIP() << "only " << limit.rlim_max << " file descriptors may be open";
  limit.rlim_cur = std::max(limit.rlim_cur, kWanted);
  setrlimit(RLIMIT_NOFILE, &limit);
  std::vector<std::unique_ptr<HttpClient>> idle, streams;
  for (int i = 0; i < 1000; ++i) idle.push_back(std::make_unique<HttpClient>(server().port()));
  Json body = completion("Once upon a time", 8);
  const std::string expected = text_of(server().json("/v1/completions", body));
  body["stream"] = true;
  for (int i = 0; i < 64; ++i) {
    streams.push_back(std::make_unique<HttpClient>(server().port()));
    streams.back()->send(sw::testing::http_request("/v1/completions", dump(body)));
  }
  for (const auto& client : streams) {
    std::string text;
    for (const ServerEvent& event : sw::testing::read_events(client->answer().body)) {
      if (event.data != "[DONE]") text += Json::parse(event.data)["choices"][0]["text"];
    }
    EXPECT_EQ(text, expected);
  }
  idle.back()->send(sw::testing::http_request("/health"));
  EXPECT_EQ(idle.back()->answer().status, 200);
}

}  // namespace
}  // namespace sw::server
