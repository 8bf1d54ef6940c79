// SPDX-License-Identifier: MIT
#include "support/http_client.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cctype>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace sw::testing {

HttpClient::HttpClient(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd_ < 0 || connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("cannot connect");
  const int at_once = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
}

HttpClient::~HttpClient() {
  if (fd_ >= 0) close(fd_);
}

void HttpClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;  // the server ended it; reading tells what it said before
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void HttpClient::half_close() { shutdown(fd_, SHUT_WR); }

void HttpClient::reset() {
  const linger now = {1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(std::exchange(fd_, -1));
}

bool HttpClient::read_more(int ms) {
  pollfd p = {fd_, POLLIN, 0};
  if (poll(&p, 1, ms) <= 0) return false;
  char bytes[65536];
  const ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
  if (n <= 0) {
    ended_ = true;
    return false;
  }
  buffer_.append(bytes, static_cast<size_t>(n));
  return true;
}

std::string HttpClient::receive(int ms) {
  if (buffer_.empty()) read_more(ms);
  return std::exchange(buffer_, {});
}

std::string HttpClient::take_chunks(int ms, bool& complete) {
  std::string body;
  for (size_t end = 0;;) {
    while ((end = buffer_.find("\r\n")) == buffer_.npos) {
      if (!read_more(ms)) return body;
    }
    const size_t n = std::stoul(buffer_.substr(0, end), nullptr, 16);
    while (buffer_.size() < end + 2 + n + 2) {
      if (!read_more(ms)) return body;
    }
    body += buffer_.substr(end + 2, n);
    buffer_.erase(0, end + 2 + n + 2);
    if (n == 0) {
      complete = true;
      return body;
    }
  }
}

HttpAnswer HttpClient::answer(int ms) {
  HttpAnswer answer;
  size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == buffer_.npos) {
    if (!read_more(ms)) return answer;
  }
  const std::string head = buffer_.substr(0, end + 2);
  buffer_.erase(0, end + 4);
  answer.status = std::stoi(head.substr(head.find(' ') + 1, 3));
  for (size_t at = head.find("\r\n") + 2; at < head.size();) {
    const size_t line_end = head.find("\r\n", at), colon = head.find(':', at);
    std::string name = head.substr(at, colon - at);
    std::ranges::transform(name, name.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    answer.headers[name] = head.substr(colon + 2, line_end - colon - 2);
    at = line_end + 2;
  }
  if (answer.header("transfer-encoding") == "chunked") {
    answer.body = take_chunks(ms, answer.complete);
    return answer;
  }
  const std::string length = answer.status == 204 ? "0" : answer.header("content-length");
  const size_t n = length.empty() ? buffer_.npos : std::stoul(length);
  while (buffer_.size() < n && read_more(ms)) continue;
  answer.complete = length.empty() ? ended_ : buffer_.size() >= n;
  answer.body = buffer_.substr(0, n);
  buffer_.erase(0, answer.body.size());
  return answer;
}

std::string http_request(const std::string& path, const std::string& body, const std::string& more) {
  std::string text = (body.empty() ? "GET " : "POST ") + path + " HTTP/1.1\r\nHost: localhost\r\n" + more;
  if (!body.empty()) {
    text += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  }
  return text + "\r\n" + body;
}

HttpAnswer ask(uint16_t port, const std::string& path, const std::string& body, const std::string& more) {
  HttpClient client(port);
  client.send(http_request(path, body, more));
  return client.answer();
}

std::vector<ServerEvent> read_events(const std::string& body) {
  std::vector<ServerEvent> events;
  EXPECT_TRUE(body.ends_with("\n\n")) << "the last event has no empty line behind it";
  for (size_t at = 0; at < body.size();) {
    const size_t end = std::min(body.find("\n\n", at), body.size());
    ServerEvent event;
    bool comment = false;
    for (size_t line = at; line < end;) {
      const size_t line_end = std::min(body.find('\n', line), end);
      const std::string text = body.substr(line, line_end - line);
      if (text.starts_with("data: ")) {
        event.data += text.substr(6);
      } else if (text.starts_with("event: ")) {
        event.name = text.substr(7);
      } else {
        EXPECT_TRUE(text.starts_with(':')) << text;
        comment = true;
      }
      line = line_end + 1;
    }
    if (!comment || !event.data.empty()) {
      EXPECT_FALSE(event.data.empty()) << "an event without data at " << at;
      events.push_back(event);
    }
    at = end + 2;
  }
  return events;
}

}  // namespace sw::testing
