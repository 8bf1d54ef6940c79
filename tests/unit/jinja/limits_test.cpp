// SPDX-License-Identifier: MIT
// What chat templates from strangers may not do, and how the errors read.
#include <ctime>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <thread>

#include "jinja/template.h"
#include "support/refusal.h"

namespace sw {
namespace {

using Json = jinja::Template::Json;
using testing::expect_refused;

std::string render(const std::string& source, const Json& variables = Json::object()) {
  return jinja::Template(source).render(variables);
}

void expect_fails(const std::string& source, const std::string& part) {
  expect_refused([&] { render(source); }, part);
}

std::string repeat(const std::string& text, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}

TEST(JinjaErrors, NameTheLine) {
  expect_fails("a\nb\n{{ x.y }}", "'x' is undefined: chat template, line 3");
  expect_fails("{{ 1 }}\r\n{{ 1 }}\r{{ none.a.b }}", "'None' has no attribute 'a': chat template, line 3");
  expect_fails("{% if true %}\n\n{% for x in 5 %}{% endfor %}{% endif %}",
               "not iterable: chat template, line 3");
  expect_fails("\n{% macro m() %}\n{{ 1 + 'a' }}{% endmacro %}\n\n{{ m() }}", "line 3");
  expect_fails("\n{% macro m(a) %}{% endmacro %}\n\n{{ m(b=1) }}",
               "takes no keyword argument 'b': chat template, line 4");
  expect_fails("\n\n{{ raise_exception('Roles must alternate') }}",
               "Roles must alternate: chat template, line 3");
  expect_fails("\n{{ 'a' | nope }}", "No filter named 'nope'.: chat template, line 2");
  expect_fails("\n{% if %}", "expected an expression, got '%}': chat template, line 2");
  expect_fails("{% if x %}\n\n", "expected tag 'elif' or 'else' or 'endif', got the template's end");
  expect_fails("{% for x in y %}{% endif %}", "unknown tag 'endif': expected tag 'endfor' or 'else'");
  expect_fails("{{ 'abc", "a string does not end");
  expect_fails("{{ [1, 2 }}", "unexpected '}', expected ']'");
  expect_fails("a\xff", "must be UTF-8: chat template, offset 1");
}

TEST(JinjaErrors, InputMustFit) {
  expect_refused([] { render("", Json::array()); }, "must be an object");
}

TEST(JinjaLimits, Nesting) {
  const auto brackets = [](int n) { return "{{ " + repeat("[", n) + repeat("]", n) + " }}"; };
  EXPECT_EQ(render(brackets(200)), repeat("[", 200) + repeat("]", 200));
  expect_fails(brackets(300), "more than 256");
  expect_fails("{{ " + repeat("(", 10'000), "more than 256");
  expect_fails("{{ " + repeat("not ", 10'000) + "1 }}", "nested too deeply");
  expect_fails("{{ " + repeat("-", 10'000) + "1 }}", "nested too deeply");
  expect_fails("{{ " + repeat("a if b else ", 10'000) + "1 }}", "nested too deeply");
  expect_fails("{{ 1" + repeat(" + 1", 10'000) + " }}", "nested too deeply");
  expect_fails("{{ x" + repeat(".a", 10'000) + " }}", "nested too deeply");
  expect_fails("{{ x" + repeat("|list", 10'000) + " }}", "nested too deeply");
  expect_fails("{{ x" + repeat("()", 10'000) + " }}", "nested too deeply");
  expect_fails(repeat("{% if true %}", 10'000), "nested too deeply");
  expect_fails("{% for " + repeat("(", 10'000) + "a in b %}", "more than 256");
  EXPECT_EQ(render("{{ 1" + repeat(" + 1", 200) + " }}"), "201");
  EXPECT_EQ(render("{{ 1" + repeat(" ~ 1", 10'000) + " }}").size(), 10'001u) << "one node, however long";
  EXPECT_EQ(render("{% if false %}" + repeat("{% elif false %}", 5'000) + "{% else %}x{% endif %}"), "x");
}

TEST(JinjaLimits, Source) {
  EXPECT_EQ(render(std::string(128 << 10, 'x')).size(), size_t{128} << 10);
  expect_fails(std::string((128 << 10) + 1, 'x'), "too long: more than 128 KiB");
  expect_fails(repeat("{% if true %}", 100'000), "too long: more than 128 KiB");
}

TEST(JinjaLimits, Recursion) {
  const std::string count =
      "{% macro m(n) %}{% if n > 0 %}{{ m(n - 1) }}{% else %}end{% endif %}{% endmacro %}";
  EXPECT_EQ(render(count + "{{ m(200) }}"), "end");
  expect_fails(count + "{{ m(1000) }}", "more than 256 calls");
  const std::string loop = "{% for x in [[]] recursive %}{{ loop([x]) }}{% endfor %}";
  expect_fails(loop, "more than 256 calls");
  // Values in each other: printing, comparing and writing them as JSON stop in time.
  const std::string deep =
      "{% set ns = namespace(x=[], y=[]) %}{% for i in range(50000) %}{% set ns.x = [ns.x] %}"
      "{% set ns.y = [ns.y] %}{% endfor %}";
  for (const char* use : {"{{ ns.x }}", "{{ ns.x == ns.y }}", "{{ ns.x < ns.y }}", "{{ ns.x | tojson }}",
                          "{{ ns.x in [ns.y] }}"}) {
    expect_fails(deep + use, "too deep");
  }
  expect_fails("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}", "too deep");
  expect_fails(
      "{% set ns = namespace(x=[1]) %}{% for i in range(9999) %}{% set ns.x = ns.x | map('string') %}{% "
      "endfor %}"
      "{{ ns.x | list }}",
      "too deep");
}

TEST(JinjaLimits, Steps) {
  const std::string loops = "{% for i in range(100000) %}{% for j in range(100000) %}";
  const std::string ends = "{% endfor %}{% endfor %}";
  const Json texts = {{"long", std::string(100'000, 'a')}, {"needle", std::string(5'000, 'a') + "b"}};
  for (const char* body :
       {"", "{% set x = long | upper %}", "{% set x = long.find(needle) %}",
        "{% set x = long.rfind(needle) %}", "{% set x = long | tojson %}", "{% set x = long.strip(needle) %}",
        "{% if needle in long %}{% endif %}", "{% set x = long | int %}", "{% set x = long | length %}",
        "{% set x = '%9999d' % i %}"}) {
    std::string source = loops;
    source.append(body).append(ends);
    expect_refused([&] { render(source, texts); }, "more than 1000000 steps");
  }
  expect_fails("{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(100) }}",
               "too much memory");
  expect_fails(
      "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
      "steps");
  EXPECT_EQ(render("{% for i in range(100000) %}{% if i == 99999 %}{{ i }}{% endif %}{% endfor %}"), "99999");
}

#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr double kMaxMs = 250;  // the release figure is 50, on a quiet machine; it was up to 458
#else
constexpr double kMaxMs = 5000;  // not built for speed
#endif

/// Processor time of a rendering that the limits end, or not.
double ms_of(const std::string& source, const Json& variables) {
  const auto now = [] {
    std::timespec t = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) * 1e-6;
  };
  const double begin = now();
  try {
    render(source, variables);
  } catch (const Error&) {
  }
  return now() - begin;
}

// Each of these once took longer than its steps were worth.
TEST(JinjaLimits, WhatIsSlowCostsMoreSteps) {
  Json variables = {{"long", std::string(100'000, 'a')}, {"quotes", repeat("\"\x01", 20'000)}};
  for (int i = 0; i < 2000; ++i) variables["floats"].push_back(1.1e300 / (i + 1));
  for (int i = 0; i < 5000; ++i) variables["integers"].push_back(i);
  for (const char* expression :
       {"long[50000]",           "long[10:99999]",          "long[-1]",
        "long.strip('a')",       "long.lstrip('bcdefgha')", "long.startswith('a', 99000)",
        "long.find('x', 99999)", "long | truncate(90000)",  "1e308 % 1e-308",
        "1e308 // 1e-300",       "floats | tojson",         "floats | string",
        "floats | join",         "1.5e300 | string",        "integers | tojson",
        "integers | string",     "quotes | tojson",         "[quotes] | string",
        "'%.300e' % 1e300",      "'%.100g' % 1e-300"}) {
    const std::string body = std::string("{% set x = ") + expression + " %}";
    const std::string source =
        "{% for i in range(100000) %}{% for j in range(100000) %}" + body + "{% endfor %}{% endfor %}";
    EXPECT_LT(ms_of(source, variables), kMaxMs) << expression;
  }
}

TEST(JinjaLimits, ManyNames) {
  std::string sets, parameters, entries;
  for (int i = 0; i < 8000; ++i) {
    const std::string name = "v" + std::to_string(i);
    sets += "{%set " + name + "=1%}";
    parameters += name + "=1,";
    entries += "'" + name + "':1,";
  }
  parameters.pop_back();
  const std::string nested = repeat("{% with %}", 250) +
                             "{% for i in range(100000) %}{% for j in range(100000) %}{{ x }}{% endfor %}"
                             "{% endfor %}" +
                             repeat("{% endwith %}", 250);
  const std::string names = "{% macro m(" + parameters + ") %}{% endmacro %}{{ m(";
  for (const std::string& source :
       {"{% for x in [1] %}" + sets + "{% endfor %}", names + "v7999=1) }}",
        "{% macro m() %}{% endmacro %}{{ m(" + parameters + ") }}", "{{ dict(" + parameters + ") }}",
        "{{ namespace(" + parameters + ") }}", "{{ {" + entries + "} }}", nested}) {
    EXPECT_LT(ms_of(source, Json::object()), kMaxMs) << source.substr(0, 40);
  }
}

TEST(JinjaLimits, OutputAndMemory) {
  const Json texts = {{"long", std::string(1 << 20, 'x')}};
  EXPECT_EQ(render("{% for i in range(8) %}{{ long }}{% endfor %}", texts).size(), size_t{8} << 20);
  expect_refused([&] { render("{% for i in range(9) %}{{ long }}{% endfor %}", texts); }, "more than 8 MiB");
  expect_refused(
      [&] { render("{% set x %}{% for i in range(9) %}{{ long }}{% endfor %}{% endset %}", texts); },
      "8 MiB");
  expect_fails("{{ 'x' * 100000000000 }}", "too long");
  expect_fails("{{ [1] * 100000000000 }}", "too long");
  expect_fails("{{ 'x' * 9223372036854775807 }}", "too long");
  expect_fails("{{ 'ab' | replace('', 'x' * 8000000) }}", "too long");
  expect_fails("{{ 'x'.ljust(99999999999) }}", "too large");
  expect_fails("{{ '%99999999999d' % 1 }}", "above 10000");
  expect_fails("{{ '{:99999999999}'.format(1) }}", "above 10000");
  expect_fails("{{ 'x' | indent(1000000000) }}", "too wide");
  expect_fails("{{ {} | tojson(indent=1000000000) }}", "too far");
  expect_fails("{{ range(100001) }}", "Range too big");
  expect_fails("{{ range(-9223372036854775807, 9223372036854775807) }}", "Range too big");
  expect_fails(
      "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}", "");
  expect_refused([&] { render("{% for i in range(99) %}{% set x = long + long %}{% endfor %}", texts); },
                 "24 MiB");
}

TEST(JinjaLimits, Integers) {
  for (const char* source :
       {"{{ 2 ** 127 }}", "{{ 2 ** 100000 }}", "{{ 18446744073709551616 * 9223372036854775808 }}",
        "{{ 99999999999999999999999999999999999999999 + 1 }}", "{{ -2 ** 127 // -1 }}"}) {
    expect_fails(source, "an integer grows beyond 128 bits");
  }
  for (const char* source :
       {"{{ 18446744073709551616 / 2 }}", "{{ 0x10000000000000000 }}",
        "{{ '10000000000000000' | int(0, 16) }}", "{{ '%x' % 18446744073709551616 }}",
        "{{ 'a' * 18446744073709551616 }}", "{{ range(18446744073709551616) }}",
        "{{ 'a b'.split(' ', 18446744073709551616) }}", "{{ 18446744073709551616 | round(-3) }}"}) {
    expect_fails(source, "beyond 64 bits");
  }
  expect_fails("{{ " + repeat("9", 4301) + " }}", "more than 4300 digits");
  expect_fails("{{ " + repeat("9", 400) + " + 1.0 }}", "too large to convert to float");
  EXPECT_EQ(render("{{ " + repeat("9", 4300) + " }}"), repeat("9", 4300));
  EXPECT_EQ(render("{{ (-9223372036854775807 - 1) % -1 }}"), "0");
  EXPECT_EQ(render("{{ 'abc'[-9223372036854775807 - 1:9223372036854775807] }}"), "abc");
  EXPECT_EQ(render("{{ [1, 2, 3][::9223372036854775807] }}{{ [1, 2, 3][::-9223372036854775807 - 1] }}"),
            "[1][3]");
  EXPECT_EQ(render("{{ 'abc'.find('c', -9223372036854775807 - 1, 9223372036854775807) }}"), "2");
  EXPECT_EQ(render("{{ 'a b c'.split(' ', 9223372036854775807) | length }}"), "3");
}

TEST(JinjaSandbox, NothingOfPythonShowsThrough) {
  for (const char* name : {"__class__", "__init__", "__globals__", "__mro__", "__subclasses__", "__dict__"}) {
    for (const char* object :
         {"''", "[]", "{}", "range(1)", "namespace()", "range", "raise_exception", "1"}) {
      const std::string access = std::string("(") + object + ")." + name;
      EXPECT_EQ(render("{{ " + access + " is defined }}"), "False") << access;
      EXPECT_THROW(render("{{ " + access + ".x }}"), Error) << access;
    }
  }
  expect_fails("{% set x = [1] %}{{ x.append(2) }}",
               "access to attribute 'append' of 'list' object is unsafe.");
  EXPECT_EQ(render("{{ x['__class__'] }}{{ x.a }}", {{"x", {{"__class__", "mine"}, {"a", 1}}}}), "mine1");
}

TEST(JinjaTemplate, ThreadsMayShareOne) {
  const jinja::Template shared(
      "{% macro m(x) %}<{{ x | upper }}>{% endmacro %}{% for x in xs %}{{ m(x) }}{% endfor %}");
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (std::string& text : texts) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) text = shared.render({{"xs", {"a", "b"}}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, "<A><B>");
}

}  // namespace
}  // namespace sw
