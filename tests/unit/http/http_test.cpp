// SPDX-License-Identifier: MIT
#include "http/http.h"

#include <atomic>
#include <gtest/gtest.h>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "support/http_client.h"
#include "support/refusal.h"

namespace sw::http {
namespace {

using sw::testing::ask;
using sw::testing::http_request;
using sw::testing::HttpAnswer;
using sw::testing::HttpClient;

/// A server whose handler the test gives.
class HttpTest : public ::testing::Test {
 protected:
  void start(std::function<void(ExchangePtr)> on_request, Limits limits = {}) {
    server_ = std::make_unique<Server>(ServerOptions{.port = 0, .limits = limits},
                                       Handlers{.on_request = std::move(on_request),
                                                .on_refused =
                                                    [](int status, std::string_view why) {
                                                      return Response{.status = status,
                                                                      .content_type = "text/plain",
                                                                      .body = std::string(why)};
                                                    },
                                                .on_gone = [this] { ++n_gone_; }});
  }
  void start_echo(Limits limits = {}) {
    start(
        [](const ExchangePtr& e) {
          const Request& r = e->request();
          e->respond(
              {.content_type = "text/plain", .body = r.method + " " + r.path + " " + r.query + " " + r.body});
        },
        limits);
  }
  uint16_t port() const { return server_->port(); }
  /// Waits until what other threads do has come to this.
  template <class Condition>
  static bool eventually(Condition&& condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return condition();
  }

  std::atomic<int> n_gone_ = 0;
  std::unique_ptr<Server> server_;
};

TEST_F(HttpTest, AnswersAndKeepsTheConnection) {
  start_echo();
  HttpClient client(port());
  for (int i = 0; i < 3; ++i) {
    client.send(http_request("/a?b=c", "{\"x\":1}"));
    const HttpAnswer answer = client.answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "POST /a b=c {\"x\":1}");
    EXPECT_TRUE(answer.header("x-request-id").starts_with("req_"));
    EXPECT_EQ(answer.header("connection"), "keep-alive");
  }
  EXPECT_EQ(server_->n_connection(), 1);
}

TEST_F(HttpTest, RequestsInOnePacketAreAnsweredInOrder) {
  start_echo();
  HttpClient client(port());
  client.send(http_request("/1", "x") + http_request("/2") + http_request("/3", "z"));
  EXPECT_EQ(client.answer().body, "POST /1  x");
  EXPECT_EQ(client.answer().body, "GET /2  ");
  EXPECT_EQ(client.answer().body, "POST /3  z");
}

TEST_F(HttpTest, ABodyInChunksAndOneByteAtATime) {
  start_echo();
  HttpClient client(port());
  for (const char c : std::string("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                                  "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
    client.send({&c, 1});
  EXPECT_EQ(client.answer().body, "POST /  abcde");
}

TEST_F(HttpTest, FieldsBehindABodyAreNoHeaders) {
  start([](const ExchangePtr& e) {
    std::string names;
    for (const Header& h : e->request().headers) names += h.name + " ";
    e->respond({.content_type = "text/plain", .body = names + e->request().body});
  });
  HttpClient client(port());
  client.send(
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
      "Host: y\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n");
  const HttpAnswer answer = client.answer();
  EXPECT_EQ(answer.body, "host transfer-encoding abc");
  EXPECT_EQ(answer.header("connection"), "keep-alive");
}

TEST_F(HttpTest, SaysContinueBeforeALargeBody) {
  start_echo();
  HttpClient client(port());
  client.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.receive(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("ok");
  EXPECT_EQ(client.answer().body, "POST /  ok");
}

TEST_F(HttpTest, AnHttp10ClientGetsAnEnd) {
  start([](const ExchangePtr& e) {
    e->begin_events();
    e->send("data: 1\n\n");
    e->end();
  });
  HttpClient client(port());
  client.send("GET / HTTP/1.0\r\n\r\n");
  const HttpAnswer answer = client.answer();
  EXPECT_EQ(answer.body, "data: 1\n\n");
  EXPECT_EQ(answer.header("connection"), "close");
  EXPECT_TRUE(answer.complete);
}

TEST_F(HttpTest, RefusesWhatIsTooLarge) {
  start_echo({.header_bytes = 1024, .n_header = 10, .body_bytes = 100});
  const auto status = [&](const std::string& bytes) {
    HttpClient client(port());
    client.send(bytes);
    const HttpAnswer answer = client.answer();
    EXPECT_EQ(answer.header("connection"), "close");
    EXPECT_TRUE(answer.complete);
    return answer.status;
  };
  EXPECT_EQ(status("GET / HTTP/1.1\r\nX: " + std::string(2000, 'x') + "\r\n\r\n"), 431);
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 11; ++i) many += "a: b\r\n";
  EXPECT_EQ(status(many + "\r\n"), 431);
  EXPECT_EQ(status(http_request("/", std::string(101, 'x'))), 413);
  EXPECT_EQ(status("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n80\r\n" +
                   std::string(128, 'x') + "\r\n0\r\n\r\n"),
            413);
  EXPECT_EQ(status("nonsense\r\n\r\n"), 400);
  EXPECT_EQ(status("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), 400);
  EXPECT_EQ(status("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQ(ask(port(), "/", "fits").status, 200);
}

TEST_F(HttpTest, ARefusalHasItsBodyWhateverCameBefore) {
  start_echo({.n_header = 1});
  HttpClient client(port());
  client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  while (client.receive().find("\r\n\r\n") == std::string::npos) continue;
  client.send("nonsense\r\n\r\n");
  const HttpAnswer answer = client.answer();
  EXPECT_EQ(answer.status, 400);
  EXPECT_FALSE(answer.body.empty());
  EXPECT_TRUE(answer.complete);
  // A refused HEAD has none.
  HttpClient head(port());
  head.send("HEAD / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n");
  std::string got;
  while (!head.ended()) got += head.receive();
  EXPECT_TRUE(got.starts_with("HTTP/1.1 431 ")) << got;
  EXPECT_TRUE(got.ends_with("\r\n\r\n")) << got;
}

TEST_F(HttpTest, ATargetIsAPathOrAnAddress) {
  start_echo();
  const auto answer = [&](const std::string& target) { return ask(port(), target, "x"); };
  EXPECT_EQ(answer("/a?b").body, "POST /a b x");
  EXPECT_EQ(answer("*").body, "POST *  x");
  EXPECT_EQ(answer("HTTP://a:1/b?c").body, "POST /b c x");
  EXPECT_EQ(answer("http://a?c").body, "POST / c x");
  for (const char* target : {"?a", "a/b", "localhost:80", "https://a/", "*/"})
    EXPECT_EQ(answer(target).status, 400) << target;
}

TEST_F(HttpTest, AnEndlessHeaderIsCutEarly) {
  start_echo({.header_bytes = 4096});
  HttpClient client(port());
  client.send("GET / HTTP/1.1\r\nX: ");
  for (int i = 0; i < 1000; ++i) client.send(std::string(4096, 'x'));
  EXPECT_TRUE(eventually([&] { return server_->n_connection() == 0; }));
}

TEST_F(HttpTest, ASlowRequestIs408AndASilentConnectionCloses) {
  start_echo({.header_time = Seconds(0.1), .body_time = Seconds(0.1), .idle_time = Seconds(0.1)});
  HttpClient header(port()), body(port()), silent(port());
  header.send("GET / HT");
  body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  EXPECT_EQ(header.answer().status, 408);
  EXPECT_EQ(body.answer().status, 408);
  EXPECT_EQ(silent.receive(), "");
  EXPECT_TRUE(silent.ended());
}

TEST_F(HttpTest, AfterALateRequestTheClientsEndIsSeen) {
  start_echo({.header_time = Seconds(0.02), .body_time = Seconds(0.02)});
  for (const char* bytes : {"GET / HT", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"}) {
    HttpClient client(port());
    client.send(bytes);
    EXPECT_EQ(client.answer().status, 408);
    const auto began = std::chrono::steady_clock::now();
    client.reset();
    EXPECT_TRUE(eventually([&] { return server_->n_connection() == 0; }));
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(500)) << bytes;
  }
}

TEST_F(HttpTest, TooManyConnectionsAreTold) {
  start_echo({.n_connection = 2});
  HttpClient first(port()), second(port());
  for (HttpClient* client : {&first, &second}) {
    client->send(http_request("/"));
    EXPECT_EQ(client->answer().status, 200);
  }
  EXPECT_EQ(HttpClient(port()).answer().status, 503);
}

TEST_F(HttpTest, AStreamIsPingedWhileItIsSilent) {
  ExchangePtr exchange;
  std::mutex mutex;
  start(
      [&](const ExchangePtr& e) {
        e->begin_events();
        const std::lock_guard lock(mutex);
        exchange = e;
      },
      {.ping_interval = Seconds(0.02)});
  HttpClient client(port());
  client.send(http_request("/"));
  std::string got;
  while (got.find(": ping\n\n") == got.npos) got += client.receive();
  EXPECT_NE(got.find("text/event-stream"), got.npos);
  EXPECT_NE(got.find("Cache-Control: no-cache"), got.npos);
  EXPECT_NE(got.find("X-Accel-Buffering: no"), got.npos);
  const std::lock_guard lock(mutex);
  exchange->end();
}

TEST_F(HttpTest, AClientThatGoesIsSeenHoweverItGoes) {
  std::mutex mutex;
  std::vector<ExchangePtr> held;
  start([&](const ExchangePtr& e) {
    if (e->request().path == "/stream") e->begin_events();
    const std::lock_guard lock(mutex);
    held.push_back(e);
  });
  for (const char* path : {"/stream", "/whole"}) {
    for (int how = 0; how < 3; ++how) {
      auto client = std::make_unique<HttpClient>(port());
      client->send(http_request(path));
      ASSERT_TRUE(eventually([&] {
        const std::lock_guard lock(mutex);
        return held.size() == 1;
      }));
      const int before = n_gone_;
      EXPECT_FALSE(held[0]->gone());
      if (how == 0) client.reset();
      if (how == 1) client->reset();
      if (how == 2) client->half_close();
      EXPECT_TRUE(eventually([&] { return held[0]->gone(); })) << path << how;
      EXPECT_EQ(n_gone_, before + 1);
      EXPECT_EQ(held[0]->status(), 499);
      held[0]->respond({.body = "nobody gets it"});
      held.clear();
    }
  }
  EXPECT_TRUE(eventually([&] { return server_->n_connection() == 0; }));
}

TEST_F(HttpTest, AnExchangeThatIsDroppedClosesTheConnection) {
  start([](const ExchangePtr&) {});
  HttpClient client(port());
  client.send(http_request("/"));
  EXPECT_EQ(client.answer().status, 0);
  EXPECT_TRUE(client.ended());
}

TEST_F(HttpTest, AnExchangeOutlivesTheServer) {
  std::mutex mutex;
  ExchangePtr exchange;
  start([&](const ExchangePtr& e) {
    const std::lock_guard lock(mutex);
    exchange = e;
  });
  HttpClient client(port());
  client.send(http_request("/"));
  ASSERT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return exchange != nullptr;
  }));
  server_.reset();
  EXPECT_TRUE(exchange->gone());
  exchange->respond({.body = "too late"});
}

TEST_F(HttpTest, AClientThatReadsNothingIsLost) {
  std::atomic<bool> gone = false;
  start(
      [&](const ExchangePtr& e) {
        e->begin_events();
        for (int i = 0; i < 64; ++i) e->send(std::string(1 << 20, 'x'));
        while (!e->gone()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        gone = true;
      },
      {.write_stall = Seconds(0.2)});
  HttpClient client(port());
  client.send(http_request("/"));
  EXPECT_TRUE(eventually([&] { return gone.load(); }));
}

TEST_F(HttpTest, AfterCloseIdleAnAnswerEndsItsConnection) {
  start_echo();
  HttpClient idle(port()), later(port());
  idle.send(http_request("/"));
  EXPECT_EQ(idle.answer().status, 200);
  server_->close_idle();
  EXPECT_EQ(idle.receive(), "");
  HttpClient fresh(port());
  fresh.send(http_request("/"));
  const HttpAnswer answer = fresh.answer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("connection"), "close");
}

TEST_F(HttpTest, APortInUseIsOneLine) {
  start_echo();
  sw::testing::expect_refused([&] { Server(ServerOptions{.port = port()}, Handlers{}); }, "cannot listen");
}

}  // namespace
}  // namespace sw::http
