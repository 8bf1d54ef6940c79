// SPDX-License-Identifier: MIT
// The program as a service: it starts, says where it listens, and ends as it is told to.
#include <algorithm>
#include <csignal>
#include <gtest/gtest.h>
#include <memory>
#include <thread>

#include "support/http_client.h"
#include "support/process.h"
#include "support/running_program.h"
#include "support/test_data.h"

namespace sw {
namespace {

using testing::ask;
using testing::http_request;
using testing::HttpAnswer;
using testing::HttpClient;
using testing::RunningProgram;

/// `switchyard serve` on a free port, once it answers.
class RunningServer : public RunningProgram {
 public:
  explicit RunningServer(std::vector<std::string> more = {}) : RunningProgram(arguments(std::move(more))) {
    const std::string line = wait_for_line("listening on http://");
    port_ = static_cast<uint16_t>(std::stoi(line.substr(line.rfind(':') + 1)));
    while (ask(port_, "/ready").status != 200) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  uint16_t port() const { return port_; }

 private:
  static std::vector<std::string> arguments(std::vector<std::string> more) {
    more.insert(more.begin(), {"serve", "--port", "0", "-t", "1"});
    return more;
  }
  uint16_t port_ = 0;
};

constexpr const char* kLong = R"({"prompt":"Once","max_tokens":150,"stream":true,"ignore_eos":true})";

TEST(Serve, KeysAndValuesInTypesOfTheirOwn) {
  RunningServer server({"-ctk", "q8_0", "-ctv", "q4_0", "-c", "512", "--parallel", "2"});
  // 6 layers x 2 heads x 64 elements x 512 tokens: 34 and 18 bytes for each 32.
  server.wait_for_line("cache: q8_0 keys 0.40 MiB, q4_0 values 0.21 MiB");
  const HttpAnswer props = ask(server.port(), "/props");
  EXPECT_NE(props.body.find(R"("type_k":"q8_0")"), std::string::npos) << props.body;
  EXPECT_NE(props.body.find(R"("type_v":"q4_0")"), std::string::npos) << props.body;
  const HttpAnswer answer =
      ask(server.port(), "/v1/completions",
          R"({"prompt":"Once upon a time","max_tokens":20,"temperature":0,"ignore_eos":true})");
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_NE(answer.body.find(R"("completion_tokens":20)"), std::string::npos) << answer.body;
}

TEST(Serve, AFlagThatCouldNotHoldIsOneLine) {
  const struct {
    const char *flag, *value, *expected;
  } cases[] = {{"--allow-host", "http://a", "expected a name as example.org, without a port"},
               {"--allow-host", "a:80", "expected a name as example.org, without a port"},
               {"--ping-interval", "0", "expected a number, 0.01 to 86400, got 0"},
               {"--header-timeout", "0", "expected a number, 0.01 to 86400, got 0"},
               {"--write-timeout", "1e9", "expected a number, 0.01 to 86400, got 1e9"},
               {"--shutdown-timeout", "-1", "expected a number, 0 to 86400, got -1"},
               {"--request-timeout", "nan", "expected a number, 0 to 86400, got nan"},
               {"--pooling", "max", "expected mean or last, got max"}};
  for (const auto& c : cases) {
    const testing::ProcessResult r = testing::run_switchyard({"serve", "--port", "0", c.flag, c.value});
    EXPECT_EQ(r.exit_code, 2) << c.flag;
    EXPECT_NE(r.err.find(std::string("error: ") + c.flag + ": " + c.expected), std::string::npos) << r.err;
    EXPECT_EQ(std::ranges::count(r.err, '\n'), 1) << r.err;
  }
  const testing::ProcessResult far =
      testing::run_switchyard({"serve", "--port", "0", "--host", "192.0.2.1", "--api-key", "k"});
  EXPECT_EQ(far.exit_code, 3);
  EXPECT_NE(far.err.find("an address of this machine: --host"), std::string::npos) << far.err;
}

TEST(Serve, RoomForMoreExpertsThanThereAreIsRefused) {
  const testing::ProcessResult r = testing::run_switchyard({"serve", "--port", "0", "--experts-max", "33"});
  EXPECT_EQ(r.exit_code, 1);
  EXPECT_NE(r.err.find("error: no layer has so many experts: --experts-max: expected at most 32, got 33"),
            std::string::npos)
      << r.err;
}

TEST(Serve, ANameOfTheServerMayBeWrittenLarge) {
  RunningServer server({"--allow-host", "Example.ORG"});
  HttpClient client(server.port());
  client.send("GET /v1/models HTTP/1.1\r\nHost: EXAMPLE.org:80\r\n\r\n");
  EXPECT_EQ(client.answer().status, 200);
}

TEST(Serve, SigtermUnderLoadEndsEveryAnswerAndExitsWithZero) {
  const int n_round = testing::find_data("models") ? 5 : 2;
  for (int round = 0; round < n_round; ++round) {
    RunningServer server({"-np", "4"});
    std::vector<std::unique_ptr<HttpClient>> clients;
    for (int i = 0; i < 8; ++i) {
      clients.push_back(std::make_unique<HttpClient>(server.port()));
      clients.back()->send(http_request("/v1/completions", kLong));
    }
    for (const auto& client : clients) client->await_bytes();  // each has a place, to run or to wait
    server.signal(SIGTERM);
    for (const auto& client : clients) {
      const HttpAnswer answer = client->answer();
      EXPECT_TRUE(answer.complete);
      EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n")) << answer.body;
    }
    EXPECT_EQ(server.wait(), 0);
    EXPECT_NE(server.log().find("stopped"), std::string::npos);
  }
}

/// Also where the model is not there yet.
TEST(Serve, SigtermAtAnyMomentOfTheStartExitsWithZero) {
  for (int ms = 0; ms < 60; ms += 6) {
    RunningProgram program({"serve", "--port", "0", "-t", "1"});
    while (!program.blocks(SIGTERM)) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
    program.signal(SIGTERM);
    EXPECT_EQ(program.wait(), 0) << program.log();
    EXPECT_NE(program.log().find("stopped"), std::string::npos) << ms;
  }
}

TEST(Serve, TheSecondSignalEndsAtOnce) {
  RunningServer server;
  HttpClient client(server.port());
  client.send(http_request("/v1/completions",
                           R"({"prompt":"Once","max_tokens":1000,"stream":true,"ignore_eos":true})"));
  client.receive();
  server.signal(SIGINT);
  server.wait_for_line("stopping");
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), -SIGTERM);
}

TEST(Serve, NoTextAndNoKeyIsInTheLog) {
  RunningServer server({"--api-key", "a-secret-key"});
  const HttpAnswer answer =
      ask(server.port(), "/v1/completions", R"({"prompt":"private words","max_tokens":2})",
          "Authorization: Bearer a-secret-key\r\n");
  EXPECT_EQ(answer.status, 200);
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
  EXPECT_EQ(server.log().find("private"), std::string::npos);
  EXPECT_EQ(server.log().find("secret"), std::string::npos);
  EXPECT_NE(server.log().find("request id=" + answer.header("x-request-id")), std::string::npos);
  EXPECT_NE(server.log().find("path=/v1/completions status=200"), std::string::npos);
}

TEST(Serve, WrongFlagsAreOneLine) {
  const std::pair<std::vector<std::string>, int> cases[] = {
      {{"serve", "--host", "0.0.0.0"}, 1},
      {{"serve", "--port", "70000"}, 2},
      {{"serve", "--host", "no.such.host.invalid", "--api-key", "k"}, 1},
      {{"serve", "--api-key-file", "/nowhere"}, 1},
      {{"serve", "--request-timeout", "-1"}, 2},
      {{"serve", "--prefill-slowdown", "1"}, 2},
      {{"serve", "--slot-save-path", "/etc/passwd"}, 1},
      {{"serve", "--slot-save-path", "/nowhere"}, 1},
      {{"serve", "--port", "0", "-m", "/nowhere"}, 1}};
  for (const auto& [arguments, code] : cases) {
    const testing::ProcessResult result = testing::run_switchyard(arguments);
    EXPECT_EQ(result.exit_code, code) << arguments.back() << result.err;
    EXPECT_NE(result.err.find("error: "), std::string::npos);
  }
}

}  // namespace
}  // namespace sw
