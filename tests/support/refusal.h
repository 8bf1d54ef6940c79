// SPDX-License-Identifier: MIT
#pragma once
#include <gtest/gtest.h>
#include <string>

#include "base/error.h"

namespace sw::testing {

/// The line of the sw::Error that f() throws. The test fails where it throws none.
template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

/// f() throws an sw::Error whose line contains `part`.
template <class F>
void expect_refused(F&& f, const std::string& part) {
  const std::string line = refusal(f);
  EXPECT_NE(line.find(part), line.npos) << "\"" << line << "\" lacks \"" << part << "\"";
}

}  // namespace sw::testing
