// Which schemes a manifest may describe: what goes together, and what is refused with its reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/core/aggregator.h"
#include "google/protobuf/text_format.h"
#include "model/formats/huggingface.h"
#include "ops/manifest.h"
#include "ops/manifest_problems.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

// A run of seven sites under a preset, with fields set or changed.
RunManifest RunOf(const std::string& preset, const std::string& text_format = "") {
  RunManifest run;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "model { vocabulary_size: 256 hidden_size: 16 layer_count: 1 attention_heads: 2 "
      "key_value_heads: 1 head_dimension: 8 intermediate_size: 32 context_length: 64 qk_norm: true "
      "tied_embeddings: true rope_theta: 500000 norm_epsilon: 1e-6 } "
      "rounds { round_count: 40 inner_steps: 20 quorum: 5 sites_to_start: 7 }",
      &run));
  EXPECT_TRUE(ApplyPreset(preset, &run).ok());
  google::protobuf::TextFormat::Parser parser;
  EXPECT_TRUE(parser.MergeFromString(text_format, &run)) << text_format;
  return run;
}

std::string ProblemsOf(const RunManifest& run) {
  Problems problems;
  CheckConsensus(run, &problems);
  return std::string(problems.ToStatus("the scheme").message());
}

TEST(ConsensusCheck, KnobsAreFreeToCombineWhereThatMakesSense) {
  const std::vector<std::pair<std::string, std::string>> allowed = {
      {"proximal", "consensus { outer { momentum: 0.6 nesterov: true learning_rate: 0.7 } }"},
      {"proximal", "consensus { alpha: 0.5 pull_form: 'gradient' combine: 'geometric_median' }"},
      {"proximal", "consensus { fragments: 4 fragment_delay_steps: 5 alpha: 0.5 }"},
      {"proximal", "consensus { outer { name: 'adam' beta2: 0.99 tau: 1e-3 } }"},
      {"fedavg", "consensus { combine: 'trimmed_mean' faulty_max: 2 }"},
      {"fedavg", "consensus { combine: 'krum' faulty_max: 1 }"},
      {"fedavg", "consensus { combine: 'norm_clipped_mean' clip_factor: 2 }"},
      {"diloco", "consensus { fragments: 3 }"},
      {"delayed", "consensus { outer { momentum: 0.9 nesterov: true } pull: 0.2 }"},
      {"elastic", "consensus { pull: 0.1 }"},
      {"fedadam", "consensus { influence { weights: 'tokens' influence_max: 0.3 } }"},
      {"fedavg",
       "consensus { influence { normalize_steps: true validation_samples: 8 "
       "validation_rise_max: 0.1 } }"},
      {"fedavg", "rounds { inner_steps_schedule { rounds: 3 inner_steps: 5 } }"},
      {"admm", "consensus { pull: 0 rho: 3 adapt_rho: true }"},
      {"proximal",
       "consensus { asynchrony: 'delayed' } rounds { late: 'carry' late_staleness_max: 9 }"},
  };
  for (const auto& [preset, fields] : allowed) {
    EXPECT_EQ(ProblemsOf(RunOf(preset, fields)), "") << preset << " with " << fields;
  }
}

TEST(ConsensusCheck, WhatDoesNotGoTogetherIsRefusedWithTheReason) {
  const std::vector<std::vector<std::string>> refused = {
      {"fedprox", "consensus { alpha: 0.5 }", "consensus.preset 'fedprox' means"},
      {"elastic", "consensus { mix_with: 'new' }", "mix_with previous"},
      {"elastic", "consensus { alpha: 1 }", "would undo every round"},
      {"fedadam", "consensus { outer { tau: 0 } }", "consensus.outer.tau"},
      {"fedavg", "consensus { outer { beta2: 0.9 } }", "belong to adam"},
      {"fedadam", "consensus { outer { nesterov: true } }", "needs sgd"},
      {"fedavg", "consensus { pull_form: 'gradient' }", "needs rho or pull"},
      {"fedavg", "consensus { combine: 'trimmed_mean' faulty_max: 3 }",
       "trimmed_mean with faulty_max 3 needs 7 contributions in every round: rounds.quorum is 5"},
      {"fedavg", "consensus { combine: 'krum' }", "consensus.faulty_max is 0"},
      {"fedavg", "consensus { faulty_max: 1 }", "consensus.faulty_max is 1"},
      {"fedavg", "consensus { combine: 'norm_clipped_mean' }", "consensus.clip_factor is 0"},
      {"fedavg", "consensus { combine: 'median' influence { weights: 'tokens' } }",
       "looks at every contribution alike"},
      {"fedavg", "consensus { combine: 'median' } rounds { late: 'carry' }",
       "second one of its site"},
      {"fedavg", "consensus { influence { validation_rise_max: 1 } }", "needs validation_samples"},
      {"delayed", "rounds { late: 'refuse' }", "needs rounds.late carry"},
      {"delayed", "consensus { combine: 'median' }", "a round is of one contribution"},
      {"delayed", "consensus { fragments: 2 }", "different places of their work"},
      {"delayed", "rounds { inner_steps_min: 3 }", "different places of their work"},
      {"elastic_async", "consensus { outer { learning_rate: 0.5 } }",
       "learning_rate equal to alpha"},
      {"elastic_async", "rounds { late_discount: 1 }", "counts as what it is"},
      {"admm", "consensus { alpha: 1 }", "keeps its own vector"},
      {"admm", "consensus { pull: 0 }", "consensus.dual needs rho or pull"},
      {"admm", "consensus { adapt_rho: true }", "and rho (not pull)"},
      {"admm", "consensus { influence { weights: 'tokens' } }", "stays while it is away"},
      {"admm", "rounds { evaluation_seconds_max: 60 }", "stays while it is away"},
      {"admm", "rounds { inner_steps_schedule { rounds: 3 inner_steps: 5 } }", "(give rho)"},
      {"proximal", "consensus { dual: true alpha: 0 }", "it is admm"},
      {"fedavg", "consensus { asynchrony: 'delayed' } rounds { late: 'carry' }", "a barrier"},
      {"elastic_async", "consensus { alpha: 1 outer { learning_rate: 1 } }", "change site and"},
      {"delayed", "rounds { late_staleness_max: 3 }", "7 sites that are as fast make 6 versions"},
      {"fedavg", "consensus { alpha: 0 }", "0 with dual"},
      {"fedavg", "consensus { fragment_delay_steps: 3 }", "0 where the vector travels whole"},
      {"fedavg", "consensus { fragments: 2 fragment_delay_steps: 20 }",
       "less than inner_steps, 20"},
      {"fedavg", "consensus { fragments: 2000 }", "consensus.fragments is 2000; allowed: at most"},
      {"fedavg", "consensus { fragments: 2 } rounds { late: 'carry' }", "is a whole vector"},
      {"fedavg", "rounds { inner_steps_min: 3 inner_steps_schedule { rounds: 1 inner_steps: 5 } }",
       "rounds differ in length"},
  };
  for (const auto& line : refused) {
    EXPECT_THAT(ProblemsOf(RunOf(line[0], line[1])), HasSubstr(line[2]))
        << line[0] << " " << line[1];
  }
}

// Two folders that may not know each other hold the same bounds.
TEST(ConsensusCheck, ARulesFewestContributionsAreThoseOfTheCoordinator) {
  for (const char* name :
       {"mean", "norm_clipped_mean", "trimmed_mean", "median", "krum", "geometric_median"}) {
    const CombinationRule* rule = *FindRule(name);
    for (uint32_t faulty = 1; faulty <= 3; ++faulty) {
      RunManifest run = RunOf("fedavg");
      run.mutable_consensus()->set_combine(name);
      if (rule->bounds_faulty) run.mutable_consensus()->set_faulty_max(faulty);
      if (std::string(name) == "norm_clipped_mean") run.mutable_consensus()->set_clip_factor(2);
      const uint64_t fewest = rule->contributions_min(run.consensus().faulty_max());
      for (uint32_t quorum = 1; quorum <= 10; ++quorum) {
        run.mutable_rounds()->set_quorum(quorum);
        EXPECT_EQ(ProblemsOf(run).empty(), quorum >= fewest)
            << name << " " << faulty << " " << quorum;
      }
    }
  }
}

}  // namespace
}  // namespace weft
