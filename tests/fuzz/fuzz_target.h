// What a fuzz target is: one function that is given bytes an attacker may have written, parses
// them, and checks what must hold of the result. It is run in two ways:
//
//   fuzz preset   libFuzzer with sanitizers makes inputs that reach new code; corpora are folders:
//                 build/fuzz/bin/questions_fuzz -max_total_time=60 tests/fuzz/corpus/questions
//   ctest         mutation_driver.cc gives it its corpus and 20,000 mutations, with any compiler
#ifndef WEFT_TESTS_FUZZ_FUZZ_TARGET_H_
#define WEFT_TESTS_FUZZ_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>

// Returns 0. The name and the signature are libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

#endif  // WEFT_TESTS_FUZZ_FUZZ_TARGET_H_
