// What the checkers have to say of what sites start from, and end with.
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/simulation/checkers.h"

namespace weft::simulation {

// Without a barrier, and elastic, the bytes of the version before have the number as well.
const PlainConsensus* Checkers::FindBase(uint64_t version, const std::string& digest) const {
  if (version < versions_.size() && versions_[version].digest == digest) return &versions_[version];
  const bool elastic = scenario_.manifest.consensus().asynchrony() == "elastic";
  if (!elastic || version == 0 || version > versions_.size()) return nullptr;
  const PlainConsensus& before = versions_[version - 1];
  return before.digest == digest ? &before : nullptr;
}

// The version whose bytes the site is to start from.
uint64_t Checkers::BaseVersionOf(const std::string& site) const {
  const auto known = met_.find(site);
  if (known == met_.end() || phase_ == RoundEvent::FINISHED) return version_;
  // So many are kept.
  const uint64_t kept = uint64_t{scenario_.manifest.rounds().late_staleness_max()} + 1;
  return version_ - known->second <= kept ? known->second : version_;
}

void Checkers::CheckBaseTold(const std::string& site, const RoundEvent& event) {
  const uint64_t base = BaseVersionOf(site);
  const uint64_t number = base == version_ ? version_ : base + 1;
  const uint64_t told = event.context().base_version();
  if (told != number || event.base_digest() != versions_[base].digest) {
    return Violated(
        base == version_ ? "durable_first" : "trains_committed",
        absl::StrCat(site, " is to start from version ", told, ", ", ShortHex(event.base_digest()),
                     "; its base is version ", number, ", ", ShortHex(versions_[base].digest)));
  }
  if (scenario_.fragments() == 1) return;
  std::vector<std::string> digests;
  for (const FragmentVersion& part : event.fragments()) digests.push_back(part.digest());
  if (digests == cuts_[version_] && event.context().fragment() == versions_[base].fragment) return;
  Violated("trains_committed", absl::StrCat(site, " is told of fragments that are not those of ",
                                            "version ", version_));
}

void Checkers::TrainingBegan(const std::string& site, const std::vector<std::string>& digests) {
  for (size_t version = 0; version < cuts_.size(); ++version) {
    if (cuts_[version] == digests && refused_.count(version) == 0) return;
  }
  Violated("trains_committed", absl::StrCat(site, " trains from ", ShortHex(digests[0]),
                                            ", which is no committed consensus"));
}

void Checkers::FinalRecorded(const std::string& site, const std::string& digest) {
  Vector whole;
  for (const PlainConsensus& part : fragments_) {
    whole.insert(whole.end(), part.z.begin(), part.z.end());
  }
  if (absl::BytesToHexString(DigestOf(PlainBlob(whole, {}))) == digest) return;
  Violated("trains_committed", absl::StrCat(site, " takes ", digest, " to be the final consensus"));
}

}  // namespace weft::simulation
