// A whole federation in one process, made of the production parts: the coordinator's round machine
// with its effects performed (admission, the outer step over folders of blobs), and for each site
// the site machine with its effects performed (bases by their encoded change, contributions as the
// gate forms them, with its residuals and duals). What is left out: processes, TLS, signatures,
// chunks, RocksDB, crashes.
//
//   FederationOptions options{.manifest = manifest, .layout = layout, .initial = std::move(z)};
//   options.sites.push_back({.name = "alba", .solver = std::make_unique<TrainerSolver>(...)});
//   absl::StatusOr<FederationResult> result = RunFederation(std::move(options));
//
// Time is simulated: a site needs what `seconds` says for an order, so who comes first is a matter
// of that function and not of this machine. Orders are really done by `threads` at once; the result
// depends neither on their number nor on how fast they are.
#ifndef WEFT_TESTS_TESTING_IN_PROCESS_FEDERATION_H_
#define WEFT_TESTS_TESTING_IN_PROCESS_FEDERATION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/core/round_state.pb.h"
#include "model/parameters/parameter_layout.h"
#include "model/parameters/parameter_vector.h"
#include "tests/testing/local_solver.h"

namespace weft::testing {

struct FederationSite {
  std::string name;   // [a-z0-9-]
  double weight = 0;  // in the membership
  std::unique_ptr<LocalSolver> solver;
};

struct FederationOptions {
  // Its model and tokenizer matter to the solvers alone; its initial_consensus is set here.
  RunManifest manifest;
  ParameterLayout layout;
  ParameterVector initial;
  std::vector<FederationSite> sites;  // in order of their names
  int threads = 1;
  // Simulated seconds that the site needs for the whole order; infinity: it never does it, as a
  // site that is away. Nothing: a second a step.
  std::function<double(size_t site, const RoundOrder& order)> seconds;
  // After each round that gave a consensus, with that consensus.
  std::function<void(const RoundRecord& round, absl::Span<const float> consensus)> on_round;
};

struct SiteTotals {
  std::string name;
  ParameterVector vector;  // the site's own, as its last order left it
  uint64_t rounds = 0;     // contributions of its that are part of a consensus
  uint64_t inner_steps = 0;
  uint64_t token_count = 0;
  uint64_t bytes_up = 0;    // encoded vectors
  uint64_t bytes_down = 0;  // encoded vectors; without the initial one, which every run has
  double last_loss = 0;
};

struct FederationResult {
  ParameterVector consensus;
  std::vector<RoundRecord> rounds;
  std::vector<SiteTotals> sites;
  double simulated_seconds = 0;
};

// Until all rounds are done. The first error of a site, of the coordinator or of a solver ends it;
// so does a federation in which nothing happens any more.
absl::StatusOr<FederationResult> RunFederation(FederationOptions options);

}  // namespace weft::testing

#endif  // WEFT_TESTS_TESTING_IN_PROCESS_FEDERATION_H_
