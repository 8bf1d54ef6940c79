// SPDX-License-Identifier: MIT
#pragma once
#include <new>
#include <string>
#include <switchyard/switchyard.h>

#include "base/error.h"

namespace sw::api {

/// What f() returns; our errors leave the library as the header's, memory that is not there as one of them.
template <class F>
auto edge(F&& f) {
  const auto parts = [](const Error& e) -> switchyard::Error::Parts {
    const Error::Parts& p = e.parts();
    return {.what = p.what, .where = p.where, .expected = p.expected, .got = p.got, .hint = p.hint};
  };
  try {
    return f();
  } catch (const SystemError& e) {
    throw switchyard::SystemError(e.what(), parts(e));
  } catch (const Error& e) {
    throw switchyard::Error(e.what(), parts(e));
  } catch (const std::bad_alloc&) {
    const std::string line = "out of memory";
    throw switchyard::SystemError(line, {.what = line});
  }
}

}  // namespace sw::api
