// What a site takes of the consensus into its own vector, when it takes it, and what its steps are
// pulled to. The same w <- w + alpha (z - w) in all schemes (alpha 1 assigns); they differ in which
// z, and when:
//
//   plain             the order's base, when the order begins
//   mix_with previous the base of the order *before*, when the next one begins: both sides of EASGD
//                     (Zhang et al. 2015, synchronous) use the old values
//   dual              alpha 0: nothing; the pull goes to the order's anchor z - u (ADMM)
//   overlap           fragments > 1 or a delay: those fragments whose digest is another one than
//                     that taken last, after `fragment_delay_steps` steps of the order (Streaming
//                     DiLoCo, Douillard et al. 2025). Until then the steps are those of the order
//                     before: its base, its strength of the pull.
//
// The first base is assigned, whole, in each of them. Thread-compatible.
//
//   BaseMixer mixer(element_count);
//   bool taken = mixer.Begin(order, std::move(bases), w);     // else, after each step:
//   taken = mixer.TakeWhenDue(steps_done, w);
//   step.rho = mixer.rho(), step.base = mixer.target();
#ifndef WEFT_WORKER_TRAINING_BASE_MIXER_H_
#define WEFT_WORKER_TRAINING_BASE_MIXER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "model/parameters/parameter_vector.h"
#include "proto/site.pb.h"

namespace weft {

// The vectors that an order names by digest.
struct Bases {
  ParameterVector base;  // the whole vector; empty with fragments
  // With fragments: one entry for each, of its range's elements. Those that the site has taken
  // already (BaseMixer::Wanted) may be empty.
  std::vector<ParameterVector> fragments;
  ParameterVector anchor;  // where order.anchor_digest names one
};

// Whether what a round brings is taken in parts, or while the next round is trained.
bool IsOverlapped(const ConsensusScheme& scheme);

class BaseMixer {
 public:
  explicit BaseMixer(uint64_t element_count) : element_count_(element_count) {}

  // Which fragments (0: the whole vector) an order's `bases` must hold. All before the first order.
  std::vector<uint32_t> Wanted(const RoundOrder& order) const;
  // Whether `bases` holds what is wanted, of the right lengths.
  bool Holds(const RoundOrder& order, const Bases& bases) const;

  // Begins an order, of which `steps_done` steps were done before it was there. `w` is the site
  // vector. True: what it brings is taken. Requires Holds(order, bases).
  bool Begin(const RoundOrder& order, Bases bases, uint32_t steps_done, absl::Span<float> w);
  // Takes what waits, when so many steps of the order are done. True: it did.
  bool TakeWhenDue(uint32_t steps_done, absl::Span<float> w);
  // What the order brings is in w.
  bool taken() const { return taken_; }

  // Of the pull of the next step.
  double rho() const { return rho_; }
  // What it goes to; null without a pull, or when it was not given to Resume.
  const float* target() const;

  // For the checkpoint: what Resume needs besides the order. `kept` is empty where the bases can be
  // read again.
  absl::Span<const float> kept() const;
  const std::vector<std::string>& taken_digests() const { return taken_digests_; }
  // Goes on in an order that was begun, where the state says. `bases` are the order's, or empty
  // when no step of it will be done.
  void Resume(const RoundOrder& order, Bases bases, ParameterVector kept,
              std::vector<std::string> taken_digests, double rho, bool taken);

 private:
  void Take(double alpha, absl::Span<float> w);
  bool KeepsZ() const;

  uint64_t element_count_;
  RoundOrder order_;
  // The newest consensus that was taken, where a later step or order needs it; else empty.
  ParameterVector z_;
  ParameterVector anchor_;
  std::vector<std::string> taken_digests_;  // of each fragment; empty before the first order
  std::vector<ParameterVector> waiting_;    // fragments that are to be taken
  double rho_ = 0;
  bool taken_ = false;
};

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_BASE_MIXER_H_
