// SPDX-License-Identifier: MIT
#include <thread>

#include "server/fields.h"
#include "unit/server/server_fixture.h"

namespace sw::server {
namespace {

using Refuse = ServerTest;

const std::pair<Endpoint, const char*> kEndpoints[] = {{kChat, "/v1/chat/completions"},
                                                       {kCompletions, "/v1/completions"},
                                                       {kEmbeddings, "/v1/embeddings"},
                                                       {kMessages, "/v1/messages"},
                                                       {kResponses, "/v1/responses"},
                                                       {kTokenize, "/tokenize"},
                                                       {kDetokenize, "/detokenize"},
                                                       {kApplyTemplate, "/apply-template"},
                                                       {kCountTokens, "/v1/messages/count_tokens"},
                                                       {kSlotAction, "/slots/0?action=erase"}};

/// A request that is answered; short.
Json good(Endpoint endpoint) {
  const Json messages = {{{"role", "user"}, {"content", "Hi"}}};
  switch (endpoint) {
    case kChat:
      return {{"messages", messages}, {"max_tokens", 1}};
    case kMessages:
      return {{"messages", messages}, {"max_tokens", 1}};
    case kApplyTemplate:
    case kCountTokens:
      return {{"messages", messages}};
    case kCompletions:
      return {{"prompt", "Hi"}, {"max_tokens", 1}};
    case kResponses:
      return {{"input", "Hi"}, {"max_output_tokens", 1}};
    case kEmbeddings:
      return {{"input", "Hi"}};
    case kTokenize:
      return {{"content", "Hi"}};
    case kDetokenize:
      return {{"tokens", {1}}};
    case kSlotAction:
      return Json::object();
  }
  return {};
}

void expect_error_body(const Json& body) {
  ASSERT_TRUE(body.contains("error")) << body;
  EXPECT_TRUE(body["error"]["message"].is_string());
  EXPECT_TRUE(body["error"]["type"].is_string());
  EXPECT_TRUE(body["error"].contains("param"));
  EXPECT_TRUE(body["error"]["code"].is_string());
}

TEST_F(Refuse, EveryEndpointAnswersAGoodRequest) {
  for (const auto& [endpoint, path] : kEndpoints) server().json(path, good(endpoint));
}

/// Each field of each endpoint with values that are wrong in type or range, or at its edges.
TEST_F(Refuse, NoValueOfAnyFieldIsA500) {
  int n_case = 0, n_refused = 0;
  for (const auto& [endpoint, path] : kEndpoints) {
    HttpClient client(server().port());
    for (const Field& f : request_fields()) {
      if ((f.endpoints & endpoint) == 0) continue;
      const std::vector<std::string> values = {"-1",
                                               "0",
                                               dump(f.low - 1),
                                               dump(f.high + 1),
                                               "2147483648",
                                               "9007199254740992",
                                               "1e308",
                                               "null",
                                               "\"text\"",
                                               "[1]",
                                               "{\"a\": 1}",
                                               "true",
                                               "0.5",
                                               "123456789012345678901234567890"};
      for (const std::string& value : values) {
        Json body = good(endpoint);
        body.erase(f.name);
        std::string text = dump(body);
        text.insert(text.size() - 1, (body.empty() ? "\"" : ",\"") + f.name + "\":" + value);
        if (f.name != "max_tokens" && f.name != "max_completion_tokens" && f.name != "max_output_tokens" &&
            value == "true" && f.name == "stream")
          continue;  // a stream, which is no error
        client.send(sw::testing::http_request(path, text));
        const HttpAnswer answer = client.answer();
        ++n_case;
        ASSERT_TRUE(answer.status == 200 || answer.status == 400 || answer.status == 404)
            << path << " " << text << " " << answer.body;
        if (answer.status == 200) continue;
        ++n_refused;
        const Json error = Json::parse(answer.body);
        expect_error_body(error);
        EXPECT_TRUE(error["error"]["param"].is_string()) << text << answer.body;
        EXPECT_TRUE(error["error"]["param"].get<std::string>().starts_with(f.name) ||
                    f.name == "chat_template_kwargs" || f.name == "add_generation_prompt" ||
                    f.name == "reasoning_effort" || f.name == "tools" || f.name == "system" ||
                    f.name == "instructions")
            << text << answer.body;
      }
    }
  }
  EXPECT_GT(n_case, 600);
  EXPECT_GT(n_refused, 300);
}

TEST_F(Refuse, BodiesThatAreNoRequest) {
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  for (const std::string& body :
       {std::string("{"), std::string("[]"), std::string("1"), std::string("{\"prompt\":1e999}"), deep,
        std::string("{\"prompt\":\"a\",\"prompt\":\"b\"}"), std::string("{\"prompt\":\"\xff\"}"),
        std::string("{}")}) {
    const HttpAnswer answer = sw::testing::ask(server().port(), "/v1/completions", body);
    EXPECT_EQ(answer.status, 400) << body.substr(0, 40);
    expect_error_body(Json::parse(answer.body));
  }
}

TEST_F(Refuse, MessagesThatAreNone) {
  const std::string cases[] = {
      "[]",
      "[1]",
      "[{}]",
      "[{\"role\":1}]",
      "[{\"role\":\"user\",\"content\":1}]",
      R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}])",
      R"([{"role":"user","content":[{"type":"text"}]}])"};
  for (const std::string& messages : cases) {
    for (const char* path : {"/v1/chat/completions", "/v1/messages", "/apply-template"}) {
      const HttpAnswer answer =
          sw::testing::ask(server().port(), path, "{\"max_tokens\":1,\"messages\":" + messages + "}");
      EXPECT_EQ(answer.status, 400) << path << messages << answer.body;
    }
  }
}

TEST_F(Refuse, RoutesMethodsAndTypes) {
  expect_error_body(server().json("/nowhere", nullptr, 404));
  expect_error_body(server().json("/v1/chat/completions", nullptr, 405));
  expect_error_body(server().json("/health", Json::object(), 405));
  HttpClient client(server().port());
  client.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}");
  const HttpAnswer answer = client.answer();
  EXPECT_EQ(answer.status, 415);
  expect_error_body(Json::parse(answer.body));
  client.send("nonsense\r\n\r\n");
  const HttpAnswer broken = client.answer();
  EXPECT_EQ(broken.status, 400);
  expect_error_body(Json::parse(broken.body));
}

TEST_F(Refuse, AnotherModelIs404AndAnAliasIsServed) {
  Json body = completion("x", 1);
  body["model"] = "gpt-9";
  EXPECT_EQ(server().json("/v1/completions", body, 404)["error"]["code"], "model_not_found");
  body["model"] = "other-name";
  EXPECT_EQ(server().json("/v1/completions", body)["model"], "other-name");
}

TEST_F(Refuse, APromptThatDoesNotFitSaysHowMuchWould) {
  Json body = completion("", 1);
  body["prompt"] = std::vector<int>(1024, 5);
  const Json error = server().json("/v1/completions", body, 400)["error"];
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_EQ(error["n_prompt_tokens"], 1024);
  EXPECT_EQ(error["n_ctx"], 1024);
  body["prompt"] = std::vector<int>(1023, 5);
  body.erase("max_tokens");
  const Json answer = server().json("/v1/completions", body);
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 1);
}

TEST_F(Refuse, AFullQueueIs429AndADeadlineEndsARequest) {
  ServerOptions options = TestServer::defaults();
  options.n_parallel = 1;
  options.limits.n_queue = 1;
  const TestServer small(options);
  Json body = completion("Once", 1000);
  body["ignore_eos"] = body["stream"] = true;
  HttpClient running(small.port()), waiting(small.port());
  for (HttpClient* client : {&running, &waiting}) {
    client->send(sw::testing::http_request("/v1/completions", dump(body)));
    client->receive();
  }
  const HttpAnswer refused = small.ask("/v1/completions", completion("x", 1));
  EXPECT_EQ(refused.status, 429);
  EXPECT_FALSE(refused.header("retry-after").empty());
  EXPECT_EQ(Json::parse(refused.body)["error"]["code"], "queue_full");
  running.reset();
  waiting.reset();
  while (small.json("/v1/moe")["server"]["n_waiting"] != 0) std::this_thread::yield();

  Json late = completion("Once", 1000);
  late["ignore_eos"] = true;
  late["timeout_s"] = 0.05;
  EXPECT_EQ(small.json("/v1/completions", late, 408)["error"]["code"], "deadline_exceeded");
  late["stream"] = true;
  const std::vector<ServerEvent> events = sw::testing::read_events(small.ask("/v1/completions", late).body);
  EXPECT_EQ(Json::parse(events.back().data)["error"]["code"], "deadline_exceeded") << "and no [DONE]";
  small.json("/v1/completions", completion("x", 1));
}

}  // namespace
}  // namespace sw::server
