// SPDX-License-Identifier: MIT
#include "server/access.h"

#include <fstream>

#include "server/routes.h"
#include "support/refusal.h"
#include "unit/server/server_fixture.h"

namespace sw::server {
namespace {

TEST(Access, AKeyIsKeptAsItsHash) {
  // printf %s secret | sha256sum
  EXPECT_EQ(hash_key("secret"), "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
}

TEST(Access, AFileOfKeys) {
  const sw::testing::TempDir folder;
  const std::string path = folder.path() / "keys";
  const auto write = [&](const std::string& text) { std::ofstream(path) << text; };
  write("# people\nsha256:" + hash_key("one") + "\r\n\ntwo\n");
  const std::vector<ApiKey> keys = read_key_file(path);
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_EQ(keys[0].hash, hash_key("one"));
  EXPECT_EQ(keys[0].n_per_minute, 0);
  EXPECT_EQ(keys[1].hash, hash_key("two"));
  write("sha256:" + hash_key("three") + "  at-once=2 per-minute=60 \n");
  EXPECT_EQ(read_key_file(path)[0].hash, hash_key("three"));
  EXPECT_EQ(read_key_file(path)[0].n_per_minute, 60);
  EXPECT_EQ(read_key_file(path)[0].n_at_once, 2);
  for (const char* wrong : {"rate=5", "at-once=0", "at-once=-1", "at-once=", "at-once", "=", "per-minute=1x",
                            "per-minute=99999999999999999999", "per-minute = 5"}) {
    write("sha256:" + hash_key("three") + " " + wrong);
    sw::testing::expect_refused([&] { read_key_file(path); }, "line 1");
  }
  write("ok\nsha256:12\n");
  sw::testing::expect_refused([&] { read_key_file(path); }, "line 2");
  write("# nobody\n");
  sw::testing::expect_refused([&] { read_key_file(path); }, "no key");
}

TEST(Access, ListeningToOthersNeedsKeys) {
  ServerOptions options = TestServer::defaults();
  options.http.host = "0.0.0.0";
  sw::testing::expect_refused([&] { Server server(options); }, "without a key");
  options.may_be_open = true;
  EXPECT_NO_THROW(Server server(options));
  options.may_be_open = false;
  options.api_keys = {{.hash = hash_key("k")}};
  EXPECT_NO_THROW(Server server(options));
}

TEST(Access, WithoutAKeyOnlyHealthReadyAndThePageAreOpen) {
  ServerOptions options = TestServer::defaults();
  options.api_keys = {{.hash = hash_key("secret")}, {.hash = hash_key("other")}};
  const TestServer server(options);
  for (const Route& route : routes()) {
    const bool open = route.access != Access::Keyed;
    EXPECT_EQ(open, route.path == std::string("/health") || route.path == std::string("/ready") ||
                        route.path == std::string("/"));
    const std::string body = route.endpoint != 0 ? "{}" : "";
    for (const char* header : {"", "Authorization: Bearer secre\r\n", "Authorization: Bearer secrets\r\n",
                               "x-api-key: \r\n", "Authorization: Basic secret\r\n"}) {
      const HttpAnswer answer = sw::testing::ask(server.port(), route.path, body, header);
      EXPECT_EQ(answer.status, open ? 200 : 401) << route.path << header;
    }
  }
  for (const char* header :
       {"Authorization: Bearer secret\r\n", "authorization: bearer other\r\n", "X-Api-Key: secret\r\n"})
    EXPECT_EQ(server.ask("/v1/models", nullptr, header).status, 200) << header;
}

TEST(Access, ForeignNamesAndSitesAreRefused) {
  ServerOptions options = TestServer::defaults();
  options.allowed_hosts = {"models.example"};
  options.cors_origins = {"https://good.example"};
  const TestServer server(options);
  const auto status = [&](const std::string& headers) {
    HttpClient client(server.port());
    client.send("GET /v1/models HTTP/1.1\r\n" + headers + "\r\n");
    return client.answer().status;
  };
  for (const char* host : {"localhost", "LOCALHOST:80", "127.0.0.1:8080", "[::1]:8080", "models.example:1"})
    EXPECT_EQ(status("Host: " + std::string(host) + "\r\n"), 200) << host;
  for (const char* host :
       {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:8080", ""})
    EXPECT_EQ(status("Host: " + std::string(host) + "\r\n"), 403) << host;
  const std::string host = "Host: localhost:5\r\nOrigin: ";
  for (const char* origin : {"https://good.example", "http://localhost:5"})
    EXPECT_EQ(status(host + origin + "\r\n"), 200) << origin;
  for (const char* origin :
       {"https://evil.example", "null", "http://localhost:6", "https://good.example.evil", "localhost:5"})
    EXPECT_EQ(status(host + origin + "\r\n"), 403) << origin;
}

TEST(Access, ABrowserIsToldWhichSitesMayCall) {
  ServerOptions options = TestServer::defaults();
  options.cors_origins = {"https://good.example"};
  const TestServer server(options);
  const auto preflight = [&](const std::string& origin) {
    HttpClient client(server.port());
    client.send("OPTIONS /v1/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: " + origin + "\r\n\r\n");
    return client.answer();
  };
  const HttpAnswer good = preflight("https://good.example");
  EXPECT_EQ(good.status, 204);
  EXPECT_EQ(good.header("access-control-allow-origin"), "https://good.example");
  const HttpAnswer evil = preflight("https://evil.example");
  EXPECT_EQ(evil.status, 403);
  EXPECT_EQ(evil.header("access-control-allow-origin"), "");
  const HttpAnswer answer = server.ask("/v1/models", nullptr, "Origin: https://good.example\r\n");
  EXPECT_EQ(answer.header("access-control-allow-origin"), "https://good.example");
}

}  // namespace
}  // namespace sw::server
