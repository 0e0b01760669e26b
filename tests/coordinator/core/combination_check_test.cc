#include "coordinator/core/combination_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace weft {
namespace {

struct Case {
  std::string combine;
  std::function<void(ConsensusScheme*, RoundRules*)> change;
  std::string refused;  // part of the reason; empty: it is taken
};

absl::Status Check(const Case& c) {
  ConsensusScheme scheme;
  scheme.set_combine(c.combine);
  scheme.mutable_outer()->set_name("sgd");
  scheme.mutable_outer()->set_learning_rate(1);
  if (c.combine == "krum" || c.combine == "trimmed_mean") scheme.set_faulty_max(1);
  if (c.combine == "norm_clipped_mean") scheme.set_clip_factor(2);
  RoundRules rules;
  rules.set_quorum(5);
  if (c.change) c.change(&scheme, &rules);
  return CheckCombination(scheme, rules);
}

void ExpectAsSaid(const Case& c) {
  const absl::Status status = Check(c);
  if (c.refused.empty()) {
    EXPECT_TRUE(status.ok()) << c.combine << ": " << status;
  } else {
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << c.combine << ": " << c.refused;
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(c.refused)) << c.combine;
  }
}

TEST(CombinationCheckTest, EveryRuleIsTakenWithWhatItNeeds) {
  for (const char* combine :
       {"mean", "norm_clipped_mean", "trimmed_mean", "median", "krum", "geometric_median"}) {
    ExpectAsSaid({combine, nullptr, ""});
  }
  ExpectAsSaid({"mode", nullptr, "mean, norm_clipped_mean, trimmed_mean, median, krum"});
}

TEST(CombinationCheckTest, TooFewSitesAreRefused) {
  const auto quorum = [](uint32_t sites, uint32_t faulty = 0) {
    return [=](ConsensusScheme* scheme, RoundRules* rules) {
      rules->set_quorum(sites);
      if (faulty > 0) scheme->set_faulty_max(faulty);
    };
  };
  ExpectAsSaid({"trimmed_mean", quorum(4, 2), "needs 5"});
  ExpectAsSaid({"trimmed_mean", quorum(5, 2), ""});
  ExpectAsSaid({"krum", quorum(6, 2), "needs 7"});
  ExpectAsSaid({"krum", quorum(7, 2), ""});
  ExpectAsSaid({"krum", quorum(7, 0xffffffff), "needs 8589934593"});
  ExpectAsSaid({"median", quorum(2), "needs 3"});
  ExpectAsSaid({"geometric_median", quorum(2), "needs 3"});
  ExpectAsSaid({"norm_clipped_mean", quorum(2), "needs 3"});
  ExpectAsSaid({"mean", quorum(1), ""});
}

TEST(CombinationCheckTest, WhatIgnoresWeightsTakesNone) {
  const auto tokens = [](ConsensusScheme* scheme, RoundRules*) {
    scheme->mutable_influence()->set_weights("tokens");
  };
  const auto cap = [](ConsensusScheme* scheme, RoundRules*) {
    scheme->mutable_influence()->set_influence_max(0.3);
  };
  const auto carry = [](ConsensusScheme*, RoundRules* rules) { rules->set_late("carry"); };
  for (const char* combine : {"trimmed_mean", "median", "krum", "geometric_median"}) {
    ExpectAsSaid({combine, tokens, "weights is tokens"});
    ExpectAsSaid({combine, cap, "influence_max is set"});
    ExpectAsSaid({combine, carry, "rounds.late is carry"});
  }
  for (const char* combine : {"mean", "norm_clipped_mean"}) {
    ExpectAsSaid({combine, tokens, ""});
    ExpectAsSaid({combine, cap, ""});
    ExpectAsSaid({combine, carry, ""});
  }
}

TEST(CombinationCheckTest, AFieldThatWouldDoNothingIsRefused) {
  const auto faulty = [](uint32_t count) {
    return [=](ConsensusScheme* scheme, RoundRules*) { scheme->set_faulty_max(count); };
  };
  const auto clip = [](double factor) {
    return [=](ConsensusScheme* scheme, RoundRules*) { scheme->set_clip_factor(factor); };
  };
  ExpectAsSaid({"median", faulty(1), "faulty_max is set"});
  ExpectAsSaid({"krum", faulty(0), "faulty_max is missing"});
  ExpectAsSaid({"mean", clip(2), "clip_factor is set"});
  ExpectAsSaid({"norm_clipped_mean", clip(0), "clip_factor"});
  ExpectAsSaid({"norm_clipped_mean", clip(-1), "clip_factor"});
}

TEST(CombinationCheckTest, InfluenceIsInRange) {
  const auto set = [](const std::function<void(Influence*)>& change) {
    return [=](ConsensusScheme* scheme, RoundRules*) { change(scheme->mutable_influence()); };
  };
  ExpectAsSaid({"mean", set([](Influence* i) { i->set_weights("size"); }), "equal or tokens"});
  ExpectAsSaid({"mean", set([](Influence* i) { i->set_influence_max(1.5); }), "influence_max"});
  ExpectAsSaid(
      {"mean", set([](Influence* i) { i->set_validation_rise_max(-1); }), "validation_rise_max"});
  ExpectAsSaid(
      {"mean", set([](Influence* i) { i->set_validation_rise_max(0.1); }), "validation_samples"});
}

TEST(CombinationCheckTest, WithoutABarrierOnlyTheMeanOfOne) {
  const auto with = [](const std::string& kind,
                       const std::function<void(ConsensusScheme*, RoundRules*)>& change) {
    return [=](ConsensusScheme* scheme, RoundRules* rules) {
      scheme->set_asynchrony(kind);
      rules->set_late("carry");
      if (change) change(scheme, rules);
    };
  };
  const auto momentum = [](ConsensusScheme* scheme, RoundRules*) {
    scheme->mutable_outer()->set_momentum(0.9);
  };
  ExpectAsSaid({"mean", with("delayed", momentum), ""});
  ExpectAsSaid({"mean", with("elastic", nullptr), ""});
  ExpectAsSaid({"mean", with("elastic", momentum), "sgd without momentum"});
  ExpectAsSaid({"mean", with("eventual", nullptr), "delayed or elastic"});
  ExpectAsSaid({"norm_clipped_mean", with("delayed", nullptr), "needs combine mean"});
  ExpectAsSaid(
      {"mean", with("delayed", [](auto* scheme, auto*) { scheme->set_dual(true); }), "exclude"});
  ExpectAsSaid(
      {"mean",
       with("delayed",
            [](auto* scheme, auto*) { scheme->mutable_influence()->set_normalize_steps(true); }),
       "normalize_steps"});
  ExpectAsSaid({"mean", with("delayed", [](auto*, auto* rules) { rules->set_norm_factor_max(3); }),
                "norm_factor_max"});
  ExpectAsSaid(
      {"mean", with("delayed", [](auto*, auto* rules) { rules->clear_late(); }), "rounds.late"});
}

TEST(CombinationCheckTest, ADualNeedsThePlainSum) {
  const auto dual = [](const std::function<void(ConsensusScheme*)>& change) {
    return [=](ConsensusScheme* scheme, RoundRules*) {
      scheme->set_dual(true);
      if (change) change(scheme);
    };
  };
  ExpectAsSaid({"mean", dual(nullptr), ""});
  ExpectAsSaid({"norm_clipped_mean", dual(nullptr), "needs combine mean"});
  ExpectAsSaid({"mean", dual([](auto* scheme) { scheme->mutable_outer()->set_learning_rate(0.7); }),
                "learning_rate 1"});
  ExpectAsSaid({"mean", dual([](auto* scheme) { scheme->mutable_outer()->set_momentum(0.9); }),
                "no momentum"});
  ExpectAsSaid({"mean",
                dual([](auto* scheme) { scheme->mutable_influence()->set_weights("tokens"); }),
                "membership's"});
}

}  // namespace
}  // namespace weft
