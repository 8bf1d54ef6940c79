// SPDX-License-Identifier: MIT
#include "runtime/open_model.h"

#include "model/forward.h"
#include "router/resolve.h"

namespace sw {

std::unique_ptr<const Model> open_model(const std::filesystem::path& path, const OpenOptions& options,
                                        const Notes& notes) {
  LoadOptions load{.progress = notes.on_read};
  for (const std::string& text : options.overrides) load.overrides.push_back(parse_key_override(text));
  load.check = [&](const Model& model) {
    for (const RoutingPolicy& policy : options.policies)
      check_policy(policy, model.moe_layers(), model.hparams().n_layer);
    Forward::cache_plan(model, 1, options.cache_type);
  };
  auto model = std::make_unique<const Model>(path, load);
  for (const std::string& key : model->overridden()) notes.info("overridden: " + key);
  for (const std::string& note : model->notes()) notes.info(note);
  return model;
}

}  // namespace sw
