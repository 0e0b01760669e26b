// A member that means harm: it holds a valid key and session, keeps to no protocol, and pushes
// whatever might count wrongly: another base, another contribution for the same base, values that
// are not finite or far away, an epoch to come, another's name, other bytes than it signed.
// Sometimes it does its duty, so that it has something stored. Belongs to one thread.
#ifndef WEFT_TESTS_SIMULATION_HOSTILE_SITE_H_
#define WEFT_TESTS_SIMULATION_HOSTILE_SITE_H_

#include <string>

#include "tests/simulation/world.h"

namespace weft::simulation {

class HostileSite final : public SiteEnd {
 public:
  HostileSite(World* world, int site) : world_(world), number_(site), name_(SiteName(site)) {}

  void Start();
  void ReceiveEvent(uint64_t stream, const RoundEvent& event) override;
  void ConnectionReset() override { stream_ = 0; }

 private:
  void Act();
  void Join();
  void Push();
  // An act of harm done to an honest contribution.
  void Spoil(PushCall* call);
  void SetVector(PushCall* call, const Vector& x, const PlainConsensus& base);
  void Send(Call call, std::function<void(const Answer&)> then);

  World* const world_;
  const int number_;
  const std::string name_;
  MessageContext context_;
  bool joined_ = false;
  uint64_t stream_ = 0;
  RoundEvent now_;
};

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_HOSTILE_SITE_H_
