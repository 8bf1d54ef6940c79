// SPDX-License-Identifier: MIT
// How the loop comes to its end, step by step and without a connection.
#include "server/engine_loop.h"

#include <future>
#include <gtest/gtest.h>
#include <thread>

#include "server/api_error.h"
#include "unit/server/server_fixture.h"

namespace sw::server {
namespace {

class LoopEnd : public ::testing::Test {
 protected:
  static EngineOptions engine_options() { return {.forward = {.n_thread = 1}, .n_ctx = 64}; }
  static int status_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const ApiError& e) {
      return e.status();
    }
    return 200;
  }

  Engine engine_{TestServer::model(), engine_options()};
  Metrics metrics_;
  EngineLoop loop_{engine_, TestServer::model(), TestServer::tokenizer(), {}, metrics_};
};

TEST_F(LoopEnd, WhatIsAskedForLaterIsRefused) {
  loop_.stop();
  loop_.run();
  EXPECT_EQ(status_of([&] { loop_.ask([] {}); }), 503);
  EXPECT_EQ(status_of([&] { loop_.between_steps([] {}); }), 503);
  EXPECT_EQ(status_of([&] { loop_.submit({}); }), 503);
  EXPECT_NO_THROW(loop_.stop());
}

TEST_F(LoopEnd, AGuestIsWaitedFor) {
  auto guest = std::make_unique<EngineLoop::Guest>(loop_);
  loop_.stop();
  std::thread thread([&] { loop_.run(); });
  int n_asked = 0;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(status_of([&] { loop_.ask([&] { ++n_asked; }); }), 200);
  EXPECT_EQ(n_asked, 3);
  guest.reset();
  thread.join();
  EXPECT_EQ(status_of([&] { loop_.ask([] {}); }), 503);
}

}  // namespace
}  // namespace sw::server
