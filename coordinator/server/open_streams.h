// The streams that are open now: told of every change and every tick, counted by site, and so that
// a peer that reads or writes too slowly is cut off.
//
// Thread-safe. A stream removes itself before it is destroyed, so that whoever walks the list finds
// it alive.
#ifndef WEFT_COORDINATOR_SERVER_OPEN_STREAMS_H_
#define WEFT_COORDINATOR_SERVER_OPEN_STREAMS_H_

#include <algorithm>
#include <functional>
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
  bool Add(OpenStream* stream, const std::string& site) { return AddWatch(stream, site, "", {}); }
  void Remove(OpenStream* stream) { RemoveWatch(stream, {}); }

  // A watch belongs to a session. `opened` is called when it is there, `last_closed` when no watch
  // of its session is left: both before another watch can be added or removed, so that of a watch
  // that takes over from an older one the opening is never told before the older one's end.
  bool AddWatch(OpenStream* stream, const std::string& site, const std::string& session,
                const std::function<void()>& opened) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto same = std::count_if(streams_.begin(), streams_.end(),
                                    [&](const auto& entry) { return entry.second.site == site; });
    if (same >= kStreamsPerSiteMax) return false;
    streams_.emplace(stream, Owner{site, session});
    if (opened) opened();
    return true;
  }
  void RemoveWatch(OpenStream* stream, const std::function<void()>& last_closed) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto removed = streams_.extract(stream);
    if (removed.empty() || !last_closed) return;
    const Owner& owner = removed.mapped();
    const bool others = std::any_of(streams_.begin(), streams_.end(), [&](const auto& entry) {
      return entry.second.site == owner.site && entry.second.session == owner.session;
    });
    if (!others) last_closed();
  }
  template <typename Visit>
  void ForEach(Visit visit) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [stream, owner] : streams_) visit(stream);
  }

 private:
  struct Owner {
    std::string site;
    std::string session;  // of a watch; empty for other streams
  };
  std::mutex mutex_;
  std::map<OpenStream*, Owner> streams_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_SERVER_OPEN_STREAMS_H_
