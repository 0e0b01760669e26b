#include "tests/testing/in_process_federation.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/testing/in_process_coordinator.h"
#include "tests/testing/in_process_site.h"

namespace weft::testing {
namespace {

constexpr int64_t kTickMs = 1000;
// Happenings with which no round ends and no order is done: far beyond what a round is made of.
constexpr int kIdleMax = 20'000;

// Vectors are synced and renamed as in production; in memory that costs nothing.
class WorkFolder {
 public:
  WorkFolder() {
    const std::filesystem::path memory = "/dev/shm";
    std::error_code error;
    const bool usable = std::filesystem::is_directory(memory, error) && !error;
    const std::filesystem::path parent =
        usable ? memory : std::filesystem::temp_directory_path(error);
    std::string pattern = (parent / "weft-federation-XXXXXX").string();
    if (mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~WorkFolder() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove_all(path_, error);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  const std::string& path() const { return path_; }  // empty: there is none

 private:
  std::string path_;
};

absl::Status CheckOptions(const FederationOptions& options) {
  const auto refused = [](absl::string_view words) { return absl::InvalidArgumentError(words); };
  if (options.sites.empty()) return refused("a federation needs a site");
  if (options.threads < 1) return refused("threads: 1 or more");
  if (options.initial.size() != options.layout.element_count()) {
    return refused("the initial vector is not of the layout");
  }
  for (size_t k = 0; k < options.sites.size(); ++k) {
    if (options.sites[k].solver == nullptr) return refused("every site needs a solver");
    if (k > 0 && options.sites[k - 1].name >= options.sites[k].name) {
      return refused("sites are given in the order of their names, each once");
    }
  }
  return absl::OkStatus();
}

// Of the initial vector as parameters_fp32, which every site knows from its manifest.
absl::StatusOr<Digest> InitialDigest(const FederationOptions& options, const std::string& folder) {
  const absl::StatusOr<BlobDirectory> blobs = BlobDirectory::Open(folder);
  if (!blobs.ok()) return blobs.status();
  const VectorHeader header{.element_count = options.layout.element_count(),
                            .layout = options.layout.digest()};
  return WriteVector(*blobs, header, options.initial.span(), {});
}

class Federation {
 public:
  explicit Federation(FederationOptions options)
      : options_(std::move(options)), threads_(options_.threads) {}

  absl::StatusOr<FederationResult> Run() {
    if (absl::Status status = Create(); !status.ok()) return status;
    for (const auto& site : sites_) site->Start();
    uint64_t done_before = 0;
    int idle = 0;
    while (!Finished()) {
      if (absl::Status status = Failure(); !status.ok()) return status;
      if (!scheduler_.RunNext()) scheduler_.After(kTickMs, [this] { coordinator_->Tick(); });
      const uint64_t done = WorkDone();
      idle = done == done_before ? idle + 1 : 0;
      done_before = done;
      if (idle > kIdleMax) {
        return absl::DeadlineExceededError(
            absl::StrCat("nothing comes of it any more; the coordinator says: ",
                         coordinator_->state().reason()));
      }
    }
    return Result();
  }

 private:
  absl::Status Create() {
    if (absl::Status status = CheckOptions(options_); !status.ok()) return status;
    if (folder_.path().empty()) return absl::InternalError("no temporary folder can be made");
    const absl::StatusOr<Digest> initial = InitialDigest(options_, folder_.path() + "/initial");
    if (!initial.ok()) return initial.status();
    options_.manifest.set_initial_consensus(ToHex(*initial));
    auto coordinator =
        InProcessCoordinator::Create(options_, folder_.path() + "/coordinator", &scheduler_);
    if (!coordinator.ok()) return coordinator.status();
    coordinator_ = *std::move(coordinator);
    const SiteSurroundings shared{&options_, coordinator_.get(), &scheduler_, &threads_};
    for (size_t k = 0; k < options_.sites.size(); ++k) {
      auto site = InProcessSite::Create(shared, k,
                                        absl::StrCat(folder_.path(), "/", options_.sites[k].name));
      if (!site.ok()) return site.status();
      sites_.push_back(*std::move(site));
    }
    return absl::OkStatus();
  }

  bool Finished() const {
    for (const auto& site : sites_) {
      if (!site->finished()) return false;
    }
    return true;
  }

  uint64_t WorkDone() const {
    uint64_t done = coordinator_->rounds().size();
    for (const auto& site : sites_) done += site->orders_done();
    return done;
  }

  absl::Status Failure() const {
    if (!coordinator_->failure().ok()) return coordinator_->failure();
    for (const auto& site : sites_) {
      if (!site->failure().ok()) return site->failure();
    }
    return absl::OkStatus();
  }

  absl::StatusOr<FederationResult> Result() {
    FederationResult result;
    absl::StatusOr<ParameterVector> consensus = coordinator_->Consensus();
    if (!consensus.ok()) return consensus.status();
    result.consensus = *std::move(consensus);
    result.rounds = coordinator_->rounds();
    for (const auto& site : sites_) {
      result.sites.push_back(site->TakeTotals());
      SiteTotals& totals = result.sites.back();
      for (const RoundRecord& round : result.rounds) {
        for (const StoredContribution& c : round.contributions()) {
          totals.rounds += c.site() == totals.name;
        }
      }
    }
    result.simulated_seconds = static_cast<double>(scheduler_.now_ms()) / 1000;
    return result;
  }

  // In this order: threads end before what they work on, sites before their files.
  FederationOptions options_;
  WorkFolder folder_;
  simulation::Scheduler scheduler_;
  std::unique_ptr<InProcessCoordinator> coordinator_;
  WorkerThreads threads_;
  std::vector<std::unique_ptr<InProcessSite>> sites_;
};

}  // namespace

absl::StatusOr<FederationResult> RunFederation(FederationOptions options) {
  return Federation(std::move(options)).Run();
}

}  // namespace weft::testing
