// SPDX-License-Identifier: MIT
#include <chrono>
#include <fmt/core.h>
#include <sys/resource.h>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "cli/model_report.h"
#include "cli/option_text.h"
#include "cli/progress_bar.h"
#include "cli/sampler_flags.h"
#include "cli/stop_signals.h"
#include "runtime/limits.h"
#include "server/access.h"
#include "server/server.h"

namespace sw::cli {
namespace {

// A limit of nothing would refuse every client, and pings without a pause never end.
constexpr double kLeastSeconds = 0.01, kMostSeconds = 86400;

struct ServeFlags {
  ModelFlags model = {};
  SamplerFlags sampler = {};
  server::ServerOptions server = {};
  int64_t n_ctx = 0, cache_ram_mib = 0;
  std::vector<std::string> aliases = {}, keys = {};
  std::string key_file = {}, pooling = "mean";
  double header_s = 10, body_s = 60, idle_s = 75, stall_s = 30, ping_s = 1;
};

/// Tokens of all texts together: what -c says is shared by them, and --cache-ram keeps more of what was.
int64_t cache_tokens(const ServeFlags& flags, const Model& model) {
  const int64_t n_ctx = flags.n_ctx > 0 ? flags.n_ctx : std::max(1, model.hparams().n_ctx_train);
  const int64_t n_shared = flags.n_ctx > 0 ? n_ctx : n_ctx * flags.server.n_parallel;
  if (flags.cache_ram_mib == 0) return n_shared;
  const CachePlan one = Forward::cache_plan(model, n_ctx, flags.model.cache.type());
  const double bytes_per_token = static_cast<double>(one.size_bytes()) / static_cast<double>(n_ctx);
  return n_shared + static_cast<int64_t>(static_cast<double>(flags.cache_ram_mib << 20) / bytes_per_token);
}

RuntimeOptions runtime_options(const ServeFlags& flags, const Model& model, const Tokenizer& tokenizer) {
  ForwardOptions forward = flags.model.forward_options();
  forward.count_routing = true;
  const bool may_shrink = flags.n_ctx == 0 && flags.cache_ram_mib == 0;  // then what fits is found
  return {
      .devices = flags.model.placement.options(),
      .engine = {.forward = forward,
                 .n_ctx = flags.n_ctx,
                 .n_parallel = flags.server.n_parallel,
                 .n_waiting = flags.server.n_parallel,  // beside those that were cancelled and still leave
                 .n_cache_token = may_shrink ? 0 : cache_tokens(flags, model),
                 .cache_type = flags.model.cache.type(),
                 .prefill_slowdown = flags.server.limits.prefill_slowdown,
                 .experts_max = flags.model.experts_max,
                 .default_policy = flags.model.policy(),
                 .pieces = [&](int32_t id) { return tokenizer.piece(id); }}};
}

/// As many connections as the system allows.
void raise_file_limit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/// The names that requests may call the model: those given, else the file's.
std::vector<std::string> names_of(const ServeFlags& flags, const std::filesystem::path& path) {
  if (!flags.aliases.empty()) return flags.aliases;
  return {path.stem().string()};
}

server::ServerOptions server_options(const ServeFlags& flags) {
  server::ServerOptions options = flags.server;
  for (const std::string& key : flags.keys) options.api_keys.push_back({.hash = server::hash_key(key)});
  if (!flags.key_file.empty()) {
    for (server::ApiKey& key : server::read_key_file(flags.key_file))
      options.api_keys.push_back(std::move(key));
  }
  http::Limits& limits = options.http.limits;
  limits.header_time = http::Seconds(flags.header_s);
  limits.body_time = http::Seconds(flags.body_s);
  limits.idle_time = http::Seconds(flags.idle_s);
  limits.write_stall = http::Seconds(flags.stall_s);
  limits.ping_interval = http::Seconds(flags.ping_s);
  options.pool_last = flags.pooling == "last";
  options.version = SW_VERSION;
  return options;
}

/// A prompt's first token and the one that is generated.
void check_context(const ServeFlags& flags) {
  if (flags.n_ctx != 1) return;
  throw UsageError("--ctx-size: expected 0, or 2 or more, got 1: no prompt would have room");
}

/// Buffers for more than a layer has would be memory that no request can use.
void check_experts_max(int experts_max, const Model& model) {
  int most = 0;
  for (const MoeLayer& l : model.moe_layers())
    most = std::max(most, l.router.n_expert + l.router.n_expert_zero);
  if (experts_max <= most) return;
  throw Error({.what = "no layer has so many experts",
               .where = "--experts-max",
               .expected = fmt::format("at most {}", most),
               .got = std::to_string(experts_max)});
}

/// The line that says where the server listens, once. A start that fails says one line, its error: so what
/// can fail comes first, but for what takes long. Then the file is checked already, and people want to see
/// /ready.
class Announcement {
 public:
  Announcement(std::string host, uint16_t port) : host_(std::move(host)), port_(port) {}
  void make() {
    if (!std::exchange(made_, true)) log::info("listening on http://{}:{}", host_, port_);
  }
  /// As the progress bar shows nothing of what is quickly done.
  void make_where_slow() {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin_;
    if (elapsed.count() >= ProgressBar::kQuietSeconds) make();
  }

 private:
  std::string host_;
  uint16_t port_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  bool made_ = false;
};

std::string check_slowdown(const std::string& text) {
  const double value = std::stod(text);
  if (value == 0 || (value >= 1.05 && value <= 1000)) return {};
  return "expected 0, or 1.05 to 1000, got " + printable(text, 40);
}

void open_slot_folder(const std::string& folder) {
  const int n_removed = folder.empty() ? 0 : server::open_slot_folder(folder);
  if (n_removed > 0)
    log::info("{}: removed {} unfinished file(s) of a server that was killed", folder, n_removed);
}

int serve(const ServeFlags& flags) {
  block_stop_signals();
  raise_file_limit();
  check_context(flags);
  open_slot_folder(flags.server.slot_folder);
  const RoutingPolicy policy = flags.model.policy();
  const std::filesystem::path path = model_file(flags.model.model);
  server::Server server(server_options(flags));
  const StopSignals signals([&] { return server.stop(); });
  Announcement announcement(flags.server.http.host, server.port());
  const std::unique_ptr<const Model> model =
      load_model(flags.model, {policy}, [&](uint64_t done, uint64_t total) {
        server.set_load_progress(done, total);
        announcement.make_where_slow();
      });
  check_experts_max(flags.model.experts_max, *model);
  const Tokenizer tokenizer = Tokenizer::from_gguf(model->file());
  SamplerParams sampler = flags.sampler.params(model->file(), tokenizer);
  sampler.dry_breakers = flags.sampler.breakers(tokenizer);  // a request may ask for DRY
  Runtime runtime(*model, runtime_options(flags, *model, tokenizer), log_notes());
  announcement.make();
  log::info("{}", describe_name(*model));
  log::info("{}", describe_routing(*model, policy));
  log::info("cache: {}", describe_cache(runtime.engine().cache().plan()));
  log::info("ready: {} texts at a time, context {} tokens", flags.server.n_parallel,
            runtime.engine().n_ctx());
  server.serve({.runtime = runtime,
                .tokenizer = tokenizer,
                .sampler = std::move(sampler),
                .policy = policy,
                .names = names_of(flags, path),
                .path = path.string(),
                .title = describe_title(*model)});
  log::info("stopped");
  return kExitOk;
}

void add_access_flags(CLI::App& command, ServeFlags& f) {
  const std::string group = "Access";
  command.add_option("--host", f.server.http.host, "the address to listen on")
      ->capture_default_str()
      ->group(group);
  command.add_option("--port", f.server.http.port, "the port; 0: any free one")
      ->transform(whole_number(0, 65535))
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--api-key", f.keys,
                  "a key that requests must have; repeatable; others see it in the list of processes")
      ->allow_extra_args(false)
      ->option_text("KEY")
      ->group(group);
  command
      .add_option("--api-key-file", f.key_file, "a file of keys, one a line, as sha256:HEX or as they are")
      ->option_text("FILE")
      ->group(group);
  command
      .add_flag("--insecure-no-auth", f.server.may_be_open,
                "listen beyond this machine without a key: whoever reaches the port may use it")
      ->group(group);
  command
      .add_option("--allow-host", f.server.allowed_hosts,
                  "a further name that this server is called by; repeatable")
      ->allow_extra_args(false)
      ->option_text("NAME")
      ->transform(CLI::Validator(
          [](std::string& text) {
            const std::string given = text;
            text = server::host_name(given);
            return text.empty()
                       ? "expected a name as example.org, without a port, got " + printable(given, 40)
                       : std::string();
          },
          ""))
      ->group(group);
  command
      .add_option("--cors-origin", f.server.cors_origins,
                  "another site whose pages may call, as https://example.org; repeatable")
      ->allow_extra_args(false)
      ->option_text("ORIGIN")
      ->check(CLI::Validator(
          [](const std::string& text) {
            return server::is_origin(text)
                       ? std::string()
                       : "expected an origin as https://example.org, got " + printable(text, 40);
          },
          ""))
      ->group(group);
}

void add_limit_flags(CLI::App& command, ServeFlags& f) {
  const std::string rare = std::string(kRare) + "limits";
  http::Limits& limits = f.server.http.limits;
  const auto count = [&](const char* name, auto& value, int64_t most, const char* help) {
    command.add_option(name, value, help)
        ->transform(whole_number(1, most))
        ->capture_default_str()
        ->group(rare);
  };
  const auto seconds = [&](const char* name, double& value, const char* help, double least = kLeastSeconds) {
    command.add_option(name, value, help)
        ->option_text("SECONDS")
        ->transform(number(least, kMostSeconds))
        ->capture_default_str()
        ->group(rare);
  };
  count("--queue", f.server.limits.n_queue, 1 << 20, "texts that may wait for a place");
  count("--max-header-bytes", limits.header_bytes, 1 << 20, "a request's headers");
  count("--max-headers", limits.n_header, 1000, "a request's headers, counted");
  count("--max-body-bytes", limits.body_bytes, int64_t{1} << 32, "a request's body");
  count("--max-connections", limits.n_connection, 1 << 20, "clients at one time");
  seconds("--header-timeout", f.header_s, "until a request's headers must be there");
  seconds("--body-timeout", f.body_s, "until its body must be there");
  seconds("--idle-timeout", f.idle_s, "how long a connection may wait for its next request");
  seconds("--write-timeout", f.stall_s, "a client that takes nothing for so long is gone");
  seconds("--ping-interval", f.ping_s, "a stream that is silent for so long gets a comment");
  seconds("--request-timeout", f.server.limits.request_timeout_s,
          "a request ends with an error after so long; 0: never", 0);
  seconds("--shutdown-timeout", f.server.limits.drain_s,
          "what is under way may go on for so long after SIGTERM", 0);
}

}  // namespace

void add_serve(CLI::App& program, Action& action) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command =
      program.add_subcommand("serve", "answer requests of OpenAI's and Anthropic's clients, and a web page");
  command->add_option("--parallel", flags->server.n_parallel, "texts at one time; others wait")
      ->transform(range(limits::kParallel))
      ->capture_default_str();
  command
      ->add_option(
          "-c,--ctx-size", flags->n_ctx,
          "tokens of context, shared by all texts (default: what the model was trained for, for each)")
      ->transform(range(limits::kContextTokens));
  command
      ->add_option("-n,--predict,--n-predict", flags->server.limits.n_predict,
                   "tokens to generate for requests that do not say (default: until the context is full)")
      ->transform(range(limits::kPredictTokens));
  command
      ->add_option("--cache-ram", flags->cache_ram_mib, "MiB more in which the beginnings of texts are kept")
      ->option_text("MIB")
      ->transform(whole_number(0, 1 << 24))
      ->capture_default_str();
  command
      ->add_option(
          "--prefill-slowdown", flags->server.limits.prefill_slowdown,
          "how many times as long other texts may wait for a token while a prompt is computed; 0: any")
      ->option_text("X")
      ->transform(number())
      ->check(CLI::Validator(check_slowdown, ""))
      ->capture_default_str();
  command->add_option("--alias", flags->aliases, "a name that requests call the model by; repeatable")
      ->allow_extra_args(false)
      ->option_text("NAME");
  command->add_flag("--metrics,!--no-metrics", flags->server.metrics, "serve /metrics; on by default");
  command->add_flag("--slots,!--no-slots", flags->server.slots, "serve /slots; on by default");
  command
      ->add_option("--slot-save-path", flags->server.slot_folder,
                   "a folder for the files of /slots/N?action=save and restore")
      ->option_text("DIR");
  command
      ->add_option("--experts-max", flags->model.experts_max,
                   "plan buffers for requests of up to N experts per token")
      ->transform(range(limits::kExpertsMax));
  command
      ->add_option("--pooling", flags->pooling,
                   "embeddings: the mean of all tokens' hidden states, or the last token's")
      ->check(one_of({"mean", "last"}))
      ->capture_default_str();
  add_access_flags(*command, *flags);
  add_limit_flags(*command, *flags);
  add_sampler_flags(*command, flags->sampler);
  add_model_flags(*command, flags->model);
  on_run(command, action, [flags] { return serve(*flags); });
}

}  // namespace sw::cli
