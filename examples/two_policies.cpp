// SPDX-License-Identifier: MIT
// One prompt, two requests in one batch: the model's own routing and one expert a token, side by side.
//   two_policies MODEL.gguf [PROMPT]
#include <cstdio>
#include <map>
#include <string>
#include <switchyard/switchyard.h>

namespace {

void run(const char* path, const char* prompt) {
  const switchyard::Model model(path);
  switchyard::Engine engine(model, {.n_ctx = 256, .n_parallel = 2, .count_routing = true});
  std::printf("%s, %d layers, %d experts of which %d a token\n", model.architecture().c_str(),
              model.n_layer(), model.n_expert(), model.n_expert_used());

  switchyard::Request request{.prompt = model.tokenize(prompt), .n_predict = 40};
  request.sampler.temperature = 0;
  const switchyard::RequestId usual = engine.submit(request);
  request.routing = switchyard::RoutingPolicy::with_experts(1);
  const switchyard::RequestId frugal = engine.submit(request);

  std::map<switchyard::RequestId, std::string> texts;
  while (!engine.idle()) {
    for (const switchyard::Event& event : engine.step()) texts[event.request] += event.text;
  }
  std::printf("\nthe model's routing: %s%s\n", prompt, texts[usual].c_str());
  std::printf("\none expert a token:  %s%s\n", prompt, texts[frugal].c_str());

  const switchyard::Statistics statistics = engine.statistics();
  std::printf("\n%lld tokens generated in %lld steps\n", static_cast<long long>(statistics.n_token_generated),
              static_cast<long long>(statistics.n_step));
  for (const switchyard::LayerRouting& layer : statistics.routing)
    std::printf("layer %d: the busiest expert had %.1f times the mean load\n", layer.layer, layer.imbalance);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: two_policies MODEL.gguf [PROMPT]\n");
    return 2;
  }
  try {
    run(argv[1], argc > 2 ? argv[2] : "Once upon a time");
  } catch (const switchyard::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  return 0;
}
