// Plays tests/scenarios/coordinator against the round machine.
#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/round_machine.h"
#include "coordinator/core/round_view.h"
#include "google/protobuf/text_format.h"
#include "proto/check.h"
#include "tests/testing/scenario.h"

namespace weft {
namespace {

using Lines = std::vector<std::string>;
using testing::Sentence;

uint64_t Number(const std::string& digits) {
  uint64_t number = 0;
  WEFT_CHECK(absl::SimpleAtoi(digits, &number));
  return number;
}

std::string Digest(uint64_t version) { return absl::StrCat("v", version); }

std::string Weights(const RoundRecord& record) {
  if (record.contributions().empty()) return "nothing";
  return absl::StrJoin(record.contributions(), ", ", [](std::string* out, const auto& c) {
    absl::StrAppend(out, c.site(), " ", c.weight());
    if (c.staleness() > 0) absl::StrAppend(out, " (staleness ", c.staleness(), ")");
  });
}

class RoundPlayer : public testing::Player {
 public:
  RoundPlayer() {
    WEFT_CHECK(google::protobuf::TextFormat::ParseFromString(
        "protocol_version: 1 run_id: 'demo' rounds { round_count: 4 inner_steps: 10 quorum: 2 "
        "sites_to_start: 3 round_seconds_max: 60 publish_every: 100 }",
        &manifest_));
    membership_.set_run_id("demo");
    membership_.set_version(1);
    for (const char* name : {"a", "b", "c", "d"}) membership_.add_sites()->set_name(name);
    Start();
  }
  void SetRules(const std::string& text_format) override {
    RoundRules rules;
    WEFT_CHECK(google::protobuf::TextFormat::ParseFromString(text_format, &rules));
    manifest_.mutable_rounds()->MergeFrom(rules);
    Start();
  }
  void SetScheme(const std::string& text_format) override {
    WEFT_CHECK(
        google::protobuf::TextFormat::ParseFromString(text_format, manifest_.mutable_consensus()));
    Start();
  }
  Lines Play(const std::string& event) override {
    std::vector<Sentence> sentences = OfSites();
    for (Sentence& sentence : OfTheCoordinator()) sentences.push_back(std::move(sentence));
    return testing::PlaySentence(sentences, event);
  }

 private:
  void Start() {
    ConsensusVersion initial;
    initial.set_digest(Digest(0));
    std::vector<ConsensusVersion> fragments(manifest_.consensus().fragments());
    for (size_t f = 0; f < fragments.size(); ++f) {
      fragments[f].set_digest(absl::StrCat(Digest(0), "f", f));
    }
    machine_ = std::make_unique<RoundMachine>(
        manifest_, RoundMachine::InitialState(manifest_, membership_, initial, fragments));
  }
  const RoundState& state() const { return machine_->state(); }
  Lines Step(const Event& event) {
    Lines lines;
    for (const Effect& effect : machine_->Step(event)) {
      // Of no meaning for a rule.
      if (std::holds_alternative<SaveSoon>(effect)) continue;
      lines.push_back(std::visit([this](const auto& e) { return Words(e); }, effect));
    }
    // Every watcher is told what is there in the end.
    const std::string tells = Words(Announce{});
    if (std::count(lines.begin(), lines.end(), tells) > 0) {
      lines.erase(std::remove(lines.begin(), lines.end(), tells), lines.end());
      lines.push_back(tells);
    }
    return lines;
  }
  std::string Session(const std::string& site) const {
    for (const SiteState& known : state().sites()) {
      if (known.name() == site) return known.session();
    }
    return "none";
  }

  std::vector<Sentence> OfSites() {
    return {
        {R"((\w+) joins)",
         [this](const std::smatch& m) {
           Lines lines = Step(SiteJoined{m[1], absl::StrCat(m[1].str(), "-", ++sessions_)});
           for (std::string& line : Step(SiteResumed{m[1], Session(m[1])})) {
             lines.push_back(std::move(line));
           }
           return lines;
         }},
        {R"((\w+(?:, \w+)+) join)",
         [this](const std::smatch& m) {
           Lines last;  // the others' are in the first script
           const std::string names = m[1];
           for (const absl::string_view name : absl::StrSplit(names, ", ")) {
             last = Play(absl::StrCat(name, " joins"));
           }
           return last;
         }},
        {R"((\w+) comes back)",
         [this](const std::smatch& m) {
           return Step(SiteResumed{m[1], Session(m[1])});
         }},
        {R"((\w+) is lost)",
         [this](const std::smatch& m) {
           return Step(SiteLost{m[1], Session(m[1])});
         }},
        {R"((\w+) leaves: (.*))",
         [this](const std::smatch& m) {
           return Step(SiteLeft{m[1], Session(m[1]), m[2]});
         }},
        {R"((\w+) leaves in session ([\w-]+): (.*))",
         [this](const std::smatch& m) {
           return Step(SiteLeft{m[1], m[2], m[3]});
         }},
        {R"((\w+) is revoked)", [this](const std::smatch& m) { return Revoke(m[1]); }},
        {R"((\w+) contributes (\w+) to round (\d+)(?:, base (\d+))?(?:, norm (\d+))?(?:, (\d+) steps)?(?:, loss (\d) to (\d))?)",
         [this](const std::smatch& m) { return Contribute(m); }},
        {R"((\w+) reports round (\d+))",
         [this](const std::smatch& m) {
           RoundReport report;
           report.set_round(Number(m[2]));
           return Step(ReportReceived{m[1], report});
         }},
    };
  }
  std::vector<Sentence> OfTheCoordinator() {
    return {
        {R"((\d+) s)",
         [this](const std::smatch& m) {
           return Step(TimeAdvanced{static_cast<int64_t>(Number(m[1])) * 1000});
         }},
        {R"(the outer step is done)",
         [this](const std::smatch&) {
           ConsensusVersion next;
           next.set_version(state().consensus().version() + 1);
           next.set_digest(Digest(next.version()));
           if (state().fragments_size() > 0) {
             next.mutable_digest()->append(absl::StrCat("f", state().current().fragment()));
           }
           return Step(OuterStepDone{state().current().round(), next, {}, /*step_norm=*/1});
         }},
        {R"(what is (\w+) told\?)",
         [this](const std::smatch& m) {
           return Told(RoundEventFor(manifest_, state(), m[1].str(), ""));
         }},
        {R"(the outer step fails: (.*))",
         [this](const std::smatch& m) {
           return Step(OuterStepFailed{state().current().round(), m[1]});
         }},
        {R"(version (\d+) is (accepted|refused): (.*))",
         [this](const std::smatch& m) {
           return Step(EvaluationDone{Number(m[1]), m[2] == "accepted", m[3]});
         }},
        {R"(version (\d+) is published)",
         [this](const std::smatch& m) { return Step(ReleasePublished{Number(m[1])}); }},
        {R"(the operator pauses: (.*))",
         [this](const std::smatch& m) { return Step(OperatorPaused{m[1]}); }},
        {R"(the operator resumes: (.*))",
         [this](const std::smatch& m) { return Step(OperatorResumed{m[1]}); }},
        {R"(the coordinator is killed and starts again)",
         [this](const std::smatch&) {
           RoundState read;
           WEFT_CHECK(read.ParseFromString(state().SerializeAsString()));
           machine_ = std::make_unique<RoundMachine>(manifest_, read);
           return Step(CoordinatorStarted{read.now_unix_ms()});
         }},
    };
  }
  static Lines Told(const RoundEvent& event) {
    Lines lines = {absl::StrCat(
        RoundEvent::Phase_Name(event.phase()), ", round ", event.round(), ": ", event.inner_steps(),
        " steps from step ", event.first_step(), ", base ", event.base_digest(), " as version ",
        event.context().base_version(), event.rho() > 0 ? absl::StrCat(", rho ", event.rho()) : "",
        event.contribution_stored() ? "; nothing is wanted of it" : "")};
    if (event.fragments_size() > 0) {
      lines.push_back(absl::StrCat(
          "fragment ", event.context().fragment(), " of ",
          absl::StrJoin(event.fragments(), ", ", [](std::string* out, const FragmentVersion& f) {
            absl::StrAppend(out, f.digest());
          })));
    }
    if (event.has_outcome()) {
      const ContributionOutcome& outcome = event.outcome();
      lines.push_back(absl::StrCat(
          "its contribution ", outcome.digest(), " ",
          outcome.included()
              ? absl::StrCat("counted ", outcome.weight(), " in round ", outcome.counted_in())
              : absl::StrCat("was left out: ", outcome.reason())));
    }
    return lines;
  }
  Lines Contribute(const std::smatch& m) {
    StoredContribution contribution;
    contribution.set_site(m[1]);
    contribution.set_digest(m[2]);
    const ConsensusVersion base = BaseOf(manifest_, state(), m[1].str());
    contribution.set_base_version(m[4].matched ? Number(m[4]) : base.version());
    contribution.set_base_digest(m[4].matched ? Digest(contribution.base_version())
                                              : base.digest());
    contribution.set_update_norm(m[5].matched ? static_cast<double>(Number(m[5])) : 1);
    contribution.set_inner_steps(m[6].matched ? static_cast<uint32_t>(Number(m[6])) : 10);
    if (m[7].matched) {
      contribution.set_validation_before(static_cast<double>(Number(m[7])));
      contribution.set_validation_after(static_cast<double>(Number(m[8])));
    }
    contribution.set_token_count(100 * contribution.inner_steps());
    contribution.set_bytes(64);
    return Step(ContributionArrived{Number(m[3]), contribution, "signed"});
  }
  Lines Revoke(const std::string& site) {
    membership_.set_version(membership_.version() + 1);
    for (MemberSite& member : *membership_.mutable_sites()) {
      if (member.name() == site) member.set_revoked(true);
    }
    return Step(MembershipChanged{membership_});
  }

  std::string Words(const Record& e) const {
    const Decision& d = e.decision;
    return absl::StrCat(Decision::Code_Name(d.code()), d.site().empty() ? "" : " ", d.site(), ": ",
                        d.reason());
  }
  std::string Words(const KeepReceipt& e) const {
    return absl::StrCat("keeps the receipt of ", e.receipt.site(), " for base version ",
                        e.receipt.base_version());
  }
  std::string Words(const KeepReport& e) const {
    return absl::StrCat("keeps the report of ", e.report.site());
  }
  std::string Words(const KeepRound& e) const {
    return absl::StrCat("keeps the record of round ", e.record.round(), ": ", Weights(e.record));
  }
  std::string Words(const Accept&) const { return "answers: done"; }
  std::string Words(const Refuse& e) const {
    return absl::StrCat("answers: refused, ", Refusal::Code_Name(e.refusal.code()));
  }
  std::string Words(const Announce&) const {
    std::string words = absl::StrCat("tells every site: ", RoundEvent::Phase_Name(state().phase()),
                                     ", round ", state().current().round());
    if (state().deadline_unix_ms() != 0 && state().phase() == RoundEvent::OPEN) {
      absl::StrAppend(&words, ", until ", state().deadline_unix_ms() / 1000, " s");
    }
    return words;
  }
  std::string Words(const SaveSoon&) const { return "saves soon"; }
  std::string Words(const RunOuterStep& e) const {
    return absl::StrCat("runs the outer step of round ", e.record.round(), ": ", Weights(e.record),
                        " on version ", e.base.version());
  }
  std::string Words(const Evaluate& e) const {
    return absl::StrCat("asks for the evaluation of version ", e.candidate.version());
  }
  std::string Words(const PublishRelease& e) const {
    return absl::StrCat("publishes version ", e.version, " (", e.digest,
                        absl::StrJoin(e.fragment_digests, ", "), ")");
  }
  std::string Words(const RemoveUnneeded&) const { return "removes what is not needed any more"; }

  RunManifest manifest_;
  Membership membership_;
  std::unique_ptr<RoundMachine> machine_;
  int sessions_ = 0;
};

}  // namespace
}  // namespace weft

int main(int argc, char** argv) {
  return weft::testing::RunScenarios(argc, argv, "coordinator",
                                     [] { return std::make_unique<weft::RoundPlayer>(); });
}
