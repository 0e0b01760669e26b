// One outer step on a simulated disk, a block at a time, with the real aggregator, outer optimizer
// and codec: what coordinator/server/outer_step.cc does with files. Between two blocks, and between
// two of the files that it leaves, the coordinator may crash; then another run begins anew.
//
//   OuterStepRun run(scenario, mutation, &disk, step);
//   while (!run.StepBlock()) ...
//   while (!*run.CommitNext()) ...
//   run.result();
//
// Belongs to one thread.
#ifndef WEFT_TESTS_SIMULATION_OUTER_STEP_RUN_H_
#define WEFT_TESTS_SIMULATION_OUTER_STEP_RUN_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/aggregator.h"
#include "coordinator/core/outer_optimizer.h"
#include "coordinator/core/round_machine.h"
#include "tests/simulation/mutation.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/simulated_disk.h"
#include "tests/simulation/vectors.h"

namespace weft::simulation {

std::string VectorFile(const std::string& digest);
std::string ContributionFile(uint64_t round, const std::string& digest);

class OuterStepRun {
 public:
  OuterStepRun(const Scenario& scenario, const Mutation& mutation, SimulatedDisk* disk,
               RunOuterStep step);

  uint64_t round() const { return step_.record.round(); }
  // False when the disk failed.
  bool Open();
  // True when no block is left.
  bool StepBlock();
  // Writes the next of the results. True when all are durable; no value: the disk failed.
  std::optional<bool> CommitNext();
  OuterStepDone result() const { return {round(), result_, {}, StepNorm()}; }
  // Why the numbers cannot be a consensus; empty: they can.
  const std::string& problem() const { return problem_; }

 private:
  struct Output {
    std::string blob;
    std::string* digest;
  };
  bool ReadState(const std::string& digest, Vector* state, float initial = 0);
  bool ReadContribution(const StoredContribution& stored);
  double StepNorm() const;
  bool MakeRule();
  void Encode(std::vector<Output>* outputs);

  const Scenario& scenario_;
  const Mutation& mutation_;
  SimulatedDisk* disk_;
  RunOuterStep step_;
  const Part part_;
  const uint64_t elements_;
  std::unique_ptr<Aggregator> aggregator_;
  std::unique_ptr<OuterUpdate> update_;
  Vector z_, residual_, next_;
  std::vector<Vector> state_;  // of the outer optimizer
  std::vector<Vector> x_;
  uint64_t begin_ = 0;
  bool encoded_ = false;
  std::vector<Output> outputs_;
  ConsensusVersion result_;
  std::string problem_;
};

}  // namespace weft::simulation

#endif  // WEFT_TESTS_SIMULATION_OUTER_STEP_RUN_H_
