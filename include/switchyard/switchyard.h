// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Mixture-of-experts language models in a program of yours: load a model, submit requests, step. Every
/// request may bring its own routing policy; requests with different ones share a batch.
///
/// What this header declares is all that is installed. Any function may throw switchyard::Error; nothing
/// aborts on input. docs/api.md goes through an example.
namespace switchyard {

/// What the caller or a file did wrong. what() is one printable line; the parts say the same apart, any but
/// `what` may be empty.
class Error : public std::exception {
 public:
  struct Parts {
    std::string what = {};      ///< "the prompt does not fit in the context"
    std::string where = {};     ///< "model.gguf, offset 4711"
    std::string expected = {};  ///< "fewer than 1024 tokens"
    std::string got = {};       ///< "2000"
    std::string hint = {};      ///< what to do about it
  };

  Error(std::string line, Parts parts) : line_(std::move(line)), parts_(std::move(parts)) {}
  const char* what() const noexcept override { return line_.c_str(); }
  const Parts& parts() const { return parts_; }

 private:
  std::string line_;
  Parts parts_;
};

/// What the machine or a device did: out of memory, a model's file that was cut while in use.
class SystemError : public Error {
 public:
  using Error::Error;
};

/// What a request sets about routing. Every part is optional; an empty policy is the model's own routing.
struct RoutingPolicy {
  /// `k` experts per token in the layers [first, last], counted as the model's Hugging Face config does.
  struct ExpertCount {
    int first = 0, last = std::numeric_limits<int>::max();
    int k = 0;
  };
  /// Of the selected experts the `min_k` best stay, and each other whose weight is at least `share` of the
  /// largest.
  struct Threshold {
    int min_k = 1;
    float share = 0;
  };
  /// The experts [first, last] of a layer must not be selected.
  struct Mask {
    int layer = 0;
    int first = 0, last = 0;
  };

  /// For the tokens of prompts and for those generated. The first entry that names a layer counts.
  std::vector<ExpertCount> experts_prefill = {}, experts_decode = {};
  std::optional<Threshold> threshold = {};
  std::optional<bool> grouped = {};  ///< nothing: where the model has groups
  std::vector<Mask> masks = {};

  /// `k` experts per token in every layer, of prompts and answers alike.
  static RoutingPolicy with_experts(int k);
  /// The JSON object that requests to a server bring, {"experts": 2, "threshold": [1, 0.3]}.
  static RoutingPolicy from_json(std::string_view json);
};

/// Gets what is told beside a result, a line per call: what a file has that is not used, what goes to which
/// device; `warning` where it may not be what was meant.
using OnNote = std::function<void(std::string_view line, bool warning)>;

struct ModelOptions {
  std::vector<std::string> overrides = {};  ///< KEY=TYPE:VALUE, as --override-kv takes them
  OnNote on_note = {};
};

/// One message of a conversation.
struct Message {
  std::string role = {};  ///< "system", "user" or "assistant"
  std::string text = {};
};

/// A model's hyperparameters, weights and tokenizer. Immutable and cheap to copy: copies share one, and so
/// may threads and engines.
class Model {
 public:
  /// Opens a GGUF file (of several: the first part) and reads it in once.
  explicit Model(const std::filesystem::path& path, const ModelOptions& options = {});

  std::string architecture() const;
  int64_t n_vocab() const;
  int64_t n_ctx_train() const;
  int n_layer() const;        ///< as the Hugging Face config counts
  int n_expert() const;       ///< with weights, of the first layer that has a router; 0: a dense model
  int n_expert_used() const;  ///< a token's, where a request says nothing
  int64_t n_parameters() const;
  uint64_t weight_bytes() const;

  /// Special tokens in the text are found; `add_special` adds those that the model wants around a text.
  std::vector<int32_t> tokenize(std::string_view text, bool add_special = true) const;
  /// The bytes of the tokens; UTF-8 only where the ids end on whole characters.
  std::string detokenize(std::span<const int32_t> ids) const;
  /// The prompt for the next answer of a conversation, through the model's chat template.
  std::vector<int32_t> chat_prompt(std::span<const Message> messages) const;
  /// Ids after which the model has said all.
  const std::vector<int32_t>& end_ids() const;

 private:
  friend class Engine;
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

/// What runs where; nothing at all means: as much on the GPUs as fits. docs/placement.md explains each.
struct Placement {
  std::optional<int> n_gpu_layers = {};     ///< the last so many layers, the head counted as one
  std::vector<std::string> overrides = {};  ///< REGEX=DEVICE, as -ot has them; the first match counts
  bool cpu_moe = false;                     ///< all routed experts stay on the CPU
  int n_cpu_moe = 0;                        ///< those of the first so many layers do
  bool split_layers = true;                 ///< false: the main GPU alone
  std::vector<double> tensor_split = {};    ///< share of each GPU; empty: by free memory
  /// Of the GPUs, from 0: holds the output matrix. None: the GPU of the last layers holds it.
  std::optional<int> main_gpu = {};
};

struct EngineOptions {
  int64_t n_ctx = 0;   ///< tokens of one sequence at most; 0: what the model was trained for
  int n_parallel = 1;  ///< requests at one time
  int n_thread = 0;    ///< 0: one per core
  int n_ubatch = 512;  ///< most tokens of one step
  /// The same bits for a token whatever is beside it in a step: docs/invariant.md says what that costs.
  bool invariant = false;
  /// "" for the CPU and every GPU, filled as far as the model fits; "none" for the CPU alone; "CUDA0,CUDA1"
  /// for these.
  std::string device = {};
  Placement placement = {};
  int experts_max = 0;  ///< most experts that a request may ask for; 0: the model's own and default_policy
  RoutingPolicy default_policy = {};  ///< of requests that bring none
  bool count_routing = false;         ///< keep LayerRouting statistics
  OnNote on_note = {};                ///< called while the engine is made
};

/// How the next token is chosen; docs/sampling.md explains every step.
struct Sampler {
  float temperature = 0.8f;  ///< 0: the best token, nothing is drawn
  int top_k = 40;            ///< 0: off
  float top_p = 0.95f;       ///< 1: off
  float min_p = 0.05f;       ///< 0: off
  float repeat_penalty = 1;  ///< 1: off
  float presence_penalty = 0;
  float frequency_penalty = 0;
  int penalty_last_n = 64;  ///< tokens that the penalties look at; -1: all
  uint64_t seed = 0;        ///< the same seed gives the same tokens on every machine
};

struct Request {
  std::vector<int32_t> prompt = {};
  int64_t n_predict = -1;                            ///< tokens at most; -1: until the context is full
  std::optional<std::vector<int32_t>> end_ids = {};  ///< nothing: the model's
  Sampler sampler = {};
  std::optional<RoutingPolicy> routing = {};  ///< nothing: EngineOptions::default_policy
  std::vector<std::string> stops = {};        ///< strings that end the answer, and are none of its text
};

using RequestId = int64_t;

enum class Finish {
  None,    ///< it goes on
  Stop,    ///< an end token or a stop string
  Length,  ///< as many tokens as wanted, or the context is full
  Cancelled,
  Error  ///< no token could be chosen; Event::error says why
};

/// What a step did for one request.
struct Event {
  RequestId request = 0;
  int32_t token = -1;     ///< -1 where the request ended without one
  std::string text = {};  ///< certain now, whole UTF-8 characters; often empty within one
  /// The same for what the model writes between <think> and </think>, which is not in `text`.
  std::string reasoning = {};
  Finish finish = Finish::None;
  std::string error = {};  ///< one line, where finish is Error
};

/// What the router of one layer did since the engine was made.
struct LayerRouting {
  int layer = 0;  ///< as the Hugging Face config counts
  uint64_t n_token = 0;
  std::vector<uint64_t> counts = {};  ///< how often each expert was chosen, identity experts last
  double imbalance = 0;               ///< load of the busiest expert, as a multiple of the mean
  double entropy_bits = 0;            ///< mean entropy of a token's weights
};

struct Statistics {
  int64_t n_step = 0;
  int64_t n_token_computed = 0;  ///< of prompts and answers; what a cache held is not among them
  int64_t n_token_generated = 0;
  double seconds = 0;  ///< spent in step()
  /// Stored bytes of routed experts' weights, and their arithmetic; not those of GPUs, which keep them to
  /// themselves.
  uint64_t expert_bytes_read = 0, expert_flops = 0;
  uint64_t dense_bytes_read = 0, dense_flops = 0;  ///< of all other weights, everywhere
  uint64_t cache_bytes = 0;                        ///< taken for keys and values
  std::vector<LayerRouting> routing = {};          ///< empty without EngineOptions::count_routing
};

/// Runs requests through a model, many at a time. For one thread at a time; several engines may share a
/// model.
class Engine {
 public:
  /// Takes all memory that steps will need.
  Engine(const Model& model, const EngineOptions& options = {});
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  /// Takes a request. Throws where it cannot be served: an empty prompt, one longer than the context, a
  /// policy that the model cannot do, more requests than there is room for.
  RequestId submit(const Request& request);
  /// Ends a request before the next step, which tells of it. Ids that are no more are left alone.
  void cancel(RequestId request);
  /// One pass over what all requests need next: at most a token for each. Valid until the next step.
  std::span<const Event> step();
  /// True where no request is left.
  bool idle() const;

  int64_t n_ctx() const;
  Statistics statistics() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// "0.1.0".
const char* version();

}  // namespace switchyard
