#include "coordinator/core/admission.h"

#include <gtest/gtest.h>

#include <cmath>

#include "coordinator/core/round_machine.h"

namespace weft {
namespace {

struct Case {
  const char* name;
  void (*change)(Contribution*);
  Refusal::Code code;
};

class AdmissionTest : public ::testing::Test {
 protected:
  AdmissionTest() {
    manifest_.set_protocol_version(1);
    manifest_.set_run_id("demo");
    manifest_.mutable_rounds()->set_inner_steps(10);
    manifest_.mutable_training()->set_batch_size(4);
    manifest_.mutable_training()->set_sequence_length(8);
    state_.set_coordinator_epoch(2);
    state_.set_phase(RoundEvent::OPEN);
    state_.mutable_consensus()->set_version(3);
    state_.mutable_consensus()->set_digest(std::string(32, 'b'));
    state_.mutable_current()->set_round(3);
    state_.mutable_current()->add_cohort("a");
    auto* member = state_.mutable_membership()->add_sites();
    member->set_name("a");
    member = state_.mutable_membership()->add_sites();
    member->set_name("r");
    member->set_revoked(true);
    member->set_revocation_reason("key lost");
    auto* site = state_.add_sites();
    site->set_name("a");
    site->set_session("new");

    shape_.layout.fill(7);
    shape_.encoding = "delta_bf16";
    shape_.blob_bytes = {328};

    MessageContext* context = good_.mutable_context();
    context->set_protocol_version(1);
    context->set_run_id("demo");
    context->set_coordinator_epoch(2);
    context->set_base_version(3);
    context->set_fragment_count(1);
    good_.set_site("a");
    good_.set_round(3);
    good_.set_base_digest(std::string(32, 'b'));
    good_.set_layout_digest(ToBytes(shape_.layout));
    good_.set_encoding("delta_bf16");
    good_.set_blob_digest(std::string(32, 'd'));
    good_.set_blob_bytes(328);
    good_.set_inner_steps(10);
    good_.set_token_count(320);
  }
  Refusal Check(const Contribution& c) {
    return CheckContribution(manifest_, state_, shape_, "a", c);
  }

  RunManifest manifest_;
  RoundState state_;
  ContributionShape shape_;
  Contribution good_;
};

TEST_F(AdmissionTest, TakesWhatFits) { EXPECT_EQ(Check(good_).code(), Refusal::NONE); }

TEST_F(AdmissionTest, RefusesEachFieldThatDoesNotFitWithItsCode) {
  const Case cases[] = {
      {"protocol", [](Contribution* c) { c->mutable_context()->set_protocol_version(2); },
       Refusal::PROTOCOL_VERSION},
      {"run", [](Contribution* c) { c->mutable_context()->set_run_id("other"); },
       Refusal::WRONG_RUN},
      {"epoch", [](Contribution* c) { c->mutable_context()->set_coordinator_epoch(3); },
       Refusal::OLD_EPOCH},
      {"site", [](Contribution* c) { c->set_site("b"); }, Refusal::BAD_SIGNATURE},
      {"fragment", [](Contribution* c) { c->mutable_context()->set_fragment(1); },
       Refusal::MALFORMED},
      {"fragments", [](Contribution* c) { c->mutable_context()->set_fragment_count(2); },
       Refusal::MALFORMED},
      {"round", [](Contribution* c) { c->set_round(2); }, Refusal::WRONG_ROUND},
      {"base version", [](Contribution* c) { c->mutable_context()->set_base_version(2); },
       Refusal::WRONG_ROUND},
      {"base", [](Contribution* c) { c->set_base_digest(std::string(32, 'x')); },
       Refusal::WRONG_ROUND},
      {"layout", [](Contribution* c) { c->set_layout_digest("short"); }, Refusal::WRONG_LAYOUT},
      {"encoding", [](Contribution* c) { c->set_encoding("parameters_fp32"); },
       Refusal::WRONG_ENCODING},
      {"long", [](Contribution* c) { c->set_blob_bytes(329); }, Refusal::WRONG_LENGTH},
      {"short", [](Contribution* c) { c->set_blob_bytes(0); }, Refusal::WRONG_LENGTH},
      {"digest", [](Contribution* c) { c->set_blob_digest("no"); }, Refusal::MALFORMED},
      {"steps", [](Contribution* c) { c->set_inner_steps(9); }, Refusal::TOO_FEW_STEPS},
      {"more steps", [](Contribution* c) { c->set_inner_steps(11); }, Refusal::MALFORMED},
      {"more tokens", [](Contribution* c) { c->set_token_count(321); }, Refusal::MALFORMED},
      {"residual", [](Contribution* c) { c->set_primal_residual(-1); }, Refusal::NOT_FINITE},
      {"loss", [](Contribution* c) { c->set_validation_after(NAN); }, Refusal::NOT_FINITE},
  };
  for (const Case& c : cases) {
    Contribution contribution = good_;
    c.change(&contribution);
    const Refusal refusal = Check(contribution);
    EXPECT_EQ(refusal.code(), c.code) << c.name << ": " << refusal.reason();
    EXPECT_FALSE(refusal.reason().empty()) << c.name;
  }
}

TEST_F(AdmissionTest, ALateOneMayBeOfTheLongestRoundOfTheSchedule) {
  InnerStepsPhase* phase = manifest_.mutable_rounds()->add_inner_steps_schedule();
  phase->set_rounds(1);
  phase->set_inner_steps(30);
  manifest_.mutable_rounds()->set_late("carry");
  manifest_.mutable_rounds()->set_late_staleness_max(2);
  state_.set_rounds_done(1);
  auto* older = state_.add_older();
  older->set_version(2);
  older->set_digest(std::string(32, 'o'));
  good_.set_round(2);
  good_.mutable_context()->set_base_version(2);
  good_.set_base_digest(std::string(32, 'o'));
  good_.set_inner_steps(30);
  EXPECT_EQ(Check(good_).code(), Refusal::NONE) << Check(good_).reason();
  good_.set_inner_steps(31);
  EXPECT_EQ(Check(good_).code(), Refusal::MALFORMED);
}

TEST_F(AdmissionTest, RefusesByThePhaseOfTheRun) {
  state_.set_phase(RoundEvent::AGGREGATING);
  EXPECT_EQ(Check(good_).code(), Refusal::WRONG_ROUND);
  state_.set_phase(RoundEvent::FINISHED);
  EXPECT_EQ(Check(good_).code(), Refusal::RUN_ENDED);
  state_.set_phase(RoundEvent::HALTED);
  EXPECT_EQ(Check(good_).code(), Refusal::HALTED);
}

TEST_F(AdmissionTest, RefusesWhoIsNotInTheCohort) {
  state_.mutable_current()->clear_cohort();
  EXPECT_EQ(Check(good_).code(), Refusal::NOT_IN_COHORT);
}

TEST_F(AdmissionTest, MembersAreKnownUnrevokedAndHoldTheirKey) {
  EXPECT_EQ(CheckMember(state_, "a", true).code(), Refusal::NONE);
  EXPECT_EQ(CheckMember(state_, "a", false).code(), Refusal::WRONG_KEY);
  EXPECT_EQ(CheckMember(state_, "x", true).code(), Refusal::NOT_A_MEMBER);
  const Refusal revoked = CheckMember(state_, "r", true);
  EXPECT_EQ(revoked.code(), Refusal::REVOKED);
  EXPECT_EQ(revoked.reason(), "r was revoked: key lost");
}

// Without a barrier each site goes on from what its last contribution met; but not at the end.
TEST_F(AdmissionTest, AnElasticSiteEndsWithTheFinalConsensus) {
  manifest_.mutable_consensus()->set_asynchrony("elastic");
  ConsensusVersion* met = state_.add_older();
  met->set_version(1);
  met->set_digest(std::string(32, 'm'));
  auto* known = state_.add_outcomes();
  known->set_site("a");
  known->mutable_outcome()->set_included(true);
  known->mutable_outcome()->set_base_counted(1);
  EXPECT_EQ(BaseOf(manifest_, state_, "a").digest(), std::string(32, 'm'));
  EXPECT_EQ(BaseOf(manifest_, state_, "a").version(), 2u);
  state_.set_phase(RoundEvent::FINISHED);
  EXPECT_EQ(BaseOf(manifest_, state_, "a").digest(), std::string(32, 'b'));
  EXPECT_EQ(BaseOf(manifest_, state_, "a").version(), 3u);
}

TEST_F(AdmissionTest, OnlyTheNewestSessionIsServed) {
  EXPECT_EQ(CheckSession(state_, "a", "new").code(), Refusal::NONE);
  EXPECT_EQ(CheckSession(state_, "a", "old").code(), Refusal::SESSION_REPLACED);
  EXPECT_EQ(CheckSession(state_, "b", "new").code(), Refusal::SESSION_REPLACED);
}

}  // namespace
}  // namespace weft
