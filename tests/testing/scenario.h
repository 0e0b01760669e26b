// Scripts of the protocol: what happens to a machine, line by line, and what it does about it.
//
//   # A round closes at its deadline with the quorum.          the rule, in a sentence
//   rules: quorum: 2 sites_to_start: 3 round_seconds_max: 60   text format of the manifest's rounds
//   scheme: asynchrony: "delayed"                              and of its consensus; or not at all
//   > a joins                                                  an event
//       SITE_JOINED a: joined                                  what the machine does about it
//
// A test plays every script of a folder and compares; run with --regenerate it writes what the
// machine does now, to be read in the diff. A last line of what is done is "(nothing)".
#ifndef WEFT_TESTS_TESTING_SCENARIO_H_
#define WEFT_TESTS_TESTING_SCENARIO_H_

#include <functional>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "proto/check.h"

namespace weft::testing {

class Player {
 public:
  virtual ~Player() = default;
  virtual void SetRules(const std::string& text_format) = 0;
  virtual void SetScheme(const std::string&) { WEFT_CHECK(false); }  // where a script has a scheme
  // Plays one event; returns lines. An event that cannot be read is a line that says so.
  virtual std::vector<std::string> Play(const std::string& event) = 0;
};

// An event's sentence, with groups, and what it stands for.
struct Sentence {
  std::string pattern;  // a regular expression that matches the whole sentence
  std::function<std::vector<std::string>(const std::smatch&)> play;
};
std::vector<std::string> PlaySentence(const std::vector<Sentence>& sentences,
                                      const std::string& event);

// One GoogleTest per script of WEFT_SOURCE/tests/scenarios/`folder`; returns what main returns.
int RunScenarios(int argc, char** argv, const std::string& folder,
                 const std::function<std::unique_ptr<Player>()>& make_player);

}  // namespace weft::testing

#endif  // WEFT_TESTS_TESTING_SCENARIO_H_
