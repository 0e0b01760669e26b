// How a program's main ends: with what went wrong in one line on standard error, with what to do
// where it is the disk's doing, and with the exit status.
//
//   return weft::EndProgram("weft-gate", action());
#ifndef WEFT_OPS_PROGRAM_END_H_
#define WEFT_OPS_PROGRAM_END_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace weft {

// What a program can say more than that room, or a disk that is well, is needed.
struct DiskHelp {
  std::string room;   // ", which ... says", after "make room"
  std::string check;  // "run ..., ", before the command is given again
};

// 0 for OK, else 1.
int EndProgram(absl::string_view program, const absl::Status& status, const DiskHelp& help = {});

// Of an error that came from a disk, what to do about it, in a line of its own; empty for others.
std::string DiskAdvice(absl::string_view error, const DiskHelp& help);

}  // namespace weft

#endif  // WEFT_OPS_PROGRAM_END_H_
