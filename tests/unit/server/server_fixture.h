// SPDX-License-Identifier: MIT
#pragma once
#include <gtest/gtest.h>
#include <memory>
#include <thread>

#include "runtime/open_model.h"
#include "server/json.h"
#include "server/server.h"
#include "support/http_client.h"
#include "support/test_data.h"

namespace sw::server {

using sw::testing::HttpAnswer;
using sw::testing::HttpClient;
using sw::testing::ServerEvent;

/// A server of the default model on a free port, in a thread of its own.
class TestServer {
 public:
  static ServerOptions defaults() {
    ServerOptions options;
    options.http.port = 0;
    options.version = "test";
    options.limits.drain_s = 600;  // however slow the machine is
    return options;
  }
  explicit TestServer(const ServerOptions& options = defaults(), int64_t n_ctx = 0, CacheType cache_type = {})
      : server_(options) {
    const EngineOptions engine{.forward = {.n_thread = 1, .invariant = true, .count_routing = true},
                               .n_ctx = n_ctx,
                               .n_parallel = options.n_parallel,
                               .n_waiting = options.n_parallel,
                               .cache_type = cache_type,
                               .experts_max = 8};
    runtime_ =
        std::make_unique<Runtime>(model(), RuntimeOptions{.devices = {.devices = "none"}, .engine = engine});
    SamplerParams sampler;
    thread_ = std::thread([this, sampler] {
      server_.serve({.runtime = *runtime_,
                     .tokenizer = tokenizer(),
                     .sampler = sampler,
                     .names = {"fable", "other-name"},
                     .path = "fable.gguf",
                     .title = "Fable"});
    });
    while (!server_.serves()) std::this_thread::yield();
  }
  ~TestServer() {
    server_.stop();
    thread_.join();
  }
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  static const Model& model() {
    static const auto model = open_model(sw::testing::source_dir() / "models/fable-ling-Q4_K_M.gguf");
    return *model;
  }
  static const Tokenizer& tokenizer() {
    static const Tokenizer tokenizer = Tokenizer::from_gguf(model().file());
    return tokenizer;
  }

  uint16_t port() const { return server_.port(); }
  bool stop() { return server_.stop(); }
  HttpAnswer ask(const std::string& path, const Json& body = nullptr, const std::string& headers = {}) const {
    return sw::testing::ask(port(), path, body.is_null() ? "" : dump(body), headers);
  }
  /// The answer's body; the test fails where the status is another.
  Json json(const std::string& path, const Json& body = nullptr, int status = 200) const {
    const HttpAnswer answer = ask(path, body);
    EXPECT_EQ(answer.status, status) << answer.body;
    EXPECT_TRUE(answer.complete);
    return Json::parse(answer.body);
  }
  /// The events of a streamed answer; `done`: it must end with [DONE], which is left out.
  std::vector<ServerEvent> stream(const std::string& path, Json body, bool done = true) const {
    body["stream"] = true;
    const HttpAnswer answer = ask(path, body);
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.header("content-type"), "text/event-stream");
    std::vector<ServerEvent> events = sw::testing::read_events(answer.body);
    if (!done || events.empty()) return events;
    EXPECT_EQ(events.back().data, "[DONE]");
    events.pop_back();
    return events;
  }

 private:
  Server server_;
  std::unique_ptr<Runtime> runtime_;
  std::thread thread_;
};

/// Tests that share one server, which they leave as they found it.
class ServerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { shared() = std::make_unique<TestServer>(); }
  static void TearDownTestSuite() { shared().reset(); }
  static TestServer& server() { return *shared(); }

  static Json chat(const std::string& text, int64_t n = 12) {
    return {{"messages", {{{"role", "user"}, {"content", text}}}}, {"max_tokens", n}, {"temperature", 0}};
  }
  static Json completion(const std::string& prompt, int64_t n = 12) {
    return {{"prompt", prompt}, {"max_tokens", n}, {"temperature", 0}};
  }
  static std::string text_of(const Json& answer) { return answer["choices"][0]["text"]; }
  static std::string content_of(const Json& answer) { return answer["choices"][0]["message"]["content"]; }

 private:
  static std::unique_ptr<TestServer>& shared() {
    static std::unique_ptr<TestServer> server;
    return server;
  }
};

}  // namespace sw::server
