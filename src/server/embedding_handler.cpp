// SPDX-License-Identifier: MIT
#include <bit>
#include <cmath>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <utility>

#include "server/answer.h"
#include "server/handlers.h"
#include "server/read_request.h"

namespace sw::server {
namespace {

static_assert(std::endian::native == std::endian::little, "clients read little-endian floats");

std::string base64(const std::vector<float>& values) {
  std::string out(4 * ((values.size() * sizeof(float) + 2) / 3) + 1, '\0');
  const int n = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                reinterpret_cast<const unsigned char*>(values.data()),
                                static_cast<int>(values.size() * sizeof(float)));
  out.resize(static_cast<size_t>(n));
  return out;
}

/// One text on its way: the sum, or the last, of its tokens' hidden states.
class Pool {
 public:
  void add(int64_t pos, std::span<const float> hidden, bool last_only) {
    if (pos == 0 || last_only) sum_.assign(hidden.size(), 0.0);
    for (size_t i = 0; i < hidden.size(); ++i) sum_[i] += static_cast<double>(hidden[i]);
  }
  /// Of length 1; a mean and a sum have the same direction.
  std::vector<float> normalised() const {
    double squares = 0;
    for (const double x : sum_) squares += x * x;
    const double scale = squares > 0 ? 1 / std::sqrt(squares) : 0;
    std::vector<float> out;
    out.reserve(sum_.size());
    for (const double x : sum_) out.push_back(static_cast<float>(x * scale));
    return out;
  }

 private:
  std::vector<double> sum_;
};

class EmbeddingAnswer : public Sink {
 public:
  EmbeddingAnswer(AnswerSetup setup, bool as_base64, bool last_only)
      : setup_(std::move(setup)), base64_(as_base64), last_only_(last_only), pools_(setup_.n_choice) {}
  ~EmbeddingAnswer() override { log_request(*setup_.exchange, fmt::format(" texts={}", pools_.size())); }
  EmbeddingAnswer(const EmbeddingAnswer&) = delete;
  EmbeddingAnswer& operator=(const EmbeddingAnswer&) = delete;

  bool gone() const override { return setup_.exchange->gone(); }
  void on_piece(size_t, Piece) override {}
  void on_finish(size_t, FinishReason, const std::string&) override {}
  void on_hidden(size_t choice, int64_t pos, std::span<const float> hidden) override {
    pools_[choice].add(pos, hidden, last_only_);
  }
  void on_error(const ApiError& error) override { setup_.exchange->respond(error.response()); }
  void on_end(const Usage& usage) override {
    Json data = Json::array();
    for (size_t i = 0; i < pools_.size(); ++i) {
      const std::vector<float> values = pools_[i].normalised();
      Json one = {{"object", "embedding"}, {"index", i}};
      one["embedding"] = base64_ ? Json(base64(values)) : Json(in_short(values));
      data.push_back(std::move(one));
    }
    Json json = {{"object", "list"},
                 {"data", std::move(data)},
                 {"model", setup_.model},
                 {"usage", {{"prompt_tokens", usage.n_prompt}, {"total_tokens", usage.n_prompt}}}};
    if (!setup_.moe.empty()) json["moe"] = setup_.moe;
    if (!setup_.warnings.empty()) json["warnings"] = setup_.warnings;
    respond_json(*setup_.exchange, json);
  }

 private:
  AnswerSetup setup_;
  bool base64_, last_only_;
  std::vector<Pool> pools_;
};

}  // namespace

void handle_embeddings(Service& service, const http::ExchangePtr& exchange) {
  Ready& ready = service.ready();
  const RequestFields fields(exchange->request().body, kEmbeddings);
  const std::string format = fields.string("encoding_format", "float");
  if (format != "float" && format != "base64")
    refuse_field("encoding_format", "float or base64", fields.at("encoding_format"));
  const int64_t n_embd = ready.model().hparams().n_embd;
  if (fields.integer("dimensions", n_embd) != n_embd)
    refuse_field("dimensions", std::to_string(n_embd) + ", the model's", fields.at("dimensions"));
  const ReadMoe moe = read_moe(fields, ready);
  if (moe.return_routing) refuse_field("moe.return_routing", "false: no token is generated", true);
  Generation generation = read_generation(fields, moe, ready, service, *exchange);
  generation.prompts = read_prompts(fields.at("input"), ready, "input");
  check_n_choice(generation, generation.n_choice(), service, "input");
  generation.wants_hidden = true;
  generation.sink = std::make_shared<EmbeddingAnswer>(AnswerSetup{.exchange = exchange,
                                                                  .model = read_model(fields, ready),
                                                                  .n_choice = generation.n_choice(),
                                                                  .moe = moe.resolved,
                                                                  .warnings = fields.warnings()},
                                                      format == "base64", service.options.pool_last);
  ready.loop.submit(std::move(generation));
}

}  // namespace sw::server
