// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <string>

#include "server/service.h"

namespace sw::server {

/// Answers from its constructor on: until serve() is called with the news that the model is being loaded.
class Server {
 public:
  /// Throws sw::Error where the address cannot be used, or would be open to others without a key.
  explicit Server(ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Until serve() has returned.
  uint16_t port() const;
  /// How much of the model is read; any thread.
  void set_load_progress(uint64_t done_bytes, uint64_t total_bytes);
  /// Serves until stop() was called and what was under way has ended; then nobody is answered any more, and
  /// nothing of the model is used. Its engine belongs to this call's thread.
  void serve(const ServedModel& model);
  /// Any thread. False, and nothing done, where serve() does not run yet.
  bool stop();
  /// Whether it does; any thread.
  bool serves() const { return service_.ready_now != nullptr; }

 private:
  Service service_;
  std::unique_ptr<Ready> ready_;
  std::unique_ptr<http::Server> http_;  // goes first: its threads use the others
};

}  // namespace sw::server
