// SPDX-License-Identifier: MIT
#pragma once
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "formats/json.h"
#include "jinja/template.h"
#include "support/test_data.h"

/// What tests/tools/make_chat_cases.py wrote to tests/data/chat.
namespace sw::testing {

inline std::filesystem::path chat_data() { return source_dir() / "tests" / "data" / "chat"; }

inline jinja::Template::Json read_json(const std::filesystem::path& path) {
  return parse_ordered_json(read_file(path), path.string());
}

/// The clock as the script has it.
inline void set_script_clock() { setenv("SOURCE_DATE_EPOCH", "1767225600", 1); }

/// The text, or nothing where it is refused; `why` then says so.
inline std::optional<std::string> render_or_refuse(const std::string& source,
                                                   const jinja::Template::Json& variables, std::string& why) {
  try {
    return jinja::Template(source).render(variables);
  } catch (const Error& e) {
    why = e.what();
    return {};
  }
}

}  // namespace sw::testing
