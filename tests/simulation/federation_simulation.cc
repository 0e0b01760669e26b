// Runs federations from seeds and checks them at every step. See README.md.
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "tests/simulation/federation.h"

namespace weft::simulation {
namespace {

struct Options {
  uint64_t first = 1;
  uint64_t seeds = 1;
  std::string mutate;
  bool list = false;
  bool trace = false;
};

std::string ReplayLine(uint64_t seed, const std::string& mutation) {
  return absl::StrCat("replay: federation_simulation --first ", seed, " --seeds 1 --trace",
                      mutation.empty() ? "" : " --mutate ", mutation);
}

// A CHECK of the machines ends the program: the seed has to be said all the same.
char g_replay[200];
void SayReplay(int) {
  std::fputs(g_replay, stderr);
  std::_Exit(1);
}

int Run(const Options& options) {
  const Mutation none;
  const Mutation* mutation = options.mutate.empty() ? &none : FindMutation(options.mutate);
  if (mutation == nullptr) {
    std::fprintf(stderr, "no mutation \"%s\": --list-mutations names them\n",
                 options.mutate.c_str());
    return 2;
  }
  std::signal(SIGABRT, SayReplay);
  uint64_t federations = 0, rounds = 0, sites = 0;
  FaultCounts faults{};
  bool held = true;
  for (uint64_t seed = options.first; held && seed < options.first + options.seeds; ++seed) {
    const std::string replay = ReplayLine(seed, options.mutate);
    std::snprintf(g_replay, sizeof g_replay,
                  "seed %llu: checker machine_check: a CHECK failed; %s\n",
                  static_cast<unsigned long long>(seed), replay.c_str());
    const FederationResult result = RunFederation(seed, *mutation, options.trace);
    ++federations;
    rounds += result.rounds;
    sites += result.sites;
    for (size_t k = 0; k < kFaultKinds; ++k) faults[k] += result.faults[k];
    if (result.violation.checker.empty()) continue;
    held = false;
    std::printf("seed %llu: checker %s: %s; %s\n", static_cast<unsigned long long>(seed),
                result.violation.checker.c_str(), result.violation.words.c_str(), replay.c_str());
    if (!options.mutate.empty()) {
      std::printf("mutation %s is caught by %s\n", options.mutate.c_str(),
                  result.violation.checker.c_str());
    }
  }
  if (held && !options.mutate.empty()) {
    std::printf("mutation %s is NOT caught\n", options.mutate.c_str());
  }
  std::string line =
      absl::StrCat(federations, " federations, ", sites, " sites, ", rounds, " rounds; faults:");
  for (size_t k = 0; k < kFaultKinds; ++k) {
    absl::StrAppend(&line, " ", FaultName(static_cast<Fault>(k)), " ", faults[k]);
  }
  std::printf("%s\n", line.c_str());
  return held ? 0 : 1;
}

void List() {
  for (const Mutation& mutation : Mutations()) {
    std::printf("%-22s %-17s %s\n", mutation.name.c_str(), mutation.caught_by.c_str(),
                mutation.what.c_str());
  }
}

}  // namespace
}  // namespace weft::simulation

int main(int argc, char** argv) {
  weft::simulation::Options options;
  CLI::App app(
      "Simulates whole federations with faults, one a seed, and checks every step.\n"
      "Example: federation_simulation --first 1 --seeds 500");
  app.add_option("--first", options.first, "the first seed");
  app.add_option("--seeds", options.seeds, "how many seeds")->check(CLI::PositiveNumber);
  app.add_option("--mutate", options.mutate, "break the machines on purpose in this way");
  app.add_flag("--list-mutations", options.list, "name, checker that catches it, what is broken");
  app.add_flag("--trace", options.trace, "print what happens");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (options.list) {
    weft::simulation::List();
    return 0;
  }
  return weft::simulation::Run(options);
}
