// SPDX-License-Identifier: MIT
// A chat template and what it renders, with a zero byte between them.
#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "fuzz/edge_values.h"
#include "fuzz/mutate_json.h"
#include "fuzz/outcome.h"
#include "fuzz/target.h"
#include "jinja/template.h"

namespace sw::fuzz {
namespace {

constexpr const char* kPieces[] = {"{{",
                                   "}}",
                                   "{%",
                                   "%}",
                                   "{#",
                                   "#}",
                                   "{%-",
                                   "-%}",
                                   "{% if ",
                                   "{% endif %}",
                                   "{% for x in ",
                                   "{% endfor %}",
                                   "{% else %}",
                                   "{% elif ",
                                   "{% set x = ",
                                   "{% set x %}",
                                   "{% endset %}",
                                   "{% macro m(a, b=1) %}",
                                   "{% endmacro %}",
                                   "{{ m(1) }}",
                                   "{% call m(1) %}",
                                   "{% endcall %}",
                                   "{% filter upper %}",
                                   "{% endfilter %}",
                                   "{% break %}",
                                   "{% continue %}",
                                   "{% raw %}",
                                   "{% endraw %}",
                                   "{% generation %}",
                                   "{% endgeneration %}",
                                   "namespace(",
                                   "loop.index0",
                                   "loop.previtem",
                                   "loop(x)",
                                   " recursive",
                                   "messages",
                                   "tools",
                                   "range(10)",
                                   "range(1000000000)",
                                   "[0]",
                                   "[::-1]",
                                   "[1:9999999999]",
                                   "[:-1:0]",
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
                                   "!=",
                                   "<",
                                   ">=",
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
                                   "\"\\u00e9\"",
                                   "1",
                                   "-1",
                                   "9223372036854775807",
                                   "1e308",
                                   "|tojson",
                                   "|tojson(indent=4)",
                                   "|join(', ')",
                                   "|length",
                                   "|list",
                                   "|items",
                                   "|sort",
                                   "|reverse",
                                   "|trim",
                                   "|replace('a', 'aa')",
                                   "|map(attribute='role')",
                                   "|selectattr('role', 'equalto', 'user')",
                                   "|indent(8)",
                                   "|batch(3)",
                                   "|groupby('role')",
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
                                   "|center(80)",
                                   "|wordwrap(3)",
                                   ".strip()",
                                   ".split(',')",
                                   ".startswith('<')",
                                   ".upper()",
                                   ".items()",
                                   ".get('a')",
                                   ".format(1)",
                                   ".__class__",
                                   "defined",
                                   "string",
                                   "mapping",
                                   "raise_exception('no')",
                                   "strftime_now('%Y')",
                                   "'x' * 100000000",
                                   "2 ** 100000",
                                   "{% macro m(a) %}",
                                   "{{ m(m) }}",
                                   "{% call m() %}",
                                   "loop.length",
                                   "loop.nextitem",
                                   "range(99999)",
                                   "ns.x",
                                   "[1:",
                                   "''",
                                   "'%s'",
                                   "0",
                                   "|tojson(indent=2)",
                                   "|join(',')",
                                   "|replace('', 'aa')",
                                   "|map('upper')",
                                   "|selectattr('role', 'eq', 'user')",
                                   "|select",
                                   "|indent",
                                   "|batch(2)",
                                   "|slice(3)",
                                   "|center(99)",
                                   "|title",
                                   "|round(3)",
                                   "|e",
                                   "|safe",
                                   ".split()",
                                   ".split('a')",
                                   ".join('ab')",
                                   "x",
                                   "\xf0\x9f\x98\x80",
                                   "\xff",
                                   "\n",
                                   "\r\n",
                                   "\t"};

struct Input {
  std::string source = {}, variables = {};
};

Input split(const std::string& input) {
  const size_t zero = input.find('\0');
  if (zero == input.npos) return {input, "{}"};
  return {input.substr(0, zero), input.substr(zero + 1)};
}

struct Place {
  size_t at = 0, n = 0;
};

/// A whole tag, the first from a random place on; nothing where none follows.
Place any_tag(const std::string& source, Rng& rng) {
  const size_t begin = source.find('{', rng.below(source.size() + 1)), end = source.find('}', begin);
  if (begin == source.npos || end == source.npos) return {};
  return {begin, std::min(end + 2, source.size()) - begin};
}

/// A whole name or number, likewise.
Place any_word(const std::string& source, Rng& rng) {
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  const auto from = source.begin() + static_cast<long>(rng.below(source.size() + 1));
  const auto begin = std::find_if(std::find_if_not(from, source.end(), is_word), source.end(), is_word);
  const auto end = std::find_if_not(begin, source.end(), is_word);
  return {static_cast<size_t>(begin - source.begin()), static_cast<size_t>(end - begin)};
}

/// One to three bytes, words, tags or pieces put in, left out, doubled or moved.
std::string mutate_source(std::string source, Rng& rng) {
  for (uint64_t n = 1 + rng.below(3); n-- > 0;) {
    const size_t at = rng.below(source.size() + 1);
    const size_t length = rng.below(std::min<size_t>(source.size() - at, 40) + 1);
    const Place tag = any_tag(source, rng), word = any_word(source, rng), other = any_word(source, rng);
    switch (rng.below(12)) {
      case 0:
        source.erase(at, length);
        break;
      case 1:
        source.insert(rng.below(source.size() + 1), source.substr(at, length));
        break;
      case 2:
        source.insert(at, repeated(pick(kPieces, rng), pick({2, 10, 255, 256, 257, 5000}, rng)));
        break;
      case 3:
        source = mutate_bytes(source, rng);
        break;
      case 4:
        source.erase(tag.at, tag.n);
        break;
      case 5:
        source.insert(at, source.substr(tag.at, tag.n));
        break;
      case 6:
        source.replace(word.at, word.n, source.substr(other.at, other.n));
        break;
      case 7:
        source.replace(word.at, word.n, pick(kPieces, rng));
        break;
      default:
        source.replace(at, rng.below(3) == 0 ? length : 0, pick(kPieces, rng));
    }
  }
  return source;
}

}  // namespace

int fuzz_one(Bytes input) {
  const Input parts = split({reinterpret_cast<const char*>(input.data()), input.size()});
  const auto variables = nlohmann::ordered_json::parse(parts.variables, nullptr, false);
  if (!variables.is_object()) return 0;
  constexpr size_t kMaxPromptBytes = size_t{8} << 20;
  return outcome(
      "", [&] { SW_ASSERT(jinja::Template(parts.source).render(variables).size() <= kMaxPromptBytes); });
}

std::string mutate(const std::string& input, Rng& rng) {
  const Input parts = split(input);
  if (rng.below(4) > 0) return mutate_source(parts.source, rng) + '\0' + parts.variables;
  return parts.source + '\0' + mutate_json(parts.variables, rng);
}

}  // namespace sw::fuzz
