// What durability costs in one round: every synced write of a coordinator, done with its own code
// on a real disk, beside what that disk takes for the same bytes and syncs with nothing around.
//
//   durability_benchmark [FOLDER [SITES [PARAMETERS]]]      default: . 4 2500000 (10 MB of fp32)
//
// The floor is measured first, in the same folder: bytes over the rate of a large synced write,
// plus the number of syncs times a small synced write. The ratio is the figure to quote.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "coordinator/core/round_machine.h"
#include "coordinator/server/outer_step.h"
#include "coordinator/store/rocksdb_round_store.h"
#include "proto/check.h"
#include "proto/durable_file.h"

namespace weft {
namespace {

double Seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// The disk alone.
struct Floor {
  double bytes_per_second = 0;
  double seconds_per_sync = 0;  // of a small file: written, synced, renamed, folder synced
};

Floor MeasureFloor(const std::string& folder) {
  constexpr int kSmallWrites = 50;
  const std::string large(64 << 20, 'x');
  std::vector<double> seconds;
  for (int i = 0; i < 3; ++i) {
    seconds.push_back(
        Seconds([&] { WEFT_CHECK(WriteFileDurably(folder + "/large", large).ok()); }));
  }
  std::sort(seconds.begin(), seconds.end());
  const double small = Seconds([&] {
    for (int i = 0; i < kSmallWrites; ++i) {
      WEFT_CHECK(WriteFileDurably(folder + "/small", "x").ok());
    }
  });
  return {static_cast<double>(large.size()) / seconds[1], small / kSmallWrites};
}

// What one kind of write took.
struct Part {
  const char* name;
  uint64_t bytes = 0;
  uint64_t syncs = 0;
  double seconds = 0;
};

void Print(const Part& part, const Floor& floor) {
  const double least = static_cast<double>(part.bytes) / floor.bytes_per_second +
                       static_cast<double>(part.syncs) * floor.seconds_per_sync;
  std::printf("%-28s %10.2f MB %6llu syncs %9.4f s   floor %9.4f s   ratio %5.2f\n", part.name,
              static_cast<double>(part.bytes) / 1e6, static_cast<unsigned long long>(part.syncs),
              part.seconds, least, part.seconds / least);
}

RunManifest Manifest(uint32_t sites) {
  RunManifest manifest;
  manifest.set_protocol_version(1);
  manifest.set_run_id("benchmark");
  manifest.mutable_rounds()->set_round_count(2);
  manifest.mutable_rounds()->set_inner_steps(10);
  manifest.mutable_rounds()->set_quorum(sites);
  manifest.mutable_rounds()->set_sites_to_start(sites);
  manifest.mutable_rounds()->set_round_seconds_max(60);
  return manifest;
}

// A coordinator's round without a network: the machine, its store, the blobs and the outer step.
class Round {
 public:
  Round(const std::string& folder, uint32_t sites, uint64_t elements)
      : vectors_(*BlobDirectory::Open(folder + "/vectors")),
        contributions_(*BlobDirectory::Open(folder + "/contributions")),
        store_(*RocksDbRoundStore::Open(folder + "/state", RocksDbRoundStore::Mode::kCreate)),
        x_(elements, 0.5f),
        machine_(Manifest(sites), Initial(sites)) {}

  Part contributions{"contributions to disk"};
  Part transitions{"state, receipts, audit"};
  Part outer_step{"outer step"};

  void Run(uint32_t sites) {
    Step(TimeAdvanced{1000});
    for (uint32_t k = 0; k < sites; ++k) Step(SiteJoined{Name(k), "session"});
    RoundRecord closed;
    for (uint32_t k = 0; k < sites; ++k) {
      x_[0] = static_cast<float>(k);
      for (const Effect& effect : Step(ContributionArrived{0, Write(Name(k)), "signed"})) {
        if (const auto* run = std::get_if<RunOuterStep>(&effect)) closed = run->record;
      }
    }
    Step(OuterStepDone{0, Outer(closed)});
  }

 private:
  static std::string Name(uint32_t k) { return "site-" + std::to_string(k); }

  RoundState Initial(uint32_t sites) {
    Membership membership;
    membership.set_run_id("benchmark");
    membership.set_version(1);
    for (uint32_t k = 0; k < sites; ++k) membership.add_sites()->set_name(Name(k));
    base_.set_digest(ToBytes(*WriteVector(vectors_, {.element_count = x_.size()}, x_, {})));
    return RoundMachine::InitialState(Manifest(sites), membership, base_);
  }
  std::vector<Effect> Step(const Event& event) {
    std::vector<Effect> effects = machine_.Step(event);
    if (effects.empty()) return effects;
    transitions.seconds +=
        Seconds([&] { WEFT_CHECK(store_->Commit(machine_.state(), effects).ok()); });
    transitions.bytes += machine_.state().ByteSizeLong();
    transitions.syncs += 1;
    return effects;
  }
  StoredContribution Write(const std::string& site) {
    StoredContribution stored;
    stored.set_site(site);
    contributions.seconds += Seconds([&] {
      const VectorHeader header{.element_count = x_.size()};
      stored.set_digest(ToBytes(*WriteVector(contributions_, header, x_, {})));
    });
    contributions.bytes += EncodedBytes(Encoding::kParametersFp32, x_.size());
    contributions.syncs += 1;
    return stored;
  }
  ConsensusVersion Outer(const RoundRecord& record) {
    OuterStepOptions options{.vectors = &vectors_, .contributions = &contributions_};
    options.scheme.set_combine("mean");
    options.scheme.mutable_outer()->set_name("sgd");
    options.scheme.mutable_outer()->set_learning_rate(1);
    ConsensusVersion next;
    outer_step.seconds = Seconds([&] { next = ComputeOuterStep(options, base_, record)->next; });
    outer_step.bytes = EncodedBytes(Encoding::kParametersFp32, x_.size());
    outer_step.syncs = 1;
    return next;
  }

  BlobDirectory vectors_;
  BlobDirectory contributions_;
  std::unique_ptr<RocksDbRoundStore> store_;
  std::vector<float> x_;
  ConsensusVersion base_;
  RoundMachine machine_;
};

int Main(int argc, char** argv) {
  const std::string parent = argc > 1 ? argv[1] : ".";
  const auto sites = static_cast<uint32_t>(argc > 2 ? std::atoi(argv[2]) : 4);
  const uint64_t elements = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 2'500'000;
  const std::string folder = parent + "/durability_benchmark." + std::to_string(getpid());
  if (!MakeDirectories(folder).ok() || sites == 0 || elements == 0) {
    std::fprintf(stderr, "usage: durability_benchmark [FOLDER [SITES [PARAMETERS]]]\n");
    return 2;
  }
  const Floor floor = MeasureFloor(folder);
  std::printf("disk: %.0f MB/s synced, %.2f ms a small synced file\n", floor.bytes_per_second / 1e6,
              1000 * floor.seconds_per_sync);
  {
    Round round(folder, sites, elements);
    round.Run(sites);
    for (const Part* part : {&round.contributions, &round.transitions, &round.outer_step}) {
      Print(*part, floor);
    }
  }
  std::printf("the outer step also reads and hashes every contribution and the base once more\n");
  std::filesystem::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace weft

int main(int argc, char** argv) { return weft::Main(argc, argv); }
