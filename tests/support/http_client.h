// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sw::testing {

struct HttpAnswer {
  int status = 0;                                   ///< 0: the connection ended first
  std::map<std::string, std::string> headers = {};  ///< names in lower case
  std::string body = {};
  bool complete = false;  ///< all that was announced came

  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

/// A connection to a server on this machine, by plain sockets: what a client library would hide shows here.
class HttpClient {
 public:
  explicit HttpClient(uint16_t port);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void send(std::string_view bytes);
  /// The bytes that come within `ms`, at least one unless the connection ended.
  std::string receive(int ms = 10000);
  /// Waits until something of the next answer is there.
  bool await_bytes(int ms = 60000) { return !buffer_.empty() || read_more(ms); }
  /// The next answer, whole.
  HttpAnswer answer(int ms = 60000);
  /// Ends the sending side only.
  void half_close();
  /// Ends so that the server gets a reset.
  void reset();
  bool ended() const { return ended_; }

 private:
  bool read_more(int ms);
  std::string take_chunks(int ms, bool& complete);

  int fd_ = -1;
  bool ended_ = false;
  std::string buffer_;
};

/// "POST /path HTTP/1.1 ..." with a JSON body; GET where `body` is empty.
std::string http_request(const std::string& path, const std::string& body = {},
                         const std::string& more_headers = {});

/// One request on a connection of its own.
HttpAnswer ask(uint16_t port, const std::string& path, const std::string& body = {},
               const std::string& more_headers = {});

/// The events of a body of server-sent events, comments left out; the test fails where one is malformed: each
/// must end with an empty line, and have data.
struct ServerEvent {
  std::string name = {}, data = {};
};
std::vector<ServerEvent> read_events(const std::string& body);

}  // namespace sw::testing
