#include "ops/program_end.h"

#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace weft {

std::string DiskAdvice(absl::string_view error, const DiskHelp& help) {
  const auto is = [error](absl::string_view words) { return absl::StrContains(error, words); };
  const std::string again = absl::StrCat(help.check, "then give the same command again.");
  constexpr char kWhole[] = "Nothing that was decided is lost. To do: ";
  if (is("No space left on device") || is("Disk quota exceeded")) {
    return absl::StrCat("\nThe disk is full. ", kWhole, "make room", help.room,
                        ", then give the same command again.");
  }
  if (is("Read-only file system")) {
    return absl::StrCat("\nThe disk cannot be written. ", kWhole,
                        "see why it is read-only (the system's log), mount it writable, ", again);
  }
  if (is("Input/output error")) {
    return absl::StrCat("\nThe disk does not do what it is told. ", kWhole,
                        "see what it reports (the system's log), put the folder on one that is "
                        "well, ",
                        again);
  }
  return "";
}

int EndProgram(absl::string_view program, const absl::Status& status, const DiskHelp& help) {
  if (status.ok()) return 0;
  std::cerr << program << ": " << status.message() << DiskAdvice(status.message(), help) << "\n";
  return 1;
}

}  // namespace weft
