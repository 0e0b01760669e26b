// WEFT_CHECK: what only we can cause stops the program, in release builds too.
#ifndef WEFT_PROTO_CHECK_H_
#define WEFT_PROTO_CHECK_H_

#include <cstdio>
#include <cstdlib>

#define WEFT_CHECK(condition)                                                            \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)

#endif  // WEFT_PROTO_CHECK_H_
