// SPDX-License-Identifier: MIT
// Bytes of a client, over a connection of its own to a server with small limits, which answers all that is
// asked: by the server's routes (before a model is there), by what came, or with a stream. The first byte
// says how they come and how the client ends. What comes back must be whole answers, the last of which may be
// cut only where the client went first.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "fuzz/edge_values.h"
#include "fuzz/mutate_json.h"
#include "fuzz/outcome.h"
#include "fuzz/target.h"
#include "server/access.h"
#include "server/dispatch.h"
#include "support/http_client.h"

namespace sw::fuzz {
namespace {

constexpr http::Limits kLimits{.header_bytes = 2048,
                               .n_header = 20,
                               .body_bytes = 4096,
                               .bodies_bytes = 8192,
                               .header_time = http::Seconds(0.005),
                               .body_time = http::Seconds(0.005),
                               .idle_time = http::Seconds(0.005),
                               .ping_interval = http::Seconds(0.002)};
constexpr std::string_view kLast = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
constexpr int kMostWait_ms = 30000;

bool is_clean(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == text.npos;
}

/// What a handler sees is within the limits, and cannot be taken for more than one line.
void check_request(const http::Request& r) {
  if (r.body.size() > kLimits.body_bytes) give_up("a body beyond the limit");
  if (r.headers.size() > kLimits.n_header) give_up("more headers than the limit");
  size_t n_byte = 0;
  for (const http::Header& h : r.headers) {
    n_byte += h.name.size() + h.value.size();
    const bool lower = std::ranges::none_of(h.name, [](char c) { return c >= 'A' && c <= 'Z'; });
    if (h.name.empty() || !lower || !is_clean(h.name) || !is_clean(h.value)) give_up("a bad header");
  }
  if (n_byte > kLimits.header_bytes) give_up("headers beyond the limit");
  if (r.method.empty() || r.path.empty() || !is_clean(r.method + r.path + r.query))
    give_up("a bad request line");
}

/// The server, and what it was asked on the present connection.
class AnyServer {
 public:
  AnyServer() : service_(server_options()) {
    log::set_level(log::Level::Off);
    server_ = std::make_unique<http::Server>(
        http::ServerOptions{.port = 0, .n_worker = 1, .limits = kLimits},
        http::Handlers{.on_request = [this](const http::ExchangePtr& e) { answer(e); },
                       .on_refused = server::refused});
  }
  uint16_t port() const { return server_->port(); }
  int64_t n_connection() const { return server_->n_connection(); }
  /// The methods of the requests since the last call.
  std::vector<std::string> take_methods() {
    const std::lock_guard lock(mutex_);
    return std::exchange(methods_, {});
  }

 private:
  static server::ServerOptions server_options() {
    server::ServerOptions options;
    options.api_keys = {{.hash = server::hash_key("key")}};
    options.cors_origins = {"http://friend"};
    return options;
  }
  void answer(const http::ExchangePtr& e) {
    const http::Request& r = e->request();
    check_request(r);
    if (r.path.starts_with("/drop")) return;  // goes without an answer
    {
      const std::lock_guard lock(mutex_);
      methods_.push_back(r.method);
    }
    if (r.path.starts_with("/echo")) {
      e->respond({.content_type = "text/plain", .body = r.path + r.query + r.body});
    } else if (r.path.starts_with("/stream")) {
      e->begin_events();
      for (size_t i = 0; i < 3; ++i) e->send("data: " + std::to_string(r.body.size()) + "\n\n");
      e->end();
    } else {
      server::dispatch(service_, e);
    }
  }

  server::Service service_;
  std::mutex mutex_;
  std::vector<std::string> methods_;
  std::unique_ptr<http::Server> server_;
};

/// Reads answers one behind the other, as a client must be able to.
class Answers {
 public:
  explicit Answers(std::string_view bytes) : rest_(bytes) {}

  bool at_end() const { return rest_.empty(); }
  /// Takes an answer; its status, or 0 where it is cut off. `head`: to a request for the head alone;
  /// `may_be`: perhaps to such a one, if it is the last.
  int take(bool head, bool may_be) {
    const size_t end = rest_.find("\r\n\r\n");
    if (end == rest_.npos) return cut();
    const std::string_view lines = rest_.substr(0, end + 2);
    rest_.remove_prefix(end + 4);
    const int status = number(lines.substr(lines.find(' ') + 1, 3), 10);
    if (!lines.starts_with("HTTP/1.1 ") || status < 100) give_up("a bad status line: " + std::string(lines));
    if (status == 100 || status == 204 || head || (may_be && rest_.empty())) return status;
    if (has(lines, "Transfer-Encoding: chunked")) return take_chunks() ? status : cut();
    const size_t length = lines.find("\r\nContent-Length: ");
    if (length == lines.npos) {  // until the connection ends
      if (!has(lines, "Connection: close")) give_up("an answer without a length: " + std::string(lines));
      rest_ = {};
      return status;
    }
    const std::string_view from = lines.substr(length + 18);
    const auto n = static_cast<size_t>(number(from.substr(0, from.find('\r')), 10));
    if (rest_.size() < n) return cut();
    rest_.remove_prefix(n);
    return status;
  }

 private:
  static bool has(std::string_view lines, std::string_view line) { return lines.find(line) != lines.npos; }
  static int number(std::string_view digits, int base) {
    int n = -1;
    const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n, base);
    if (error != std::errc() || rest != digits.data() + digits.size() || n < 0)
      give_up("a bad number: " + std::string(digits));
    return n;
  }
  int cut() {
    rest_ = {};
    return 0;
  }
  bool take_chunks() {
    for (;;) {
      const size_t end = rest_.find("\r\n");
      if (end == rest_.npos) return false;
      const auto n = static_cast<size_t>(number(rest_.substr(0, end), 16));
      if (rest_.size() < end + 2 + n + 2) return false;
      if (rest_.substr(end + 2 + n, 2) != "\r\n") give_up("a chunk of another length than it says");
      rest_.remove_prefix(end + 2 + n + 2);
      if (n == 0) return true;
    }
  }

  std::string_view rest_;
};

/// How the client behaves: bits of the input's first byte.
struct Manner {
  explicit Manner(uint8_t bits)
      : in_pieces((bits & 8) != 0), goes((bits & 7) == 6), resets((bits & 7) == 7), waits((bits & 7) == 5) {}
  bool in_pieces;  ///< three packets
  bool goes;       ///< ends its sending side behind the last byte
  bool resets;     ///< goes without reading anything
  bool waits;      ///< sends nothing behind the input, so that what is not whole must come to its time
};

/// All that the server says until it closes.
std::string talk(testing::HttpClient& client, std::string_view bytes, const Manner& manner) {
  const size_t third = manner.in_pieces ? bytes.size() / 3 : 0;
  for (int i = 0; i < 2; ++i) {
    if (third > 0) client.send(bytes.substr(0, third));
    bytes.remove_prefix(third);
  }
  client.send(bytes);
  if (manner.resets) return "";
  if (manner.goes) {
    client.half_close();
  } else if (!manner.waits) {
    client.send(kLast);
  }
  std::string got;
  while (!client.ended()) {
    const std::string more = client.receive(kMostWait_ms);
    if (more.empty() && !client.ended()) give_up("the connection hangs");
    got += more;
  }
  return got;
}

/// Until the server has nothing left of a connection.
void await_end(const AnyServer& server) {
  const auto most = std::chrono::steady_clock::now() + std::chrono::milliseconds(kMostWait_ms);
  while (server.n_connection() > 0) {
    if (std::chrono::steady_clock::now() > most) give_up("a connection is left");
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

/// A line that means something to whoever reads requests.
std::string any_line(Rng& rng) {
  static const std::string lines[] = {"Transfer-Encoding: chunked",
                                      "Transfer-Encoding: gzip, chunked",
                                      "Content-Length: ",
                                      "Content-Length: 3",
                                      "Expect: 100-continue",
                                      "Host: localhost",
                                      "Host: elsewhere:99999",
                                      "Connection: close",
                                      "Connection: upgrade, keep-alive",
                                      "Origin: http://friend",
                                      "Access-Control-Request-Headers: a\tb, \xff",
                                      "Authorization: Bearer key",
                                      "Content-Type: application/json; charset=utf-8",
                                      " folded",
                                      "X: " + std::string(3000, 'x'),
                                      "",
                                      "0",
                                      "ffffffffffffffff",
                                      "GET http://localhost/echo?a=b HTTP/1.1",
                                      "HEAD /health HTTP/1.1",
                                      "OPTIONS * HTTP/1.1",
                                      "POST /v1/chat/completions HTTP/1.0",
                                      "GET /v1/models/%00%zz HTTP/1.1"};
  std::string line = pick(lines, rng);
  if (line.ends_with("Length: ")) line += std::to_string(changed_number(0, rng));
  return line;
}

/// One line dropped, doubled, replaced or put in between.
std::string change_lines(const std::string& text, Rng& rng) {
  std::vector<std::string> lines;
  for (size_t at = 0, end = 0; at <= text.size(); at = end + 2) {
    end = std::min(text.find("\r\n", at), text.size());
    lines.push_back(text.substr(at, end - at));
  }
  const auto at = lines.begin() + static_cast<std::ptrdiff_t>(rng.below(lines.size()));
  switch (rng.below(5)) {
    case 0:
      lines.erase(at);
      break;
    case 1:
      lines.insert(at, std::string(*at));
      break;
    case 2:
      *at = any_line(rng);
      break;
    case 3:
      *at = mutate_bytes(*at, rng);
      break;
    default:
      lines.insert(at, any_line(rng));
  }
  std::string out;
  for (size_t i = 0; i < lines.size(); ++i) out += (i > 0 ? "\r\n" : "") + lines[i];
  return out;
}

}  // namespace

int fuzz_one(Bytes input) {
  static AnyServer server;
  if (input.empty()) return 0;
  const Manner manner(static_cast<uint8_t>(input[0]));
  const std::string_view bytes(reinterpret_cast<const char*>(input.data()) + 1, input.size() - 1);
  testing::HttpClient client(server.port());
  const std::string got = talk(client, bytes, manner);
  client.reset();
  if (manner.resets) {  // the server may not even have seen it come; connections are taken in order
    testing::HttpClient next(server.port());
    talk(next, kLast, Manner(0));
    next.reset();
  }
  await_end(server);
  const std::vector<std::string> methods = server.take_methods();
  const bool reads_all = !manner.goes && !manner.resets;
  Answers answers(got);
  bool accepted = false;
  size_t n_answer = 0;
  while (!answers.at_end()) {
    const bool known = n_answer < methods.size();
    const int status = answers.take(known && methods[n_answer] == "HEAD", !known);
    if (status == 100) continue;
    if (status == 0 && reads_all) give_up("an answer that is cut off");
    if (status >= 500 && status != 503) give_up("status " + std::to_string(status));
    accepted = accepted || (known && status == 200);
    ++n_answer;
  }
  // One more than were asked: what could not be read is refused.
  if (n_answer > methods.size() + 1 || (reads_all && n_answer < methods.size()))
    give_up(std::to_string(n_answer) + " answers to " + std::to_string(methods.size()) + " requests");
  return accepted ? 1 : 0;
}

std::string mutate(const std::string& input, Rng& rng) {
  if (input.empty()) return input;
  const auto manner = static_cast<char>(rng.below(4) == 0 ? rng.below(16) : static_cast<uint8_t>(input[0]));
  std::string text = input.substr(1);
  for (uint64_t n = 1 + rng.below(3); n-- > 0;)
    text = rng.below(2) == 0 ? change_lines(text, rng) : mutate_bytes(text, rng);
  return manner + text;
}

}  // namespace sw::fuzz
