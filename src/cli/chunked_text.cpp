// SPDX-License-Identifier: MIT
#include "cli/chunked_text.h"

#include "cli/arguments.h"
#include "runtime/limits.h"

namespace sw::cli {

void add_text_flags(CLI::App& command, ChunkedText& text) {
  command
      .add_option("-f,--file", text.file,
                  "the text, its bytes unchanged; sample: the one that comes with the program")
      ->option_text("FILE")
      ->required();
  command.add_option("-c,--ctx-size", text.n_ctx, "tokens per chunk")
      ->transform(whole_number(4, limits::kContextTokens.most))
      ->capture_default_str();
  command.add_option("--chunks", text.n_chunk, "only the first N chunks (default: all)")
      ->transform(whole_number(-1, int64_t{1} << 40));
}

}  // namespace sw::cli
