// SPDX-License-Identifier: MIT
// The functions that every template finds: Jinja's own, and the two that transformers adds.
#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fmt/core.h>

#include "base/error.h"
#include "jinja/builtins/native.h"
#include "jinja/values/iterator.h"
#include "jinja/values/objects.h"
#include "jinja/values/operations.h"

namespace sw::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // as Jinja's sandbox has it

Value range(Budget& budget, const Arguments& a) {
  const bool has_start = !a[1].is(Kind::Missing);
  const int64_t start = has_start ? integer_argument(budget, a[0], 0) : 0;
  const int64_t stop = integer_argument(budget, has_start ? a[1] : a[0], 0);
  const int64_t step = integer_argument(budget, a[2], 1);
  if (step == 0) budget.fail("range() arg 3 must not be zero");
  const bool empty = step > 0 ? start >= stop : start <= stop;
  if (empty) return Value::object<Range>(budget.make(Range{start, stop, step, 0}));
  const auto difference = [](int64_t high, int64_t low) {
    return static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  };
  const uint64_t way = step > 0 ? difference(stop, start) : difference(start, stop);
  const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
  const uint64_t n = (way - 1) / stride + 1;
  if (n > kMaxRange) budget.fail(fmt::format("Range too big: more than {} items", kMaxRange));
  return Value::object<Range>(budget.make(Range{start, stop, step, static_cast<int64_t>(n)}));
}

/// dict(mapping or pairs, name=value...)
Value make_dict(Budget& budget, const Arguments& a) {
  DictBuilder dict(budget);
  if (a.positional.size() > 1) budget.fail("dict expected at most 1 argument");
  if (!a.positional.empty() && a[0].is(Kind::Undefined)) fail_undefined(budget, a[0]);
  if (!a.positional.empty() && a[0].is(Kind::Dict)) {
    for (const DictEntry& entry : a[0].as<Dict>().entries) dict.set(entry.key, entry.value);
  } else if (!a.positional.empty()) {
    for (const Value& item : to_vector(budget, a[0])) {
      const std::vector<Value> pair = to_vector(budget, item);
      if (pair.size() != 2) budget.fail("dict() needs pairs of a key and a value");
      dict.set(pair[0], pair[1]);
    }
  }
  for (const Keyword& keyword : a.keywords) dict.set(Value::text(keyword.name), keyword.value);
  return dict.value();
}

Value make_namespace(Budget& budget, const Arguments& a) {
  Namespace* space = budget.make(Namespace());
  const Value given = make_dict(budget, a);
  for (const DictEntry& entry : given.as<Dict>().entries) {
    space->set(budget, text_argument(budget, entry.key), entry.value);
  }
  return Value::object<Namespace>(space);
}

Value raise_exception(Budget& budget, const Arguments& a) { budget.fail(std::string(to_text(budget, a[0]))); }

/// The clock, unless SOURCE_DATE_EPOCH stops it: then in UTC.
std::tm local_now(Budget& budget, int64_t& microseconds) {
  std::tm broken_down = {};
  if (const char* epoch = std::getenv("SOURCE_DATE_EPOCH"); epoch && *epoch) {
    char* end = nullptr;
    const std::time_t seconds = std::strtoll(epoch, &end, 10);
    if (*end != '\0' || !gmtime_r(&seconds, &broken_down)) {
      budget.fail(fmt::format("SOURCE_DATE_EPOCH is no number of seconds: {}", printable(epoch)));
    }
    return broken_down;
  }
  using namespace std::chrono;
  const auto since_epoch =
      duration_cast<std::chrono::microseconds>(system_clock::now().time_since_epoch()).count();
  microseconds = since_epoch % 1'000'000;
  const std::time_t seconds = since_epoch / 1'000'000;
  localtime_r(&seconds, &broken_down);
  return broken_down;
}

/// The directive that begins behind a '%', with the flags, the width and the modifier that the C library
/// knows and Python hands to it: "-d" of "%-d". Nothing where it has no end.
std::string_view directive_at(std::string_view format) {
  constexpr size_t kMostDigits = 2;
  size_t at = std::min(format.find_first_not_of("-_0^#"), format.size());
  for (size_t n = 0;
       n < kMostDigits && at < format.size() && std::isdigit(static_cast<unsigned char>(format[at])); ++n)
    ++at;
  if (at < format.size() && (format[at] == 'E' || format[at] == 'O')) ++at;
  return at < format.size() ? format.substr(0, at + 1) : std::string_view();
}

Value strftime_now(Budget& budget, const Arguments& a) {
  int64_t microseconds = 0;
  const std::tm now = local_now(budget, microseconds);
  const std::string_view format = text_argument(budget, a[0]);
  TextBuilder out(budget);
  for (size_t at = 0; at < format.size(); ++at) {
    const std::string_view directive = format[at] == '%' ? directive_at(format.substr(at + 1)) : "";
    if (directive.empty()) {
      out.add(format[at]);
      continue;
    }
    at += directive.size();
    if (directive == "f") {
      out.add(fmt::format("{:06}", microseconds));
    } else if (directive != "z" && directive != "Z") {  // Python's time has no zone
      budget.spend(Budget::kStep);
      char buffer[200];
      const std::string one = "%" + std::string(directive);
      out.add({buffer, std::strftime(buffer, sizeof buffer, one.c_str(), &now)});
    }
  }
  return out.value();
}

constexpr Native kFunctions[] = {
    {"range", range, "start stop? step?"},    {"dict", make_dict, "..."},
    {"namespace", make_namespace, "..."},     {"raise_exception", raise_exception, "message"},
    {"strftime_now", strftime_now, "format"},
};

}  // namespace

std::span<const Native> global_functions() { return kFunctions; }

}  // namespace sw::jinja
