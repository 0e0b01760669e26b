// Plays tests/scenarios/site against the site's machine.
#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/text_format.h"
#include "proto/check.h"
#include "tests/testing/scenario.h"
#include "worker/core/site_machine.h"

namespace weft::site {
namespace {

using Lines = std::vector<std::string>;
using weft::testing::Sentence;

uint64_t Number(absl::string_view digits) {
  uint64_t number = 0;
  WEFT_CHECK(absl::SimpleAtoi(digits, &number));
  return number;
}

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }
std::string Name(const std::string& hex) { return absl::HexStringToBytes(hex); }

// "xa@2": of the contribution with digest xa, from version 2.
void SetOutcome(const std::string& words, bool included, RoundEvent* event) {
  const std::vector<std::string> parts = absl::StrSplit(words, '@');
  ContributionOutcome* outcome = event->mutable_outcome();
  outcome->set_digest(parts[0]);
  outcome->set_base_version(Number(parts[1]));
  outcome->set_round(outcome->base_version());
  outcome->set_counted_in(outcome->base_version());
  outcome->set_included(included);
  if (included) outcome->set_weight(0.25);
  if (!included) outcome->set_reason("its norm is 9");
}

// "OPEN round 3 base b version 2 deadline 60 stored because WORDS": everything but the phase may be
// left out. Where the vector travels in parts, "fragments a,b fragment 1".
RoundEvent EventOf(const std::string& words) {
  RoundEvent event;
  event.mutable_context()->set_run_id("demo");
  event.mutable_context()->set_coordinator_epoch(1);
  event.mutable_context()->set_session_id("s1");
  event.mutable_context()->set_fragment_count(1);
  event.set_round_count(4);
  event.set_inner_steps(10);
  event.set_inner_steps_min(10);
  const size_t because = words.find(" because ");
  if (because != std::string::npos) event.set_reason(words.substr(because + 9));
  const std::string fields = words.substr(0, because);
  const std::vector<std::string> tokens = absl::StrSplit(fields, ' ');
  RoundEvent::Phase phase = RoundEvent::FORMING;
  WEFT_CHECK(RoundEvent::Phase_Parse(tokens[0], &phase));
  event.set_phase(phase);
  for (size_t i = 1; i < tokens.size(); ++i) {
    const std::string& key = tokens[i];
    if (key == "stored") {
      event.set_contribution_stored(true);
      continue;
    }
    WEFT_CHECK(i + 1 < tokens.size());
    const std::string& value = tokens[++i];
    if (key == "base") {
      event.set_base_digest(value);
      continue;
    }
    if (key == "run") {
      event.mutable_context()->set_run_id(value);
      continue;
    }
    if (key == "included" || key == "excluded") {
      SetOutcome(value, key == "included", &event);
      continue;
    }
    if (key == "fragments") {
      const std::vector<std::string> parts = absl::StrSplit(value, ',');
      for (const std::string& part : parts) event.add_fragments()->set_digest(part);
      event.mutable_context()->set_fragment_count(static_cast<uint32_t>(parts.size()));
      continue;
    }
    const uint64_t number = Number(value);
    if (key == "round") event.set_round(number);
    if (key == "version") event.mutable_context()->set_base_version(number);
    if (key == "epoch") event.mutable_context()->set_coordinator_epoch(number);
    if (key == "reopened") event.set_reopened(number);
    if (key == "deadline") event.set_deadline_unix_ms(static_cast<int64_t>(number) * 1000);
    if (key == "cut") event.set_cut_unix_ms(static_cast<int64_t>(number) * 1000);
    if (key == "enough") event.set_inner_steps_min(static_cast<uint32_t>(number));
    if (key == "fragment") event.mutable_context()->set_fragment(static_cast<uint32_t>(number));
    if (key == "rho") event.set_rho(static_cast<double>(number));
    if (key == "late") event.set_late_staleness_max(static_cast<uint32_t>(number));
  }
  return event;
}

Refusal RefusalOf(const std::string& code, const std::string& reason) {
  Refusal refusal;
  Refusal::Code number = Refusal::NONE;
  WEFT_CHECK(Refusal::Code_Parse(code, &number));
  refusal.set_code(number);
  refusal.set_reason(reason);
  return refusal;
}

Operation OperationOf(const std::string& name) {
  for (const Operation operation : {Operation::kJoin, Operation::kWatch, Operation::kPull,
                                    Operation::kPush, Operation::kReport, Operation::kLeave}) {
    if (OperationName(operation) == name) return operation;
  }
  WEFT_CHECK(false);
}

class SitePlayer : public weft::testing::Player {
 public:
  SitePlayer() : machine_(Fresh(), SiteLimits{}) {}
  // Of the scheme; everything else is in the events.
  void SetRules(const std::string& text_format) override {
    RunManifest manifest;
    WEFT_CHECK(
        google::protobuf::TextFormat::ParseFromString(text_format, manifest.mutable_consensus()));
    scheme_ = SchemeOf(manifest);
    machine_ = SiteMachine(Fresh(), SiteLimits{}, scheme_);
  }
  Lines Play(const std::string& event) override {
    return weft::testing::PlaySentence(Sentences(), event);
  }

 private:
  static GateState Fresh() {
    GateState state;
    state.set_version(1);
    state.set_run_id("demo");
    state.set_site("north");
    state.set_coordinator_epoch(1);
    return state;
  }
  Lines Step(const SiteEvent& event) {
    const GateState::Stage before = machine_.state().stage();
    Lines lines;
    for (const SiteEffect& effect : machine_.Step(event)) {
      lines.push_back(std::visit([](const auto& e) { return Words(e); }, effect));
    }
    const GateState& state = machine_.state();
    if (state.stage() != before) {
      std::string words = absl::StrCat("is ", GateState::Stage_Name(state.stage()));
      if (state.stage() == GateState::DONE) absl::StrAppend(&words, ": ", state.outcome());
      lines.push_back(std::move(words));
    }
    return lines;
  }

  std::vector<Sentence> Sentences() {
    std::vector<Sentence> sentences = WorkSentences();
    for (Sentence& sentence : RunSentences()) sentences.push_back(std::move(sentence));
    return sentences;
  }

  // Of a round's work: its base, the worker's result, the contribution.
  std::vector<Sentence> WorkSentences() {
    return {
        {R"(the base (\w+) is here)",
         [this](const std::smatch& m) {
           return Step(BaseFetched{Hex(m[1]), ""});
         }},
        {R"(the fragments are here, (\w+) among them, and are assembled: (\w+))",
         [this](const std::smatch& m) {
           return Step(BaseFetched{Hex(m[1]), Hex(m[2])});
         }},
        {R"(the worker has a result of order (\d+), base (\w+), (\d+) steps)",
         [this](const std::smatch& m) {
           RoundResult result;
           result.set_round(Number(m[1].str()));
           result.set_base_digest(Hex(m[2]));
           result.set_vector_digest(Hex(absl::StrCat("x", m[1].str())));
           result.set_inner_steps(static_cast<uint32_t>(Number(m[3].str())));
           return Step(ResultSeen{result});
         }},
        {R"(the result is unusable: (.*))",
         [this](const std::smatch& m) { return Step(ResultUnusable{m[1]}); }},
        {R"(contribution (\w+) is formed)",
         [this](const std::smatch& m) {
           return Step(ContributionFormed{Hex(m[1]), 64, "", ""});
         }},
        {R"(contribution (\w+) is formed, if it counts the residual is (\w+))",
         [this](const std::smatch& m) {
           return Step(ContributionFormed{Hex(m[1]), 64, Hex(m[2]), ""});
         }},
        {R"(contribution (\w+) is formed, if it counts (\w+) is what was sent)",
         [this](const std::smatch& m) {
           return Step(ContributionFormed{Hex(m[1]), 64, "", Hex(m[2])});
         }},
        {R"(the dual for base (\w+) is (\w+), the anchor (\w+))",
         [this](const std::smatch& m) {
           return Step(DualReady{Hex(m[1]), Hex(m[2]), Hex(m[3])});
         }},
        {R"(the dual for base (\w+) is zeros)",
         [this](const std::smatch& m) {
           return Step(DualReady{Hex(m[1]), "", ""});
         }},
        {R"(contribution (\w+) is stored)",
         [this](const std::smatch& m) { return Step(ContributionStored{Hex(m[1])}); }},
        {R"(it has reported)", [this](const std::smatch&) { return Step(Reported{}); }},
    };
  }

  // Of the run around it: starts and ends, the coordinator's word, what goes wrong, time.
  std::vector<Sentence> RunSentences() {
    return {
        {R"(the gate starts)", [this](const std::smatch&) { return Step(Started{}); }},
        {R"(it has joined: (.*))",
         [this](const std::smatch& m) {
           const RoundEvent now = EventOf(m[1]);
           return Step(Joined{now.context(), now});
         }},
        {R"(the coordinator says (.*))",
         [this](const std::smatch& m) { return Step(RoundChanged{EventOf(m[1])}); }},
        {R"(the (\w+) is refused: (\w+), (.*))",
         [this](const std::smatch& m) {
           return Step(Refused{OperationOf(m[1]), RefusalOf(m[2], m[3])});
         }},
        {R"(the (\w+) fails: (.*))",
         [this](const std::smatch& m) {
           return Step(OperationFailed{OperationOf(m[1]), m[2]});
         }},
        {R"(the connection is lost: (.*))",
         [this](const std::smatch& m) { return Step(ConnectionLost{m[1]}); }},
        {R"(the worker is gone: (.*))",
         [this](const std::smatch& m) { return Step(WorkerGone{m[1]}); }},
        {R"((\d+) s)",
         [this](const std::smatch& m) {
           return Step(TimeAdvanced{static_cast<int64_t>(Number(m[1].str())) * 1000});
         }},
        {R"(the gate is killed and starts again)",
         [this](const std::smatch&) {
           GateState read;
           WEFT_CHECK(read.ParseFromString(machine_.state().SerializeAsString()));
           machine_ = SiteMachine(read, SiteLimits{}, scheme_);
           return Step(Started{});
         }},
    };
  }

  template <typename T>
  static std::string Words(const T&) {
    return "does what no script here has a word for yet: give it one";
  }
  static std::string Words(const JoinRun&) { return "joins the run"; }
  static std::string Words(const FetchBase& e) {
    if (!e.round.fragments().empty())
      return absl::StrCat("fetches all ", e.round.fragments_size(), " fragments");
    return absl::StrCat("fetches the base ", e.round.base_digest(), e.delta ? " by its delta" : "");
  }
  static std::string Words(const PrepareDual& e) {
    std::string words = absl::StrCat("prepares the dual for base ", e.round.base_digest(), ": ",
                                     e.dual.empty() ? "zeros" : Name(e.dual));
    if (!e.vector.empty()) absl::StrAppend(&words, " takes a step with vector ", Name(e.vector));
    if (e.scale != 1) absl::StrAppend(&words, ", scaled by ", e.scale);
    return words;
  }
  static std::string Words(const WriteOrder& e) {
    return absl::StrCat("orders work ", WorkOf(e.round), " from base ", e.round.base_digest(), ": ",
                        e.round.inner_steps(), " steps");
  }
  static std::string Words(const CutOrder& e) {
    return absl::StrCat("tells the worker that time is up: ", e.round.inner_steps_min(),
                        " steps are enough");
  }
  static std::string Words(const FormContribution& e) {
    std::string words =
        absl::StrCat("forms the contribution to round ", e.round.round(), ": ",
                     e.result.inner_steps(), " steps from base ", Name(e.result.base_digest()));
    for (const auto& [what, digest] :
         {std::pair{", residual ", e.residual}, std::pair{", dual ", e.dual},
          std::pair{", since sent ", e.sent}}) {
      if (!digest.empty()) absl::StrAppend(&words, what, Name(digest));
    }
    if (!e.formed.empty())
      absl::StrAppend(&words, ", or signs ", Name(e.formed), " if it is whole");
    return words;
  }
  static std::string Words(const PushContribution& e) {
    return absl::StrCat("pushes the contribution to round ", e.round.round());
  }
  static std::string Words(const DiscardResult& e) {
    return absl::StrCat("forgets the result of order ", e.work);
  }
  static std::string Words(const SendReport& e) {
    return absl::StrCat("reports round ", e.round.round());
  }
  static std::string Words(const CleanUp& e) {
    std::string words = absl::StrCat("removes what is of work before ", e.round);
    for (const std::string& digest : e.keep_own)
      absl::StrAppend(&words, digest == e.keep_own.front() ? ", keeps " : " ", Name(digest));
    return words;
  }
  static std::string Words(const RecordFinal& e) {
    return absl::StrCat("records the final consensus",
                        e.round.fragments().empty() ? "" : " " + Name(e.digest));
  }
  static std::string Words(const StopWorker& e) { return "stops the worker: " + e.reason; }
  static std::string Words(const LeaveRun& e) { return "leaves: " + e.reason; }
  static std::string Words(const Warn& e) { return "warns: " + e.words; }
  static std::string Words(const Note& e) { return "notes: " + e.words; }
  static std::string Words(const Finish&) { return "ends well"; }
  static std::string Words(const Fail& e) { return "ENDS: " + e.reason; }

  SiteScheme scheme_;
  SiteMachine machine_;
};

}  // namespace
}  // namespace weft::site

int main(int argc, char** argv) {
  return weft::testing::RunScenarios(argc, argv, "site",
                                     [] { return std::make_unique<weft::site::SitePlayer>(); });
}
