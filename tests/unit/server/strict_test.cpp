// SPDX-License-Identifier: MIT
// What would be answered otherwise than asked for is refused; what is sent is what clients read.
#include <set>

#include "server/access.h"
#include "unit/server/server_fixture.h"

namespace sw::server {
namespace {

using Strict = ServerTest;

Json with(Json body, const Json& more) {
  body.update(more);
  return body;
}

TEST_F(Strict, AnAnswerInAnotherFormIsRefused) {
  const Json tool = {{"name", "f"}, {"input_schema", {{"type", "object"}}}};
  const Json function = {{"type", "function"}, {"name", "f"}, {"parameters", {{"type", "object"}}}};
  const Json response = {{"input", "Hi"}, {"max_output_tokens", 1}};
  const Json schema = {{"format", {{"type", "json_schema"}}}};
  const Json any = {{"type", "any"}};
  const struct {
    const char* path;
    Json body;
    const char* param;
  } cases[] = {
      {"/v1/responses", with(response, {{"text", schema}}), "text.format"},
      {"/v1/responses", with(response, {{"tools", Json::array({function})}, {"tool_choice", "required"}}),
       "tool_choice"},
      {"/v1/responses", with(response, {{"tools", Json::array({{{"type", "web_search"}}})}}), "tools[0]"},
      {"/v1/responses", with(response, {{"background", true}}), "background"},
      {"/v1/messages", with(chat("Hi", 1), {{"tools", Json::array({tool})}, {"tool_choice", any}}),
       "tool_choice"},
      {"/v1/messages", with(chat("Hi", 1), {{"output_config", schema}}), "output_config.format"},
      {"/v1/completions", with(completion("Hi", 1), {{"response_format", {{"type", "json_object"}}}}),
       "response_format"},
      {"/v1/completions", with(completion("Hi", 1), {{"grammar", "root ::= \"a\""}}), "grammar"},
      {"/v1/chat/completions", with(chat("Hi", 1), {{"function_call", {{"name", "f"}}}}), "function_call"}};
  for (const auto& c : cases)
    EXPECT_EQ(server().json(c.path, c.body, 400)["error"]["param"], c.param) << c.body;
  const Json taken = server().json("/v1/messages", with(chat("Hi", 1), {{"tools", Json::array({tool})}}));
  EXPECT_EQ(taken["warnings"][0]["param"], "tools");
  const Json stored = server().json("/v1/responses", with(response, {{"store", true}}));
  EXPECT_EQ(stored["warnings"][0]["param"], "store");
}

TEST_F(Strict, AnUnknownRoleIsRefused) {
  const Json body = {{"messages", {{{"role", "assitant"}, {"content", "x"}}}}};
  for (const char* path : {"/v1/chat/completions", "/apply-template"})
    EXPECT_EQ(server().json(path, body, 400)["error"]["param"], "messages[0].role");
}

TEST_F(Strict, AMessageIsCalledAsTheClientCallsIt) {
  const Json good = {{"role", "user"}, {"content", "x"}}, bad = {{"role", "sistem"}, {"content", "x"}};
  const Json image = {{"role", "user"}, {"content", {{{"type", "image"}}}}};
  const Json reasoning = {{"type", "reasoning"}, {"summary", Json::array()}};
  const struct {
    const char* path;
    Json body;
    const char* param;
  } cases[] = {
      {"/v1/messages", {{"system", "s"}, {"messages", {good, bad}}}, "messages[1].role"},
      {"/v1/messages/count_tokens", {{"system", "s"}, {"messages", {good, image}}}, "messages[1].content"},
      {"/v1/messages", {{"system", {{{"type", "image"}}}}, {"messages", {good}}}, "system"},
      {"/v1/messages", {{"system", "s"}, {"messages", Json::array()}}, "messages"},
      {"/v1/responses", {{"instructions", "i"}, {"input", {reasoning, good, bad}}}, "input[2].role"},
      {"/v1/responses", {{"instructions", "i"}, {"input", {image}}}, "input[0].content"},
      {"/v1/responses", {{"instructions", "i"}, {"input", {reasoning, 1}}}, "input[1]"},
      {"/v1/responses", {{"instructions", "i"}, {"input", Json::array()}}, "input"},
      {"/v1/chat/completions", {{"messages", {good, bad}}}, "messages[1].role"},
      {"/apply-template", {{"messages", {good, image}}}, "messages[1].content"}};
  for (auto [path, body, param] : cases) {
    if (path == std::string("/v1/messages")) body["max_tokens"] = 1;
    EXPECT_EQ(server().json(path, body, 400)["error"]["param"], param) << body;
  }
}

TEST_F(Strict, WhatWouldOnlyTroubleTheTemplateIsNamed) {
  const auto with_message = [](const Json& message) {
    return Json{{"messages", {message}}, {"max_tokens", 1}};
  };
  const auto with = [](const char* name, const Json& value) {
    Json body = chat("Hi", 1);
    body[name] = value;
    return body;
  };
  const std::pair<Json, const char*> cases[] = {
      {with_message({{"role", "user"}}), "messages[0].content"},
      {with_message({{"role", "tool"}, {"content", nullptr}}), "messages[0].content"},
      {with("tools", Json::array({Json::object()})), "tools[0].function"},
      {with("tools", Json::array({{{"type", "function"}, {"function", {{"name", 1}}}}})),
       "tools[0].function"},
      {with("chat_template_kwargs", {{"messages", Json::array()}}), "chat_template_kwargs.messages"},
      {with("chat_template_kwargs", {{"tools", 5}}), "chat_template_kwargs.tools"}};
  for (const auto& [body, param] : cases)
    EXPECT_EQ(server().json("/v1/chat/completions", body, 400)["error"]["param"], param) << body;
  server().json("/v1/chat/completions", with("stream_options", {{"include_usage", nullptr}}));
  EXPECT_EQ(server().json("/v1/moe?stream=yes", nullptr, 400)["error"]["param"], "stream");
}

TEST_F(Strict, AnUnknownMemberOfMoeNamesThoseThatThereAre) {
  Json body = chat("Hi", 1);
  body["moe"] = {{"experts", 2}, {"foo", 1}};
  const Json error = server().json("/v1/chat/completions", body, 400)["error"];
  EXPECT_EQ(error["param"], "moe.foo");
  body["moe"] = {{std::string(70000, 'x') + "\n", 1}};
  EXPECT_LT(server().ask("/v1/chat/completions", body).body.size(), 1000u);
  for (const char* member : {"experts_decode", "mask", "return_routing"})
    EXPECT_NE(error["message"].get<std::string>().find(member), std::string::npos) << error;
}

TEST_F(Strict, EveryTokenOfTheLogprobsHasItsName) {
  const Json body = {{"prompt", {140}},
                     {"max_tokens", 2},
                     {"temperature", 0},
                     {"logprobs", 20},
                     {"logit_bias", {{"115", 100}}}};
  const HttpAnswer answer = server().ask("/v1/completions", body);
  const Json logprobs = Json::parse(answer.body)["choices"][0]["logprobs"];
  for (size_t i = 0; i < 2; ++i) {
    const Json& top = logprobs["top_logprobs"][i];
    EXPECT_TRUE(top.contains(logprobs["tokens"][i].get<std::string>())) << top;
    EXPECT_LE(top.size(), 21u);
    std::set<std::string> names;
    for (const auto& [name, value] : top.items()) EXPECT_TRUE(names.insert(name).second) << name;
  }
  EXPECT_EQ(answer.body.find("\xef\xbf\xbd\":"), std::string::npos) << "U+FFFD in a name";
}

TEST_F(Strict, PiecesThatAreNoTextAreBytes) {
  const Json tokens =
      server().json("/tokenize", {{"content", "a\xf0\x9f\xa6\x8a"}, {"with_pieces", true}})["tokens"];
  std::string bytes;
  for (const Json& token : tokens) {
    if (token["piece"].is_string()) bytes += token["piece"].get<std::string>();
    for (const Json& byte : token["piece"].is_array() ? token["piece"] : Json::array())
      bytes += static_cast<char>(byte.get<int>());
  }
  EXPECT_TRUE(bytes.ends_with("a\xf0\x9f\xa6\x8a")) << tokens;
}

TEST_F(Strict, AStreamedMessageBeginsWithItsUsage) {
  const Json body = chat("Tell me of a whale.", 2);
  const Json whole = server().json("/v1/messages", body)["usage"];
  const Json start = Json::parse(server().stream("/v1/messages", body, false)[0].data);
  EXPECT_EQ(start["type"], "message_start");
  const Json& usage = start["message"]["usage"];
  EXPECT_GT(usage["input_tokens"], 0);
  EXPECT_EQ(usage["input_tokens"].get<int>() + usage["cache_read_input_tokens"].get<int>(),
            whole["input_tokens"].get<int>() + whole["cache_read_input_tokens"].get<int>());
}

TEST_F(Strict, AModelByItsName) {
  EXPECT_EQ(server().json("/v1/models/other%2Dname")["id"], "other-name");
  EXPECT_EQ(server().json("/v1/models/gpt-9", nullptr, 404)["error"]["code"], "model_not_found");
  EXPECT_EQ(server().json("/v1/completions", with(completion("x", 1), {{"model", ""}}), 404)["error"]["code"],
            "model_not_found");
}

TEST(StrictLimits, MoreTextsThanCanEverWaitAre400) {
  ServerOptions options = TestServer::defaults();
  options.n_parallel = 1;
  options.limits.n_queue = 2;
  const TestServer small(options);
  Json body = {{"prompt", "x"}, {"max_tokens", 1}, {"n", 4}};
  EXPECT_EQ(small.json("/v1/completions", body, 400)["error"]["param"], "n");
  body["n"] = 3;
  small.json("/v1/completions", body);
  small.json("/v1/embeddings", {{"input", {"a", "b", "c", "d"}}}, 400);
}

TEST_F(Strict, HostHeadersAndAbsoluteTargets) {
  const auto status = [](const std::string& head) {
    HttpClient client(server().port());
    client.send(head + "\r\n");
    return client.answer().status;
  };
  EXPECT_EQ(status("GET /health HTTP/1.1\r\n"), 400);
  EXPECT_EQ(status("GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n"), 400);
  EXPECT_EQ(status("GET /health HTTP/1.1\r\nHost: localhost:99999\r\n"), 400);
  EXPECT_EQ(status("GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\n"), 200);
  EXPECT_EQ(status("GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n"), 403);
}

TEST_F(Strict, HeadersOfErrorsAndTypes) {
  EXPECT_EQ(server().ask("/v1/completions").header("allow"), "POST");
  const std::string body = dump(completion("x", 1));
  HttpClient client(server().port());
  client.send(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json ;charset=utf-8"
      "\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_EQ(client.answer().status, 200);
  ServerOptions options = TestServer::defaults();
  options.api_keys = {{.hash = hash_key("k")}};
  const TestServer keyed(options);
  EXPECT_EQ(keyed.ask("/v1/models").header("www-authenticate"), "Bearer");
}

TEST(StrictLimits, ABrowserMaySendWhatClientsSend) {
  ServerOptions options = TestServer::defaults();
  options.cors_origins = {"https://good.example"};
  const TestServer server(options);
  HttpClient client(server.port());
  client.send(
      "OPTIONS /v1/messages HTTP/1.1\r\nHost: localhost\r\nOrigin: https://good.example\r\n"
      "Access-Control-Request-Headers: anthropic-version,x-stainless-os(\r\nConnection: close\r\n\r\n");
  const HttpAnswer answer = client.answer();
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer.headers.count("content-length"), 0u);
  EXPECT_EQ(answer.header("access-control-allow-headers"), "anthropic-version,x-stainless-os");
  EXPECT_NE(answer.header("access-control-expose-headers").find("x-request-id"), std::string::npos);
  for (const char* origin : {"*", "good.example", "https://", "https://good.example/", "https://a:b"})
    EXPECT_FALSE(is_origin(origin)) << origin;
  EXPECT_TRUE(is_origin("http://localhost:5173"));
}

TEST_F(Strict, ARefusedPolicyNamesItsMember) {
  const auto param = [](const Json& moe) {
    return server().json("/v1/completions", with(completion("x", 1), {{"moe", moe}}), 400)["error"]["param"];
  };
  EXPECT_EQ(param({{"grouped", true}, {"experts", 4096}}), "moe.experts");
  EXPECT_EQ(param({{"mask", {{"5", {100000}}}}}), "moe.mask");
}

TEST_F(Strict, RangesHaveTwoEnds) {
  const Json error =
      server().json("/v1/completions", with(completion("x", 1), {{"top_k", 1e10}}), 400)["error"];
  EXPECT_NE(error["message"].get<std::string>().find("from -1 to 2147483647"), std::string::npos) << error;
}

TEST_F(Strict, ChunksBeforeTheUsageSayThatItIsNull) {
  const Json asked = {{"stream_options", {{"include_usage", true}}}};
  for (const auto& [path, body] :
       {std::pair("/v1/completions", completion("x", 1)), std::pair("/v1/chat/completions", chat("x", 1))}) {
    const std::vector<ServerEvent> events = server().stream(path, with(body, asked));
    const Json first = Json::parse(events.front().data);
    EXPECT_TRUE(first.contains("usage") && first["usage"].is_null()) << first;
    EXPECT_EQ(Json::parse(events.back().data)["usage"]["completion_tokens"], 1);
  }
}

TEST_F(Strict, ATruncatedItemIsIncomplete) {
  const Json body = {{"input", "A story."}, {"max_output_tokens", 2}, {"temperature", 0}};
  EXPECT_EQ(server().json("/v1/responses", body)["output"].back()["status"], "incomplete");
  for (const ServerEvent& event : server().stream("/v1/responses", body, false)) {
    if (event.name == "response.output_item.done") {
      EXPECT_EQ(Json::parse(event.data)["item"]["status"], "incomplete");
    }
  }
}

}  // namespace
}  // namespace sw::server
