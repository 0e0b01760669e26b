// Federations of convex problems, as a few lines of a test.
#ifndef WEFT_TESTS_TESTING_QUADRATIC_FEDERATION_H_
#define WEFT_TESTS_TESTING_QUADRATIC_FEDERATION_H_

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/testing/in_process_federation.h"
#include "tests/testing/quadratic_solver.h"

namespace weft::testing {

// Three sites that want different things, and bend differently.
inline std::vector<Quadratic> UnevenProblems() {
  return {{{1.0, 4.0, 0.5, 2.0}, {3.0, -1.0, 0.0, 1.0}},
          {{2.0, 0.5, 1.0, 1.0}, {-2.0, 2.0, 1.0, 4.0}},
          {{0.25, 1.0, 3.0, 0.5}, {1.0, 5.0, -3.0, -6.0}}};
}

inline RunManifest QuadraticManifest(size_t sites, uint32_t rounds, uint32_t inner_steps,
                                     double learning_rate) {
  RunManifest manifest;
  manifest.set_protocol_version(1);
  manifest.set_run_id("quadratic");
  manifest.set_seed(1);
  ConsensusScheme* scheme = manifest.mutable_consensus();
  scheme->set_preset("fedavg");
  scheme->set_alpha(1);
  scheme->set_combine("mean");
  scheme->mutable_outer()->set_name("sgd");
  scheme->mutable_outer()->set_learning_rate(1);
  RoundRules* rules = manifest.mutable_rounds();
  rules->set_round_count(rounds);
  rules->set_inner_steps(inner_steps);
  rules->set_quorum(static_cast<uint32_t>(sites));
  rules->set_sites_to_start(static_cast<uint32_t>(sites));
  rules->set_round_seconds_max(1000);
  rules->set_publish_every(rounds);
  manifest.mutable_training()->set_learning_rate(learning_rate);
  manifest.mutable_training()->set_batch_size(1);
  manifest.mutable_training()->set_sequence_length(1);
  manifest.mutable_encodings()->set_up("parameters_fp32");
  manifest.mutable_encodings()->set_down("parameters_fp32");
  return manifest;
}

// From zeros.
inline FederationOptions QuadraticFederation(const std::vector<Quadratic>& problems,
                                             const RunManifest& manifest) {
  FederationOptions options;
  options.manifest = manifest;
  const size_t elements = problems.front().optimum.size();
  options.layout = *ParameterLayout::Create({{"w", {static_cast<int64_t>(elements)}}});
  options.initial = ParameterVector(elements);
  for (size_t k = 0; k < problems.size(); ++k) {
    options.sites.push_back({.name = absl::StrCat("site-", k),
                             .solver = std::make_unique<QuadraticSolver>(problems[k])});
  }
  return options;
}

inline FederationResult MustRun(FederationOptions options) {
  absl::StatusOr<FederationResult> result = RunFederation(std::move(options));
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", std::string(result.status().message()).c_str());
  }
  WEFT_CHECK(result.ok());
  return *std::move(result);
}

template <typename Vector>
double Distance(const Vector& a, const std::vector<double>& b) {
  double squares = 0;
  for (size_t i = 0; i < b.size(); ++i) squares += (a.data()[i] - b[i]) * (a.data()[i] - b[i]);
  return std::sqrt(squares);
}

}  // namespace weft::testing

#endif  // WEFT_TESTS_TESTING_QUADRATIC_FEDERATION_H_
