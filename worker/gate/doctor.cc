#include "worker/gate/doctor.h"

#include <chrono>
#include <future>
#include <thread>

#include "absl/strings/str_cat.h"

namespace weft {
namespace {

struct Check {
  const char* name;
  Finding (*run)(const DoctorOptions&, DoctorFacts*);
};

constexpr Check kChecks[] = {
    {"kit", CheckKit},
    {"manifest", CheckAcceptedManifest},
    {"site directory", CheckSiteDirectory},
    {"disk space", CheckDiskSpace},
    {"tokenizer", CheckTokenizer},
    {"memory", CheckMemory},
    {"proxy", CheckProxy},
    {"name", CheckName},
    {"tcp", CheckTcp},
    {"tls", CheckTls},
    {"membership", CheckMembership},
    {"clock", CheckClock},
    {"bandwidth", CheckBandwidth},
};

// The thread of a check that hangs is left behind with its own copy of everything.
Finding RunBounded(const Check& check, const DoctorOptions& options, DoctorFacts* facts) {
  using Outcome = std::pair<Finding, DoctorFacts>;
  auto promise = std::make_shared<std::promise<Outcome>>();
  std::future<Outcome> future = promise->get_future();
  std::thread([promise, run = check.run, options, own = *facts]() mutable {
    Finding finding = run(options, &own);
    promise->set_value({std::move(finding), std::move(own)});
  }).detach();
  if (future.wait_for(std::chrono::duration<double>(options.check_seconds)) !=
      std::future_status::ready) {
    return Failed(absl::StrCat("no end within ", options.check_seconds, " s"),
                  "Something that this check uses hangs (a file system, a name server, a "
                  "firewall that drops packets); --check-seconds gives it longer");
  }
  Outcome outcome = future.get();
  *facts = std::move(outcome.second);
  return std::move(outcome.first);
}

}  // namespace

absl::string_view ResultName(Finding::Result result) {
  switch (result) {
    case Finding::Result::kOk:
      return "ok";
    case Finding::Result::kWarning:
      return "warning";
    case Finding::Result::kFailed:
      return "FAILED";
    case Finding::Result::kSkipped:
      return "skipped";
  }
  return "unknown";
}

bool RunDoctor(const DoctorOptions& options, const std::function<void(const CheckReport&)>& each) {
  DoctorFacts facts;
  bool good = true;
  for (const Check& check : kChecks) {
    const auto began = std::chrono::steady_clock::now();
    CheckReport report{check.name, RunBounded(check, options, &facts), 0};
    report.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    good = good && report.finding.result != Finding::Result::kFailed;
    each(report);
  }
  return good;
}

}  // namespace weft
