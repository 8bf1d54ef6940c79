// SPDX-License-Identifier: MIT
// Damaged templates: each renders or throws sw::Error, soon. SWITCHYARD_FUZZ_RUNS=N makes the test longer.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "support/test_data.h"
#include "tokenizer/chat_template.h"

namespace sw {
namespace {

namespace fs = std::filesystem;
using Json = ChatTemplate::Json;

#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr double kMaxMs = 50;
#else
constexpr double kMaxMs = 5000;  // not built for speed
#endif

constexpr const char* kPieces[] = {"{{ ",
                                   " }}",
                                   "{% ",
                                   " %}",
                                   "{%- ",
                                   " -%}",
                                   "{#",
                                   "#}",
                                   "{% if ",
                                   "{% endif %}",
                                   "{% for x in ",
                                   "{% endfor %}",
                                   "{% set x = ",
                                   "{% macro m(a) %}",
                                   "{% endmacro %}",
                                   "{{ m(m) }}",
                                   "{% else %}",
                                   "{% break %}",
                                   "{% raw %}",
                                   "{% endraw %}",
                                   "{% call m() %}",
                                   "{% endcall %}",
                                   "{% filter upper %}",
                                   "{% endfilter %}",
                                   "{% generation %}",
                                   " recursive",
                                   "loop(x)",
                                   "loop.length",
                                   "loop.nextitem",
                                   "messages",
                                   "tools",
                                   "range(99999)",
                                   "namespace(",
                                   "ns.x",
                                   "[0]",
                                   "[::-1]",
                                   "[1:",
                                   "(",
                                   ")",
                                   "[",
                                   "]",
                                   "{",
                                   "}",
                                   ",",
                                   ":",
                                   ".",
                                   "|",
                                   "~",
                                   "+",
                                   "-",
                                   "*",
                                   "**",
                                   "/",
                                   "//",
                                   "%",
                                   "==",
                                   "<",
                                   " in ",
                                   " not ",
                                   " is ",
                                   " and ",
                                   " or ",
                                   " if ",
                                   " else ",
                                   "none",
                                   "true",
                                   "'a'",
                                   "''",
                                   "'%s'",
                                   "1",
                                   "-1",
                                   "0",
                                   "1e308",
                                   "9223372036854775807",
                                   "|tojson",
                                   "|tojson(indent=2)",
                                   "|join(',')",
                                   "|length",
                                   "|list",
                                   "|items",
                                   "|sort",
                                   "|reverse",
                                   "|trim",
                                   "|replace('', 'aa')",
                                   "|map('upper')",
                                   "|map(attribute='role')",
                                   "|selectattr('role', 'eq', 'user')",
                                   "|select",
                                   "|indent",
                                   "|batch(2)",
                                   "|slice(3)",
                                   "|unique",
                                   "|sum",
                                   "|int",
                                   "|float",
                                   "|string",
                                   "|first",
                                   "|last",
                                   "|default('x')",
                                   "|format(1)",
                                   "|dictsort",
                                   "|center(99)",
                                   "|title",
                                   "|round(3)",
                                   "|e",
                                   "|safe",
                                   ".strip()",
                                   ".split()",
                                   ".split('a')",
                                   ".upper()",
                                   ".items()",
                                   ".get('a')",
                                   ".format(1)",
                                   ".join('ab')",
                                   ".__class__",
                                   "defined",
                                   "string",
                                   "mapping",
                                   "x",
                                   "raise_exception('no')",
                                   "strftime_now('%Y')",
                                   "\xf0\x9f\x98\x80",
                                   "\xff",
                                   "\n",
                                   "\r\n",
                                   "\t"};

std::vector<std::string> seeds() {
  std::vector<std::string> sources;
  const fs::path data = testing::source_dir() / "tests" / "data" / "chat";
  const Json cases = Json::parse(read_file(data / "language.json"));
  for (const Json& each : cases) sources.push_back(each.at("template"));
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(data / "own")) files.push_back(entry.path());
  if (const auto folder = testing::find_data("chat_templates")) {
    for (const auto& entry : fs::directory_iterator(*folder)) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  for (const fs::path& file : files) {
    if (file.extension() == ".jinja") sources.push_back(read_file(file));
  }
  return sources;
}

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : rng_(seed), seeds_(seeds()) {}

  std::string next() {
    std::string text = any_seed();
    for (uint64_t n = 1 + rng_.below(6); n-- > 0;) change(text);
    return text;
  }
  uint64_t below(uint64_t n) { return rng_.below(n); }

 private:
  const std::string& any_seed() { return seeds_[rng_.below(seeds_.size())]; }

  void change(std::string& text) {
    const size_t at = rng_.below(text.size() + 1), n = rng_.below(std::min<size_t>(text.size() - at, 60) + 1);
    switch (rng_.below(7)) {
      case 0:
        text.erase(at, n);
        break;
      case 1:
        text.insert(at, text.substr(rng_.below(text.size() + 1), n));
        break;
      case 2:
        if (at < text.size()) text[at] = static_cast<char>(rng_.below(256));
        break;
      case 3: {
        const std::string& other = any_seed();
        text.insert(at, other.substr(rng_.below(other.size() + 1), 1 + rng_.below(80)));
        break;
      }
      case 4: {
        const std::string piece = any_piece();
        for (uint64_t i = 1 + rng_.below(rng_.below(8) == 0 ? 300 : 3); i-- > 0;) text.insert(at, piece);
        break;
      }
      default:
        text.replace(at, rng_.below(2) * n, any_piece());
    }
  }
  const char* any_piece() { return kPieces[rng_.below(std::size(kPieces))]; }

  Rng rng_;
  std::vector<std::string> seeds_;
};

double cpu_ms() {
  std::timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

TEST(JinjaFuzz, DamagedTemplatesRenderOrAreRefused) {
  const char* wanted = std::getenv("SWITCHYARD_FUZZ_RUNS");
  const int n_runs = wanted ? std::atoi(wanted) : 5000;
  std::vector<Json> inputs;
  const Json conversations =
      Json::parse(read_file(testing::source_dir() / "tests" / "data" / "chat" / "conversations.json"));
  for (const auto& [name, variables] : conversations.items()) {
    inputs.push_back(variables);
  }
  Mutator mutator(20251122);
  double slowest_ms = 0;
  int n_rendered = 0;
  std::string slowest;
  for (int i = 0; i < n_runs; ++i) {
    const std::string source = mutator.next();
    const Json& input = inputs[mutator.below(inputs.size())];
    const double begin = cpu_ms();
    try {
      ChatTemplate(source).render(input);
      ++n_rendered;
    } catch (const Error&) {  // anything else fails the test
    }
    const double ms = cpu_ms() - begin;
    if (ms > slowest_ms) slowest_ms = ms, slowest = source;
  }
  std::printf("%d templates, %d rendered, the slowest took %.1f ms\n", n_runs, n_rendered, slowest_ms);
  EXPECT_LT(slowest_ms, kMaxMs) << slowest;
  EXPECT_GT(n_rendered, n_runs / 20);
  EXPECT_LT(n_rendered, n_runs);
}

}  // namespace
}  // namespace sw
