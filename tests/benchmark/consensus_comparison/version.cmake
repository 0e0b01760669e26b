# Writes OUT, which says what `git describe` says of SOURCE; only where that has changed.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty OUTPUT_VARIABLE version
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT version)
  set(version unknown)
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "// What code this is.
#ifndef WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_VERSION_H_
#define WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_VERSION_H_
namespace weft::comparison {
inline constexpr char kVersion[] = \"${version}\";
}
#endif
")
