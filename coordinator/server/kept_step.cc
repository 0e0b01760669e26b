#include "coordinator/server/kept_step.h"

#include <unistd.h>

#include <cerrno>

#include "coordinator/tools/named_digests.h"
#include "proto/durable_file.h"
#include "proto/text_file.h"

namespace weft {
namespace {

std::string FileOf(const std::string& folder) { return folder + "/outer_step.textproto"; }

}  // namespace

KeptStep MakeKeptStep(const ConsensusVersion& base, const RoundRecord& record,
                      const ConsensusVersion& result) {
  KeptStep step;
  *step.mutable_base() = base;
  *step.mutable_record() = record;
  *step.mutable_result() = result;
  return step;
}

absl::Status KeepStep(const RunPaths& paths, const BlobDirectory& vectors, const KeptStep& step) {
  const std::string folder = paths.kept_of(step.record().round());
  if (absl::Status status = MakeDirectories(folder); !status.ok()) return status;
  // Contributions lie in folders of their own, and are named here, too: only vectors are linked.
  KeptStep inputs = step;
  inputs.clear_result();
  for (const Digest& digest : NamedDigests(inputs)) {
    if (!vectors.Has(digest)) continue;
    const std::string to = folder + "/" + ToHex(digest);
    if (link(vectors.PathOf(digest).c_str(), to.c_str()) != 0 && errno != EEXIST) {
      return ErrnoStatus("cannot keep a base for auditors", to);
    }
  }
  // Last, and it syncs the folder with the links.
  return WriteTextProto(FileOf(folder), step);
}

absl::StatusOr<KeptStep> ReadKeptStep(const std::string& folder) {
  KeptStep step;
  if (absl::Status status = ReadTextProto(FileOf(folder), &step); !status.ok()) return status;
  return step;
}

}  // namespace weft
