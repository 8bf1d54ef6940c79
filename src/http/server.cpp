// SPDX-License-Identifier: MIT
// size: the one translation unit that includes Boost.Beast, which takes half a minute to compile
#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <condition_variable>
#include <fmt/format.h>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "http/http.h"

namespace sw::http {
namespace {

namespace asio = boost::asio;
namespace bhttp = boost::beast::http;
using Tcp = asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

// Of a stream that nobody reads, before its client counts as gone.
constexpr size_t kMaxUnsentBytes = size_t{8} << 20;
constexpr size_t kReadBytes = 4096;
// What is still read of a request that was refused, so that its client sees the answer and not a reset.
constexpr size_t kMaxDiscardBytes = 64 << 10;
constexpr Seconds kLinger{1};

Clock::duration to_clock(Seconds s) { return std::chrono::duration_cast<Clock::duration>(s); }

/// "req_" and 24 hexadecimal digits that nobody can guess.
std::string make_id() {
  thread_local std::random_device device;
  return fmt::format("req_{:08x}{:08x}{:08x}", device(), device(), device());
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

constexpr std::string_view kScheme = "http://";

bool has_scheme(std::string_view target) { return lower(target.substr(0, kScheme.size())) == kScheme; }

/// A path, the asterisk of OPTIONS, or a whole address: what is asked of a server and not of a proxy.
bool is_target(std::string_view target) {
  return target.starts_with('/') || target == "*" || has_scheme(target);
}

/// Of "http://name:80/path" leaves the path; the name then counts, and not the Host header's.
template <class Message>
void take_authority(std::string& target, Message& message) {
  if (!has_scheme(target)) return;
  const size_t end = std::min(target.find_first_of("/?", kScheme.size()), target.size());
  message.set(bhttp::field::host, target.substr(kScheme.size(), end - kScheme.size()));
  target.erase(0, end);
  if (!target.starts_with('/')) target.insert(0, 1, '/');
}

std::string head_of(int status, std::string_view version, const std::vector<Header>& headers, bool keep) {
  const auto reason = bhttp::obsolete_reason(static_cast<bhttp::status>(status));
  std::string head =
      fmt::format("HTTP/{} {} {}\r\n", version, status, std::string_view(reason.data(), reason.size()));
  for (const Header& h : headers) head += fmt::format("{}: {}\r\n", h.name, h.value);
  head += keep ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return head;
}

}  // namespace

class Connection;

/// What connections share; lives until the last of them is gone.
struct ServerCore : std::enable_shared_from_this<ServerCore> {
  ServerCore(const ServerOptions& options_in, Handlers handlers_in)
      : options(options_in),
        handlers(std::move(handlers_in)),
        acceptor(io),
        retry(io),
        workers(static_cast<size_t>(options.n_worker)) {}

  void listen();
  void accept();
  void close_all();
  void began() {
    const std::lock_guard lock(mutex);
    ++n_open;
  }
  void ended() {
    const std::lock_guard lock(mutex);
    if (--n_open == 0) all_sent.notify_all();
  }

  const ServerOptions options;
  const Handlers handlers;
  asio::io_context io;
  Tcp::acceptor acceptor;
  asio::steady_timer retry;
  asio::thread_pool workers;
  std::set<Connection*> connections = {};  // of the network's thread, as the next two
  uint64_t bodies_bytes = 0;
  bool closing = false;
  uint16_t port = 0;
  std::atomic<int64_t> n_connection = 0;
  std::mutex mutex;
  std::condition_variable all_sent;
  int64_t n_open = 0;  // exchanges without a complete answer
  std::thread thread;
};

/// What an exchange and its connection both know.
struct Fate {
  std::atomic<bool> gone = false;
  std::atomic<int> status = 0;
};

/// A client's connection. All but the constructor runs on the network's thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<ServerCore> core, Tcp::socket socket)
      : core_(std::move(core)),
        socket_(std::move(socket)),
        deadline_(core_->io),
        stall_(core_->io),
        ping_(core_->io),
        buffer_(core_->options.limits.header_bytes + kReadBytes) {
    core_->connections.insert(this);
    ++core_->n_connection;
  }
  ~Connection() { --core_->n_connection; }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void begin() {
    error_code ignored;
    socket_.set_option(Tcp::no_delay(true), ignored);
    if (core_->connections.size() > core_->options.limits.n_connection)
      return refuse(503, "too many connections");
    next_request();
  }
  void close();
  void close_if_idle() {
    if (state_ == State::Idle) close();
  }
  asio::io_context& io() { return core_->io; }

  // What an exchange does, brought to this thread.
  void respond(Response response);
  void begin_events(std::vector<Header> headers);
  void send(const std::string& text);
  void end();
  void abandon();

 private:
  enum class State : uint8_t { Idle, Reading, Handling, Lingering, Closed };
  const Limits& limits() const { return core_->options.limits; }

  void next_request();
  void await_bytes();
  void on_bytes(const error_code& error, size_t n);
  void read_header();
  void on_header(const error_code& error);
  void on_body(const error_code& error);
  void refuse_unread(const error_code& error);
  void refuse(int status, std::string_view why);
  void dispatch();
  void take_head();
  void set_deadline(Seconds s, void (Connection::*late)());
  void late_head();
  void queue(std::string_view bytes);
  void write_more();
  void on_written(const error_code& error, size_t n);
  void complete();
  void lose();
  void linger();
  void discard(size_t n_done);
  void schedule_ping();
  void release_body();
  void detach();

  std::shared_ptr<ServerCore> core_;
  Tcp::socket socket_;
  asio::steady_timer deadline_, stall_, ping_;
  boost::beast::flat_buffer buffer_;
  std::optional<bhttp::request_parser<bhttp::string_body>> parser_;
  State state_ = State::Idle;
  bool reading_ = false;  // a read into buffer_ is pending
  bool keep_ = true;      // the connection goes on after the present answer
  bool http10_ = false, head_only_ = false;
  uint64_t body_charge_ = 0;
  Request request_;             // the one that is being read, without its body
  std::shared_ptr<Fate> fate_;  // of the present exchange
  bool streaming_ = false, ended_ = false;
  std::string out_, sending_;
  size_t n_sent_ = 0;  // of sending_
  Clock::time_point last_sent_ = {};
  std::array<char, kReadBytes> discarded_ = {};
};

namespace {

class ConnectedExchange : public Exchange {
 public:
  ConnectedExchange(std::shared_ptr<Connection> connection, std::shared_ptr<Fate> fate, Request request)
      : connection_(std::move(connection)), fate_(std::move(fate)) {
    request_ = std::move(request);
    extra_headers_.push_back({"x-request-id", request_.id});
    received_ = Clock::now();
  }
  ~ConnectedExchange() override {  // NOLINT(bugprone-exception-escape): as ~Server
    if (!ended_) on_network([](Connection& c) { c.abandon(); });
  }
  ConnectedExchange(const ConnectedExchange&) = delete;
  ConnectedExchange& operator=(const ConnectedExchange&) = delete;

  void respond(Response response) override {
    if (ended_.exchange(true)) return;
    held_.reset();
    fate_->status = response.status;
    response.headers.insert(response.headers.end(), extra_headers_.begin(), extra_headers_.end());
    on_network([r = std::move(response)](Connection& c) mutable { c.respond(std::move(r)); });
  }
  void begin_events(std::vector<Header> headers) override {
    fate_->status = 200;
    headers.insert(headers.end(), extra_headers_.begin(), extra_headers_.end());
    on_network([h = std::move(headers)](Connection& c) mutable { c.begin_events(std::move(h)); });
  }
  void send(std::string text) override {
    on_network([t = std::move(text)](Connection& c) { c.send(t); });
  }
  void end() override {
    if (ended_.exchange(true)) return;
    held_.reset();
    on_network([](Connection& c) { c.end(); });
  }
  bool gone() const override { return fate_->gone; }
  int status() const override { return fate_->gone ? 499 : fate_->status.load(); }

 private:
  template <class Work>
  void on_network(Work&& work) {
    if (fate_->gone) return;
    asio::post(connection_->io(), [c = connection_, fate = fate_, w = std::forward<Work>(work)]() mutable {
      if (!fate->gone) w(*c);
    });
  }

  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Fate> fate_;
  std::atomic<bool> ended_ = false;
};

}  // namespace

// ---- reading

void Connection::next_request() {
  state_ = State::Idle;
  streaming_ = ended_ = false;
  parser_.emplace();
  parser_->header_limit(limits().header_bytes);
  parser_->body_limit(limits().body_bytes);
  set_deadline(limits().idle_time, &Connection::close);
  if (buffer_.size() > 0) return read_header();
  await_bytes();
}

/// Also while an answer is made: so the client's going is seen.
void Connection::await_bytes() {
  if (std::exchange(reading_, true)) return;
  socket_.async_read_some(buffer_.prepare(kReadBytes),
                          [self = shared_from_this()](const error_code& e, size_t n) {
                            self->reading_ = false;
                            self->on_bytes(e, n);
                          });
}

void Connection::on_bytes(const error_code& error, size_t n) {
  if (state_ == State::Closed || state_ == State::Lingering) return;
  if (error) return state_ == State::Handling ? lose() : close();
  buffer_.commit(n);
  // A further request on its way waits here; from now on only writing shows whether the client is there.
  if (state_ == State::Idle) read_header();
}

void Connection::read_header() {
  state_ = State::Reading;
  set_deadline(limits().header_time, &Connection::late_head);
  bhttp::async_read_header(socket_, buffer_, *parser_,
                           [self = shared_from_this()](const error_code& e, size_t) { self->on_header(e); });
}

void Connection::on_header(const error_code& error) {
  if (state_ != State::Reading) return;
  if (error) return refuse_unread(error);
  const auto& message = parser_->get();
  http10_ = message.version() < 11;
  if (std::distance(message.begin(), message.end()) > static_cast<std::ptrdiff_t>(limits().n_header))
    return refuse(431, fmt::format("more than {} headers", limits().n_header));
  const size_t n_host = message.count(bhttp::field::host);
  if (n_host > 1 || (n_host == 0 && !http10_))
    return refuse(400, n_host == 0 ? "the Host header is missing" : "two Host headers");
  if (!is_target({message.target().data(), message.target().size()}))
    return refuse(400, "the request's target is neither a path nor an address");
  take_head();
  if (parser_->is_done()) return dispatch();
  body_charge_ = parser_->content_length() ? *parser_->content_length() : limits().body_bytes;
  core_->bodies_bytes += body_charge_;
  if (core_->bodies_bytes > limits().bodies_bytes) return refuse(503, "too many large requests at one time");
  if (boost::beast::iequals(message[bhttp::field::expect], "100-continue"))
    queue("HTTP/1.1 100 Continue\r\n\r\n");
  set_deadline(limits().body_time, &Connection::late_head);
  bhttp::async_read(socket_, buffer_, *parser_,
                    [self = shared_from_this()](const error_code& e, size_t) { self->on_body(e); });
}

void Connection::on_body(const error_code& error) {
  if (state_ != State::Reading) return;
  if (error) return refuse_unread(error);
  dispatch();
}

void Connection::refuse_unread(const error_code& error) {
  if (error == bhttp::error::body_limit)
    return refuse(413, fmt::format("the body has more than {} bytes", limits().body_bytes));
  if (error == bhttp::error::header_limit || error == bhttp::error::buffer_overflow)
    return refuse(431, fmt::format("the headers have more than {} bytes", limits().header_bytes));
  if (error.category() == make_error_code(bhttp::error::bad_method).category() &&
      error != bhttp::error::end_of_stream && error != bhttp::error::partial_message)
    return refuse(400, "not an HTTP/1.1 request: " + error.message());
  close();
}

/// Answers what was not read to its end, and closes.
void Connection::refuse(int status, std::string_view why) {
  state_ = State::Handling;
  keep_ = false;
  head_only_ = parser_ && parser_->is_header_done() && parser_->get().method() == bhttp::verb::head;
  core_->began();
  fate_ = std::make_shared<Fate>();
  Response response = core_->handlers.on_refused(status, why);
  response.headers.push_back({"x-request-id", make_id()});
  respond(std::move(response));
}

void Connection::late_head() { refuse(408, "the request took too long to come"); }

/// Before the body: fields that come behind one in chunks would go past the checks of headers.
void Connection::take_head() {
  auto& message = parser_->get();
  keep_ = message.keep_alive();
  head_only_ = message.method() == bhttp::verb::head;
  request_ = {};
  request_.method = std::string(message.method_string());
  std::string target(message.target());
  take_authority(target, message);
  const size_t question = target.find('?');
  request_.path = target.substr(0, question);
  if (question != target.npos) request_.query = target.substr(question + 1);
  for (const auto& field : message)
    request_.headers.push_back(
        {lower({field.name_string().data(), field.name_string().size()}), std::string(field.value())});
  request_.id = make_id();
}

void Connection::dispatch() {
  state_ = State::Handling;
  deadline_.cancel();
  fate_ = std::make_shared<Fate>();
  core_->began();
  request_.body = std::move(parser_->get().body());
  auto exchange = std::make_shared<ConnectedExchange>(shared_from_this(), fate_, std::exchange(request_, {}));
  if (buffer_.size() == 0) await_bytes();
  asio::post(core_->workers, [core = core_, e = std::move(exchange)] { core->handlers.on_request(e); });
}

void Connection::set_deadline(Seconds s, void (Connection::*late)()) {
  deadline_.expires_after(to_clock(s));
  deadline_.async_wait([self = shared_from_this(), late](const error_code& e) {
    if (e || self->state_ == State::Handling || self->state_ == State::Closed) return;
    ((*self).*late)();
  });
}

// ---- answering

void Connection::respond(Response response) {
  if (state_ != State::Handling || streaming_) return;
  if (response.status != 204) {  // which has no body
    response.headers.push_back({"Content-Type", response.content_type});
    response.headers.push_back({"Content-Length", std::to_string(response.body.size())});
  }
  keep_ = keep_ && !core_->closing;
  fate_->status = response.status;
  std::string bytes = head_of(response.status, "1.1", response.headers, keep_);
  if (!head_only_) bytes += response.body;
  ended_ = true;
  queue(bytes);
}

void Connection::begin_events(std::vector<Header> headers) {
  if (state_ != State::Handling || std::exchange(streaming_, true)) return;
  keep_ = keep_ && !http10_;
  headers.push_back({"Content-Type", "text/event-stream"});
  headers.push_back({"Cache-Control", "no-cache"});
  headers.push_back({"X-Accel-Buffering", "no"});
  if (!http10_) headers.push_back({"Transfer-Encoding", "chunked"});
  queue(head_of(200, "1.1", headers, keep_));
  schedule_ping();
}

void Connection::send(const std::string& text) {
  if (!streaming_ || ended_ || text.empty()) return;
  if (out_.size() > kMaxUnsentBytes) return lose();
  queue(http10_ ? text : fmt::format("{:x}\r\n{}\r\n", text.size(), text));
}

void Connection::end() {
  if (!streaming_ || std::exchange(ended_, true)) return;
  ping_.cancel();
  if (http10_ && sending_.empty()) return complete();
  queue(http10_ ? "" : "0\r\n\r\n");
}

/// The exchange went without an answer.
void Connection::abandon() {
  if (state_ == State::Handling && !ended_) lose();
}

void Connection::queue(std::string_view bytes) {
  out_ += bytes;
  last_sent_ = Clock::now();
  if (sending_.empty()) write_more();
}

void Connection::write_more() {
  if (n_sent_ == sending_.size()) {
    sending_ = std::exchange(out_, {});
    n_sent_ = 0;
  }
  stall_.expires_after(to_clock(limits().write_stall));
  stall_.async_wait([self = shared_from_this()](const error_code& e) {
    if (!e) self->lose();
  });
  socket_.async_write_some(
      asio::buffer(sending_) + n_sent_,
      [self = shared_from_this()](const error_code& e, size_t n) { self->on_written(e, n); });
}

void Connection::on_written(const error_code& error, size_t n) {
  stall_.cancel();
  if (state_ == State::Closed) return;
  if (error) return lose();
  n_sent_ += n;
  if (n_sent_ < sending_.size() || !out_.empty()) return write_more();
  sending_.clear();
  n_sent_ = 0;
  if (ended_) complete();
}

/// The answer is sent.
void Connection::complete() {
  detach();
  if (core_->closing || !keep_) return linger();
  next_request();
}

void Connection::schedule_ping() {
  ping_.expires_at(last_sent_ + to_clock(limits().ping_interval));
  ping_.async_wait([self = shared_from_this()](const error_code& e) {
    if (e || !self->streaming_ || self->ended_ || self->state_ != State::Handling) return;
    if (Clock::now() - self->last_sent_ >= to_clock(self->limits().ping_interval)) self->send(": ping\n\n");
    self->schedule_ping();
  });
}

// ---- ends

void Connection::release_body() { core_->bodies_bytes -= std::exchange(body_charge_, 0); }

/// The exchange is over.
void Connection::detach() {
  release_body();
  if (!std::exchange(fate_, nullptr)) return;
  core_->ended();
}

/// The client went, or takes nothing.
void Connection::lose() {
  if (fate_) {
    fate_->gone = true;
    if (core_->handlers.on_gone) core_->handlers.on_gone();
  }
  close();
}

void Connection::close() {
  if (std::exchange(state_, State::Closed) == State::Closed) return;
  if (fate_) fate_->gone = true;
  detach();
  error_code ignored;
  socket_.close(ignored);
  deadline_.cancel();
  stall_.cancel();
  ping_.cancel();
  core_->connections.erase(this);
}

/// Closes so that the client gets all that was sent: a socket closed with unread bytes resets.
void Connection::linger() {
  state_ = State::Lingering;
  error_code error;
  socket_.shutdown(Tcp::socket::shutdown_send, error);
  if (error) return close();
  set_deadline(kLinger, &Connection::close);
  socket_.cancel(error);  // a read that came too late would take the client's end from the one below
  reading_ = false;
  discard(0);
}

void Connection::discard(size_t n_done) {
  if (n_done > kMaxDiscardBytes) return close();
  socket_.async_read_some(asio::buffer(discarded_),
                          [self = shared_from_this(), n_done](const error_code& e, size_t n) {
                            if (self->state_ == State::Closed) return;
                            if (e) return self->close();
                            self->discard(n_done + n);
                          });
}

// ---- the server

void ServerCore::listen() {
  error_code error;
  Tcp::resolver resolver(io);
  const auto found =
      resolver.resolve(options.host, std::to_string(options.port), Tcp::resolver::passive, error);
  const std::string where = fmt::format("{}:{}", options.host, options.port);
  if (error)
    throw Error({.what = "cannot find the address to listen on", .where = where, .got = error.message()});
  const Tcp::endpoint endpoint = found.begin()->endpoint();
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(4096, error);
  if (!error) port = acceptor.local_endpoint(error).port();
  if (error) {
    const bool of_port = error == asio::error::address_in_use || error == asio::error::access_denied;
    throw SystemError({.what = "cannot listen",
                       .where = where,
                       .got = error.message(),
                       .hint = of_port ? "another port: --port" : "an address of this machine: --host"});
  }
}

void ServerCore::accept() {
  acceptor.async_accept([self = shared_from_this()](const error_code& error, Tcp::socket socket) {
    if (self->closing && !self->acceptor.is_open()) return;
    if (!error) {
      std::make_shared<Connection>(self, std::move(socket))->begin();
      return self->accept();
    }
    if (error == asio::error::operation_aborted) return;
    // No file descriptor is left: those that are open shall end first.
    self->retry.expires_after(std::chrono::milliseconds(50));
    self->retry.async_wait([self](const error_code& e) {
      if (!e) self->accept();
    });
  });
}

void ServerCore::close_all() {
  closing = true;
  error_code ignored;
  acceptor.close(ignored);
  retry.cancel();
  for (Connection* c : std::set(connections)) c->close();
}

Server::Server(const ServerOptions& options, Handlers handlers)
    : core_(std::make_shared<ServerCore>(options, std::move(handlers))) {
  core_->listen();
  core_->accept();
  core_->thread = std::thread([core = core_.get()] {
    for (;;) {
      try {
        core->io.run();
        return;
      } catch (const std::exception& e) {
        log::error("network: {}", e.what());
      }
    }
  });
}

Server::~Server() {  // NOLINT(bugprone-exception-escape): nothing can go on without memory for a handler
  asio::post(core_->io, [core = core_] { core->close_all(); });
  core_->workers.join();
  core_->thread.join();
}

uint16_t Server::port() const { return core_->port; }
int64_t Server::n_connection() const { return core_->n_connection; }

void Server::close_idle() {
  asio::post(core_->io, [core = core_] {
    core->closing = true;
    for (Connection* c : std::set(core->connections)) c->close_if_idle();
  });
}

void Server::wait_until_sent(Seconds most) {
  std::unique_lock lock(core_->mutex);
  core_->all_sent.wait_for(lock, most, [&] { return core_->n_open == 0; });
}

}  // namespace sw::http
