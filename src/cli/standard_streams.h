// SPDX-License-Identifier: MIT
#pragma once

namespace sw::cli {

/// Opens /dev/null in the place of a standard stream that the program was started without (`>&-`, a daemon):
/// or the next file that is opened, a model or an output, would be that stream. To be called first.
void open_closed_streams();

constexpr const char* kOutputFailed = "cannot write the results to standard output";
/// Writes what is still buffered for standard output. Throws sw::SystemError where that, or a write before,
/// failed (disk full).
void check_output();

}  // namespace sw::cli
