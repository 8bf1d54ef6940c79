// SPDX-License-Identifier: MIT
// A request's body, through the handler of its route and, where that accepts it, through the engine of a tiny
// model to the last byte of the answer. The input is the path, a line end and the body. No body may end the
// process, go without an answer, or be answered with a status of 500 and more.
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/log.h"
#include "convert/convert_hf.h"
#include "fuzz/mutate_json.h"
#include "fuzz/outcome.h"
#include "fuzz/target.h"
#include "fuzz/tiny_model.h"
#include "runtime/open_model.h"
#include "server/dispatch.h"
#include "server/routes.h"
#include "support/test_data.h"

namespace sw::fuzz {
namespace {

using server::Json;

constexpr int kContext = 128;
constexpr std::chrono::seconds kMostWait{60};

/// Keeps an answer instead of sending it.
class KeptExchange : public http::Exchange {
 public:
  explicit KeptExchange(http::Request request) {
    request_ = std::move(request);
    received_ = std::chrono::steady_clock::now();
  }
  void respond(http::Response response) override {
    const std::lock_guard lock(mutex_);
    SW_ASSERT(!ended_ && status_ == 0);
    status_ = response.status;
    body_ = std::move(response.body);
    finish();
  }
  void begin_events(std::vector<http::Header>) override {
    const std::lock_guard lock(mutex_);
    SW_ASSERT(!ended_ && status_ == 0);
    status_ = 200;
    streams_ = true;
  }
  void send(std::string text) override {
    const std::lock_guard lock(mutex_);
    SW_ASSERT(streams_ && !ended_);
    body_ += text;
  }
  void end() override {
    const std::lock_guard lock(mutex_);
    SW_ASSERT(streams_ && !ended_);
    finish();
  }
  bool gone() const override { return false; }
  int status() const override {
    const std::lock_guard lock(mutex_);
    return status_;
  }
  bool streams() const { return streams_; }
  const std::string& body() const { return body_; }
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kMostWait, [&] { return ended_; });
  }

 private:
  void finish() {
    ended_ = true;
    changed_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int status_ = 0;
  bool streams_ = false, ended_ = false;
  std::string body_;
};

server::ServerOptions server_options() {
  server::ServerOptions options;
  options.n_parallel = 2;
  options.version = "fuzz";
  options.limits.n_predict = 8;
  return options;
}

/// The tiny checkpoint behind the routes, with its engine on a thread of its own.
class TinyServer {
 public:
  TinyServer() : model_(make_model()), tokenizer_(Tokenizer::from_gguf(model_->file())) {
    log::set_level(log::Level::Off);  // a line for each request else
    const EngineOptions engine{.forward = {.n_thread = 1, .count_routing = true},
                               .n_ctx = kContext,
                               .n_parallel = service_.options.n_parallel,
                               .n_waiting = service_.options.n_parallel,
                               .experts_max = 3};
    runtime_ =
        std::make_unique<Runtime>(*model_, RuntimeOptions{.devices = {.devices = "none"}, .engine = engine});
    ready_ = std::make_unique<server::Ready>(
        server::ServedModel{.runtime = *runtime_, .tokenizer = tokenizer_, .names = {"tiny"}},
        service_.options, service_.metrics);
    SW_ASSERT(ready_->chat);
    service_.ready_now = ready_.get();
    thread_ = std::thread([this] { ready_->loop.run(); });
  }
  ~TinyServer() {
    ready_->loop.stop();
    thread_.join();
  }
  TinyServer(const TinyServer&) = delete;
  TinyServer& operator=(const TinyServer&) = delete;

  /// The answer, whole.
  std::shared_ptr<KeptExchange> ask(const std::string& path, std::string body) {
    const bool of_slot = path.ends_with("{id}");
    auto exchange = std::make_shared<KeptExchange>(
        http::Request{.method = "POST",
                      .path = of_slot ? "/slots/0" : path,
                      .query = of_slot ? "action=erase" : "",
                      .headers = {{"host", "localhost"}, {"content-type", "application/json"}},
                      .body = std::move(body),
                      .id = "req_000000000000000000000000"});
    server::dispatch(service_, exchange);
    if (!exchange->wait()) give_up("no answer");
    return exchange;
  }

 private:
  static std::unique_ptr<const Model> make_model() {
    const testing::TempDir temp;
    write_tiny_checkpoint(temp.path() / "hf", 32, 32);
    convert_hf(temp.path() / "hf", temp.path() / "tiny.gguf", {.out_type = Type::Q8_0});
    return open_model(temp.path() / "tiny.gguf");
  }

  server::Service service_{server_options()};
  std::unique_ptr<const Model> model_;
  Tokenizer tokenizer_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<server::Ready> ready_;
  std::thread thread_;
};

Json parse(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) give_up("the answer is no JSON: " + text);
  return json;
}

/// An error as every endpoint gives it.
void check_error(const Json& answer, bool within_stream) {
  const Json error = answer.value("error", Json());
  const bool whole = error.is_object() && error.contains("message") && error.contains("type") &&
                     error.contains("param") && error.contains("code");
  if (!whole || !error["message"].is_string()) give_up("a bad error: " + answer.dump());
  check_line(error["message"].get<std::string>(), "");
  const bool fault = error["type"] == "api_error" || (within_stream && error["code"] != "deadline_exceeded");
  if (fault) give_up("the server's own fault: " + answer.dump());
}

/// Events, each with data that is JSON, or the last of all.
void check_events(std::string_view body) {
  while (!body.empty()) {
    const size_t end = body.find("\n\n");
    if (end == body.npos) give_up("an event without its empty line");
    std::string_view event = body.substr(0, end);
    body.remove_prefix(end + 2);
    if (event.starts_with(':')) continue;
    if (event.starts_with("event: ")) event.remove_prefix(event.find('\n') + 1);
    if (!event.starts_with("data: ") || event.find('\n') != event.npos)
      give_up("a bad event: " + std::string(event));
    event.remove_prefix(6);
    if (event == "[DONE]") continue;
    const Json data = parse(std::string(event));
    if (data.contains("error") && !data["error"].is_null()) check_error(data, true);
  }
}

constexpr std::string_view kUsualPath = "/v1/chat/completions";

/// The paths that take a body.
std::vector<std::string_view> body_paths() {
  std::vector<std::string_view> paths;
  for (const server::Route& route : server::routes()) {
    if (route.endpoint != 0) paths.push_back(route.path);
  }
  return paths;
}

struct Input {
  std::string_view path = kUsualPath;
  size_t body_at = 0;
};

Input split(std::string_view input) {
  for (const std::string_view path : body_paths()) {
    if (input.starts_with(path) && input.substr(path.size()).starts_with('\n'))
      return {path, path.size() + 1};
  }
  return {};
}

}  // namespace

int fuzz_one(Bytes input) {
  static TinyServer server;
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  const Input parts = split(text);
  const auto answer = server.ask(std::string(parts.path), std::string(text.substr(parts.body_at)));
  const int status = answer->status();
  if (status != 200 && (status < 400 || status >= 499))
    give_up("status " + std::to_string(status) + ": " + answer->body());
  if (answer->streams()) {
    check_events(answer->body());
  } else if (const Json body = parse(answer->body()); status != 200) {
    check_error(body, false);
  }
  return status == 200 ? 1 : 0;
}

std::string mutate(const std::string& input, Rng& rng) {
  const Input parts = split(input);
  const std::vector<std::string_view> paths = body_paths();
  // Now and then what one endpoint takes, to another.
  const std::string path(rng.below(16) == 0 ? paths[rng.below(paths.size())] : parts.path);
  return path + "\n" + mutate_json(input.substr(parts.body_at), rng);
}

}  // namespace sw::fuzz
