// SPDX-License-Identifier: MIT
#include "api/edge.h"
#include "api/model_impl.h"
#include "api/options.h"
#include "chat/chat_template.h"

namespace switchyard {

using sw::api::edge;

Model::Model(const std::filesystem::path& path, const ModelOptions& options)
    : impl_(edge([&] {
        return std::make_shared<const Impl>(path, sw::OpenOptions{.overrides = options.overrides},
                                            sw::api::to_notes(options.on_note));
      })) {}

std::string Model::architecture() const { return std::string(impl_->model().arch().name); }
int64_t Model::n_vocab() const { return impl_->model().hparams().n_vocab; }
int64_t Model::n_ctx_train() const { return impl_->model().hparams().n_ctx_train; }
int Model::n_layer() const { return impl_->model().hparams().n_layer; }
int64_t Model::n_parameters() const { return impl_->model().n_parameters(); }
uint64_t Model::weight_bytes() const { return impl_->model().weight_bytes(); }

int Model::n_expert() const {
  const auto& layers = impl_->model().moe_layers();
  return layers.empty() ? 0 : layers.front().router.n_expert;
}

int Model::n_expert_used() const {
  const auto& layers = impl_->model().moe_layers();
  return layers.empty() ? 0 : layers.front().router.n_expert_used;
}

std::vector<int32_t> Model::tokenize(std::string_view text, bool add_special) const {
  return edge([&] { return impl_->tokenizer.encode(text, {.add_special = add_special}); });
}

std::string Model::detokenize(std::span<const int32_t> ids) const {
  return edge([&] { return impl_->tokenizer.decode(ids); });
}

std::vector<int32_t> Model::chat_prompt(std::span<const Message> messages) const {
  return edge([&] {
    sw::ChatTemplate::Json json = sw::ChatTemplate::Json::array();
    for (const Message& message : messages) {
      if (message.role != "system" && message.role != "user" && message.role != "assistant") {
        throw sw::Error(
            {.what = "unknown role", .expected = "system, user or assistant", .got = message.role});
      }
      json.push_back({{"role", message.role}, {"content", message.text}});
    }
    return sw::ChatTemplate(impl_->tokenizer).prompt(json).ids;
  });
}

const std::vector<int32_t>& Model::end_ids() const { return impl_->tokenizer.end_of_generation(); }

const char* version() { return SW_VERSION; }

}  // namespace switchyard
