// SPDX-License-Identifier: MIT
#pragma once

namespace sw::cli {

/// What Ctrl-C does while the one before has not been acted on yet.
enum class SecondInterrupt { EndsProgram, IsTheFirst };

/// From now on the first Ctrl-C says "(stopping ...)" and asks the running generation to end; the second ends
/// the program (130), or asks the same again.
void catch_interrupt(SecondInterrupt second);
/// Ends the program as Ctrl-C does one that does not catch it: a shell's loop ends with it, and $? is 130.
[[noreturn]] void end_by_interrupt();
/// True once after each Ctrl-C.
bool interrupted();
/// Whether interrupted() will be true.
bool interrupt_pending();

}  // namespace sw::cli
