// The wires between the sites and the coordinator. A call's messages are lost, delayed, doubled and
// overtake each other; a site may be cut off. A stream (of round events) keeps its order, as HTTP/2
// does: where a message of it would be lost, the stream breaks, and both ends learn of it late.
//
//   network.Send(site, [=] { coordinator->Receive(...); });
//
// Belongs to one thread.
#ifndef WEFT_TESTS_SIMULATION_SIMULATED_NETWORK_H_
#define WEFT_TESTS_SIMULATION_SIMULATED_NETWORK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "tests/simulation/faults.h"
#include "tests/simulation/random.h"
#include "tests/simulation/scheduler.h"

namespace weft::simulation {

class SimulatedNetwork {
 public:
  SimulatedNetwork(Scheduler* scheduler, Faults* faults, uint64_t seed, int sites,
                   int64_t delay_ms_max)
      : scheduler_(scheduler),
        faults_(faults),
        random_(seed),
        delay_ms_max_(delay_ms_max),
        cut_until_ms_(static_cast<size_t>(sites), 0) {}

  // Between this site and the coordinator, either way.
  void Send(int site, std::function<void()> deliver);
  // Of an ordered stream. False: the stream is broken; nothing of it will arrive any more.
  bool SendInOrder(int site, uint64_t stream, std::function<void()> deliver);
  // For good: what is under way does not arrive, and a late request opens it no more.
  void Close(uint64_t stream) { streams_[stream].broken = true; }

  void CutOff(int site, int64_t for_ms);
  void HealAll();

 private:
  bool IsCut(int site) const {
    return scheduler_->now_ms() < cut_until_ms_[static_cast<size_t>(site)];
  }
  int64_t Delay();
  void Deliver(int site, int64_t after_ms, std::function<void()> deliver);

  Scheduler* scheduler_;
  Faults* faults_;
  Random random_;
  int64_t delay_ms_max_;
  std::vector<int64_t> cut_until_ms_;
  struct Stream {
    int64_t newest_ms = 0;
    bool broken = false;
  };
  std::map<uint64_t, Stream> streams_;
};

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_SIMULATED_NETWORK_H_
