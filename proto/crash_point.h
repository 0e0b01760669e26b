// Where a test makes a program die, as by kill -9: right before and after every durable write and
// effect. Programs call CrashPoint at these places; a test starts one with WEFT_CRASH_AT=1, 2, 3,
// ... and so visits every boundary there is, instead of drawing instants. In production the
// variable is not set, and the call does nothing.
//
//   CrashPoint("before the commit");
//   absl::Status status = store_->Commit(...);
//   CrashPoint("after the commit");
//
// Thread-safe.
#ifndef WEFT_PROTO_CRASH_POINT_H_
#define WEFT_PROTO_CRASH_POINT_H_

namespace weft {

// The WEFT_CRASH_AT-th call ends the process at once with code 137, and says `where` on standard
// error.
void CrashPoint(const char* where);

}  // namespace weft

#endif  // WEFT_PROTO_CRASH_POINT_H_
