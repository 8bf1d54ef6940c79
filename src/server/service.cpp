// SPDX-License-Identifier: MIT
#include "server/service.h"

namespace sw::server {

Ready::Ready(const ServedModel& what, const ServerOptions& options, Metrics& metrics)
    : served(what),
      experts_max(what.runtime.engine().policies().experts_max()),
      loop(served.runtime.engine(), served.runtime.model(), served.tokenizer,
           {.n_parallel = options.n_parallel,
            .n_queue = options.limits.n_queue,
            .drain_s = options.limits.drain_s},
           metrics),
      slots(loop, served.runtime.model(), options.slot_folder) {
  try {
    chat.emplace(served.tokenizer);
  } catch (const Error& e) {
    no_chat = e.parts().what;  // completions work without one
  }
}

Ready& Service::ready() {
  Ready* now = ready_now;
  if (!now) {
    throw ApiError({.status = 503,
                    .message = "the model is being loaded",
                    .code = "loading",
                    .more = {{"progress", load_progress.load()}},
                    .retry_after_s = 1});
  }
  if (now->loop.stopping()) throw stopping_error();
  return *now;
}

}  // namespace sw::server
