// SPDX-License-Identifier: MIT
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// HTTP/1.1 for a server of few routes and many streams. Knows nothing of models. All of Boost.Beast is in
/// server.cpp.
namespace sw::http {

using Seconds = std::chrono::duration<double>;

/// What a client may take of the server.
struct Limits {
  uint32_t header_bytes = 16 << 10;
  uint32_t n_header = 100;
  uint64_t body_bytes = 16 << 20;
  uint64_t bodies_bytes = uint64_t{256} << 20;  ///< of all requests that are under way
  uint32_t n_connection = 8192;
  Seconds header_time{10};
  Seconds body_time{60};
  Seconds idle_time{75};       ///< between two requests of a connection
  Seconds write_stall{30};     ///< a client that takes nothing for so long is gone
  Seconds ping_interval{1.0};  ///< a stream that is silent for so long gets a comment
};

struct Header {
  std::string name = {}, value = {};
};

struct Request {
  std::string method = {}, path = {}, query = {};  ///< path as sent, not decoded
  std::vector<Header> headers = {};                ///< names in lower case
  std::string body = {};
  std::string id = {};  ///< of this exchange, "req_..."; the answer's header x-request-id has it too

  /// The header's value; empty where there is none. Of several the first counts.
  std::string_view header(std::string_view lower_name) const;
  /// Of `name=value` in the query, not decoded; empty where there is none.
  std::string_view query_value(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  std::vector<Header> headers = {};
};

/// One request and its answer, which any thread may give: whole, or as a stream. An exchange that goes
/// without an answer closes the connection. Calls after the end, or after the client is gone, do nothing.
class Exchange {
 public:
  virtual ~Exchange() = default;
  const Request& request() const { return request_; }
  std::chrono::steady_clock::time_point received() const { return received_; }

  /// One more header for whatever answer comes; before it does.
  void add_header(Header header) { extra_headers_.push_back(std::move(header)); }
  /// Holds something until the answer is complete, or the exchange goes.
  void hold(std::shared_ptr<void> held) { held_ = std::move(held); }
  virtual void respond(Response response) = 0;
  /// Sends the head of a stream of server-sent events. While nothing else is sent it gets comments, so that
  /// neither a client nor a proxy takes silence for death.
  virtual void begin_events(std::vector<Header> headers = {}) = 0;
  /// Sends text as it is: whole events, each with its empty line.
  virtual void send(std::string text) = 0;
  virtual void end() = 0;
  /// Whether the client has gone or takes nothing. It counts as gone when it shuts its sending side down too.
  virtual bool gone() const = 0;
  /// The status that was sent, 0 before; 499 where the client went first.
  virtual int status() const = 0;

 protected:
  Request request_ = {};
  std::vector<Header> extra_headers_ = {};
  std::shared_ptr<void> held_ = {};
  std::chrono::steady_clock::time_point received_ = {};
};

using ExchangePtr = std::shared_ptr<Exchange>;

struct Handlers {
  /// Called on a worker thread for each request. May keep the exchange. Must not throw.
  std::function<void(ExchangePtr)> on_request = {};
  /// The answer to a request that could not be read: 400, 408, 413, 431 or 503.
  std::function<Response(int status, std::string_view why)> on_refused = {};
  /// A client went before its answer was complete: on the network's thread, short.
  std::function<void()> on_gone = {};
};

struct ServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;  ///< 0: any free one
  int n_worker = 2;      ///< threads that on_request runs on
  Limits limits = {};
};

struct ServerCore;

/// Listens from its constructor on; one thread for the network, and the workers.
class Server {
 public:
  /// Throws sw::Error where the address cannot be used.
  Server(const ServerOptions& options, Handlers handlers);
  /// Ends at once. Exchanges that others still hold become gone.
  ~Server();  // NOLINT(bugprone-exception-escape): see server.cpp
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  uint16_t port() const;
  int64_t n_connection() const;
  /// From now on a connection closes when its present answer is complete.
  void close_idle();
  /// Waits until no answer is being sent, at most so long.
  void wait_until_sent(Seconds most);

 private:
  std::shared_ptr<ServerCore> core_;
};

}  // namespace sw::http
