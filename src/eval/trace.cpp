// SPDX-License-Identifier: MIT
#include "eval/trace.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/safetensors.h"

namespace sw {
namespace {

/// Rows of one traced tensor, gathered over u-batches.
template <class T>
struct Rows {
  int64_t n_cols = 0;
  std::vector<T> values = {};

  void append(TensorView<const T> more) {
    n_cols = more.n_cols();
    for (int64_t r = 0; r < more.n_rows(); ++r)
      values.insert(values.end(), more.row(r), more.row(r) + n_cols);
  }
};

/// Copies everything it sees, under the names of the file.
class Recorder : public ForwardProbe {
 public:
  Recorder(const Model& model, bool hidden) : model_(model), hidden_(hidden) {}

  void on_hidden(int layer, TensorView<const float> hidden) override {
    if (hidden_) floats[name(layer, "hidden")].append(hidden);
  }
  void on_part_hidden(int layer, int part, TensorView<const float> hidden) override {
    if (hidden_) floats[name(layer, ("half" + std::to_string(part) + ".hidden").c_str())].append(hidden);
  }
  void on_routing(int moe_layer, TensorView<const float> logits, const Routing& routing) override {
    const int layer = model_.moe_layers()[static_cast<size_t>(moe_layer)].layer;
    floats[name(layer, "router_logits")].append(logits);
    floats[name(layer, "topk_weights")].append(routing.weights);
    ints[name(layer, "topk_ids")].append(routing.ids);
  }

  std::map<std::string, Rows<float>> floats;
  std::map<std::string, Rows<int32_t>> ints;

 private:
  static std::string name(int layer, const char* what) {
    return "layer" + std::to_string(layer) + "." + what;
  }
  const Model& model_;
  bool hidden_;
};

/// Logits (and the head's input) of all rows of the last run.
void record_head(Forward& forward, int64_t n_row, bool hidden, Recorder& recorder) {
  std::vector<int32_t> rows(static_cast<size_t>(n_row));
  std::iota(rows.begin(), rows.end(), 0);
  const auto slice = static_cast<size_t>(forward.options().n_logit_row);
  for (size_t begin = 0; begin < rows.size(); begin += slice) {
    const size_t n = std::min(slice, rows.size() - begin);
    recorder.floats["logits"].append(forward.logits(std::span(rows).subspan(begin, n)));
    if (hidden) recorder.floats["final_norm"].append(forward.final_norm().rows(0, static_cast<int64_t>(n)));
  }
}

}  // namespace

void write_trace(Forward& forward, const Model& model, std::span<const int32_t> tokens,
                 const TraceOptions& options, const std::filesystem::path& out) {
  const auto n_token = static_cast<int64_t>(tokens.size());
  if (n_token == 0) throw Error({.what = "there are no tokens to trace"});
  for (const int32_t id : tokens) {
    if (id < 0 || id >= model.hparams().n_vocab) {
      throw Error({.what = "a token is not in the model's vocabulary",
                   .expected = "0 to " + std::to_string(model.hparams().n_vocab - 1),
                   .got = std::to_string(id)});
    }
  }
  Cache cache = forward.make_cache(Forward::cache_plan(model, n_token, options.cache_type));
  SequenceCache table(cache, n_token);
  const SequenceCache* const tables[] = {&table};
  Recorder recorder(model, options.hidden);
  std::vector<BatchToken> batch;
  for (int64_t begin = 0; begin < n_token; begin += forward.options().n_ubatch) {
    const int64_t end = std::min(begin + forward.options().n_ubatch, n_token);
    batch.clear();
    for (int64_t i = begin; i < end; ++i)
      batch.push_back({tokens[static_cast<size_t>(i)], static_cast<int32_t>(i), 0, options.policy});
    SW_ASSERT(table.prepare(begin, end));
    forward.run(batch, tables, cache, &recorder);
    record_head(forward, end - begin, options.hidden, recorder);
  }
  SafetensorsWriter writer;
  for (const auto& [key, value] : options.metadata) writer.describe(key, value);
  writer.add("tokens", {n_token}, std::vector<int32_t>(tokens.begin(), tokens.end()));
  for (auto& [name, rows] : recorder.floats) writer.add(name, {n_token, rows.n_cols}, std::move(rows.values));
  for (auto& [name, rows] : recorder.ints) writer.add(name, {n_token, rows.n_cols}, std::move(rows.values));
  writer.write(out);
}

}  // namespace sw
