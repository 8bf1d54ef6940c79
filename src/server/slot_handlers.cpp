// SPDX-License-Identifier: MIT
#include <charconv>
#include <fmt/format.h>

#include "server/answer.h"
#include "server/fields.h"
#include "server/handlers.h"

namespace sw::server {
namespace {

/// The slot of "/slots/2"; 404 for one that there is not.
int read_slot(const http::Request& request, int n_slot) {
  const std::string_view text = std::string_view(request.path).substr(std::string_view("/slots/").size());
  int slot = -1;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), slot);
  if (error == std::errc() && rest == text.data() + text.size() && slot >= 0 && slot < n_slot) return slot;
  throw ApiError({.status = 404,
                  .message = fmt::format("there is no slot {}: expected 0 to {}",
                                         printable(std::string(text), 40), n_slot - 1),
                  .code = "not_found",
                  .param = "id"});
}

/// Nobody goes on from the slot's text any more; nor from others as far as they begin like it.
void erase(Ready& ready, int slot, const http::ExchangePtr& exchange) {
  ready.loop.between_steps([&ready, slot, exchange] {
    try {
      check_slot_idle(ready.loop, slot);
      CachedText cached = ready.loop.engine().cached(ready.loop.slot_text(slot));
      const int64_t n_erased = cached.n_reusable_token();
      cached.forget();
      ready.loop.set_slot_text(slot, {});
      respond_json(*exchange, {{"id_slot", slot}, {"n_erased", n_erased}});
    } catch (...) {
      exchange->respond(current_error(exchange->request().id).response());
    }
    log_request(*exchange);
  });
}

}  // namespace

void handle_slot_action(Service& service, const http::ExchangePtr& exchange) {
  check_on(service.options.slots, "--no-slots");
  Ready& ready = service.ready();
  const http::Request& request = exchange->request();
  const int slot = read_slot(request, ready.loop.n_slot());
  const std::string_view action = request.query_value("action");
  if (action != "save" && action != "restore" && action != "erase")
    refuse_field("action", "save, restore or erase", std::string(action));
  const RequestFields fields(request.body.empty() ? "{}" : request.body, kSlotAction);
  if (action == "erase") return erase(ready, slot, exchange);
  if (!ready.slots.has_folder()) {
    throw ApiError({.status = 501,
                    .message = "slots are saved where the server was started with --slot-save-path DIR",
                    .code = "not_supported"});
  }
  const std::string name = fields.need("filename").get<std::string>();
  check_file_name(name);
  if (action == "save") {
    ready.slots.save(slot, name, exchange);
  } else {
    ready.slots.restore(slot, name, exchange);
  }
}

}  // namespace sw::server
