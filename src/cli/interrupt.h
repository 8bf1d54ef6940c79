// SPDX-License-Identifier: MIT
#pragma once

namespace sw::cli {

/// From now on the first Ctrl-C asks the running generation to end, the second ends the program (130).
void catch_interrupt();
/// True once after each Ctrl-C.
bool interrupted();

}  // namespace sw::cli
