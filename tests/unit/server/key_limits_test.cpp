// SPDX-License-Identifier: MIT
#include "server/key_limits.h"

#include <gtest/gtest.h>
#include <optional>

#include "server/access.h"
#include "server/api_error.h"
#include "unit/server/server_fixture.h"

namespace sw::server {
namespace {

using Clock = KeyLimits::Clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// What a client is told, if it is refused.
std::optional<std::string> retry_after(KeyLimits& limits, size_t key, Clock::time_point now) {
  try {
    limits.take(key, now);
    return std::nullopt;
  } catch (const ApiError& e) {
    const http::Response response = e.response();
    EXPECT_EQ(response.status, 429);
    return response.headers.at(0).value;
  }
}

TEST(KeyLimits, SoManyAMinuteEachKeyForItself) {
  KeyLimits limits({{.hash = "a", .n_per_minute = 6}, {.hash = "b"}});
  const Clock::time_point begin = Clock::now();
  for (int i = 0; i < 6; ++i) EXPECT_EQ(retry_after(limits, 0, begin), std::nullopt);
  EXPECT_EQ(retry_after(limits, 0, begin), "10");
  EXPECT_EQ(retry_after(limits, 1, begin), std::nullopt);
  EXPECT_EQ(retry_after(limits, 0, begin + milliseconds(7500)), "3");
  EXPECT_EQ(retry_after(limits, 0, begin + seconds(11)), std::nullopt);
  EXPECT_EQ(retry_after(limits, 0, begin + seconds(12)), "8");
  for (int i = 0; i < 6; ++i) EXPECT_EQ(retry_after(limits, 0, begin + seconds(3600)), std::nullopt) << i;
  EXPECT_NE(retry_after(limits, 0, begin + seconds(3600)), std::nullopt)
      << "no more than a minute's are kept";
}

TEST(KeyLimits, SoManyAtOneTime) {
  KeyLimits limits({{.hash = "a", .n_at_once = 2}});
  const auto one = limits.take(0);
  auto two = limits.take(0);
  EXPECT_EQ(retry_after(limits, 0, Clock::now()), "1");
  two.reset();
  EXPECT_EQ(retry_after(limits, 0, Clock::now()), std::nullopt);
}

/// The place is free again before the answer is there: one request after the other is never refused.
TEST(KeyLimits, OfAServer) {
  ServerOptions options = TestServer::defaults();
  options.api_keys = {{.hash = hash_key("k"), .n_at_once = 1}};
  const TestServer server(options);
  const std::string key = "x-api-key: k\r\n";
  Json body = {{"prompt", "Once"}, {"max_tokens", 2}};
  for (int i = 0; i < 30; ++i) {
    body["stream"] = i % 2 == 0;
    EXPECT_EQ(server.ask("/v1/completions", body, key).status, 200) << i;
  }
  EXPECT_EQ(server.ask("/v1/completions", {{"prompt", 5}}, key).status, 400);
  body = {{"prompt", "Once"}, {"max_tokens", 900}, {"ignore_eos", true}, {"stream", true}};
  HttpClient busy(server.port());
  busy.send(sw::testing::http_request("/v1/completions", dump(body), key));
  busy.receive();
  const HttpAnswer refused = server.ask("/v1/completions", {{"prompt", "x"}}, key);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(Json::parse(refused.body)["error"]["code"], "rate_limit_exceeded");
  EXPECT_EQ(server.ask("/v1/models", nullptr, key).status, 200) << "only what works is counted";
}

}  // namespace
}  // namespace sw::server
