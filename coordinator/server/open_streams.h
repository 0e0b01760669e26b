// The streams that are open now: told of every change and every tick, counted by site, and so that
// a peer that reads or writes too slowly is cut off.
//
// Thread-safe. A stream removes itself before it is destroyed, so that whoever walks the list finds
// it alive.
#ifndef WEFT_COORDINATOR_SERVER_OPEN_STREAMS_H_
#define WEFT_COORDINATOR_SERVER_OPEN_STREAMS_H_

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "absl/time/time.h"

namespace weft {

// A stream that has not moved for so long is ended; its peer may come again.
inline constexpr absl::Duration kStreamIdleMax = absl::Seconds(60);
inline constexpr int kStreamsPerSiteMax = 16;

class OpenStream {
 public:
  virtual ~OpenStream() = default;
  virtual void OnChange() {}
  virtual void OnTick(absl::Time now) = 0;
};

class OpenStreams {
 public:
  // False: the site has too many.
  bool Add(OpenStream* stream, const std::string& site) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto same = std::count_if(streams_.begin(), streams_.end(),
                                    [&](const auto& entry) { return entry.second == site; });
    if (same >= kStreamsPerSiteMax) return false;
    streams_.emplace(stream, site);
    return true;
  }
  void Remove(OpenStream* stream) {
    const std::lock_guard<std::mutex> lock(mutex_);
    streams_.erase(stream);
  }
  template <typename Visit>
  void ForEach(Visit visit) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [stream, site] : streams_) visit(stream);
  }

 private:
  std::mutex mutex_;
  std::map<OpenStream*, std::string> streams_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_OPEN_STREAMS_H_
