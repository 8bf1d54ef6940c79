// SPDX-License-Identifier: MIT
#include "server/server.h"

#include <utility>

#include "server/access.h"
#include "server/dispatch.h"

namespace sw::server {
namespace {

// After the last answer is made, it still has to reach a slow client.
constexpr http::Seconds kSendTime{2};

}  // namespace

Server::Server(ServerOptions options) : service_(std::move(options)) {
  check_binding(service_.options, service_.options.may_be_open);
  http_ = std::make_unique<http::Server>(
      service_.options.http,
      http::Handlers{
          .on_request = [this](const http::ExchangePtr& exchange) { dispatch(service_, exchange); },
          .on_refused = refused,
          .on_gone =
              [this] {
                service_.metrics.count_disconnect();
                if (Ready* ready = service_.ready_now) ready->loop.wake();
              }});
}

Server::~Server() = default;

uint16_t Server::port() const { return http_->port(); }

void Server::set_load_progress(uint64_t done, uint64_t total) {
  if (total > 0) service_.load_progress = static_cast<double>(done) / static_cast<double>(total);
}

void Server::serve(const ServedModel& model) {
  ready_ = std::make_unique<Ready>(model, service_.options, service_.metrics);
  service_.ready_now = ready_.get();
  ready_->loop.run();
  ready_->slots.finish();
  http_->close_idle();
  http_->wait_until_sent(kSendTime);
  http_.reset();  // waits for handlers, which use the model
}

bool Server::stop() {
  Ready* ready = service_.ready_now;
  if (!ready) return false;
  ready->loop.stop();
  return true;
}

}  // namespace sw::server
