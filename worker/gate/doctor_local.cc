// The doctor's checks of this machine: kit, manifest, disk, shards, memory.
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "nlohmann/json.hpp"
#include "proto/durable_file.h"
#include "worker/gate/doctor.h"
#include "worker/gate/gate_folder.h"

namespace weft {
namespace {

std::string Megabytes(uint64_t bytes) {
  return absl::StrFormat("%.1f MB", static_cast<double>(bytes) / 1e6);
}

// Whether another process reads `bytes` at `path`. The child calls nothing but the kernel.
bool AnotherProcessSees(const std::string& path, const std::string& bytes) {
  const pid_t child = fork();
  if (child == 0) {
    char buffer[64];
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const ssize_t got = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer));
    const bool same = got == static_cast<ssize_t>(bytes.size()) &&
                      std::memcmp(buffer, bytes.data(), bytes.size()) == 0;
    _exit(same ? 0 : 1);
  }
  int status = 1;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

// "MemAvailable:   123 kB" of /proc/meminfo, in bytes; 0: not to be had.
uint64_t MemoryAvailable() {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  uint64_t kilobytes = 0;
  while (file >> name >> kilobytes && std::getline(file, unit)) {
    if (name == "MemAvailable:") return kilobytes * 1024;
  }
  return 0;
}

}  // namespace

Finding CheckKit(const DoctorOptions& options, DoctorFacts* facts) {
  std::string warning;
  absl::StatusOr<Identity> identity = LoadIdentity(options.kit, &warning);
  if (!identity.ok()) {
    return Failed(std::string(identity.status().message()),
                  "Ask the run's authority for a new kit (`weft-ops keys`)");
  }
  facts->identity = *identity;
  const std::string words = absl::StrCat(
      "site ", identity->name, ", certificate until ",
      absl::FormatTime("%Y-%m-%d %H:%M UTC", identity->not_after, absl::UTCTimeZone()));
  if (!warning.empty()) return Warning(warning, "Ask the run's authority for a new certificate");
  return Ok(words);
}

Finding CheckAcceptedManifest(const DoctorOptions& options, DoctorFacts* facts) {
  if (!facts->identity.has_value()) return Skipped("needs the kit");
  absl::StatusOr<SignedManifest> accepted =
      GateFolder(options.state).LoadAccepted(*facts->identity);
  if (!accepted.ok()) {
    return Failed(std::string(accepted.status().message()),
                  "Run `weft-gate accept` with the run's signed manifest");
  }
  facts->manifest = *accepted;
  return Ok(
      absl::StrCat("run ", accepted->manifest.run_id(), ", digest ", ToHex(accepted->digest)));
}

Finding CheckSiteDirectory(const DoctorOptions& options, DoctorFacts*) {
  const std::string path = absl::StrCat(options.site_directory, "/doctor-", getpid(), ".probe");
  const char* advice =
      "Gate and worker meet here through files that are written, synced and renamed: use a file "
      "system that can (local, NFS, Lustre), with write permission for this user";
  absl::Status status = MakeDirectories(options.site_directory);
  // Twice: the second rename replaces a file that is there.
  for (const std::string& bytes : {std::string("first"), std::string("second")}) {
    if (status.ok()) status = WriteFileDurably(path, bytes);
    if (status.ok() && !AnotherProcessSees(path, bytes)) {
      status = absl::DataLossError(
          absl::StrCat(path, ": another process does not see what was written and renamed"));
    }
  }
  if (unlink(path.c_str()) != 0 && status.ok()) status = ErrnoStatus("cannot be removed", path);
  if (!status.ok()) return Failed(std::string(status.message()), advice);
  return Ok(
      absl::StrCat(options.site_directory, ": written, synced, renamed, seen by another process"));
}

Finding CheckDiskSpace(const DoctorOptions& options, DoctorFacts* facts) {
  if (!facts->manifest.has_value()) return Skipped("needs the manifest");
  // Of two rounds base and site vector, and three checkpoints (two kept, one being written) of site
  // vector and AdamW's two, all fp32.
  const uint64_t vector = 4 * ParameterCount(facts->manifest->manifest.model());
  const uint64_t site_needs = vector * (2 * 2 + 3 * 3), state_needs = vector * 2;
  for (const auto& [folder, needs] :
       {std::pair{options.site_directory, site_needs}, std::pair{options.state, state_needs}}) {
    struct statvfs disk;
    if (statvfs(folder.c_str(), &disk) != 0) {
      return Failed(std::string(ErrnoStatus("its free space cannot be asked", folder).message()),
                    "Make the folder, or name another");
    }
    const uint64_t free = uint64_t{disk.f_bavail} * disk.f_frsize;
    if (free < needs) {
      return Failed(absl::StrCat(folder, ": ", Megabytes(free), " free, a round needs up to ",
                                 Megabytes(needs)),
                    "Free space there, or name a folder on another disk");
    }
  }
  return Ok(absl::StrCat("a round needs up to ", Megabytes(site_needs),
                         " in the site directory and ", Megabytes(state_needs),
                         " in the state folder: there is room"));
}

Finding CheckTokenizer(const DoctorOptions& options, DoctorFacts* facts) {
  if (options.data.empty()) return Skipped("no --data was given");
  if (!facts->manifest.has_value()) return Skipped("needs the manifest");
  const std::string& expected = facts->manifest->manifest.tokenizer_sha256();
  for (const std::string& folder : options.data) {
    // Of the shards only their list is opened: the gate never reads text.
    const std::string path = folder + "/manifest.json";
    absl::StatusOr<std::string> text = ReadWholeFile(path, uint64_t{64} << 20);
    const char* advice = "Prepare the shards with the run's tokenizer (`weft-tokenizer prepare`)";
    if (!text.ok()) return Failed(std::string(text.status().message()), advice);
    const auto json = nlohmann::json::parse(*text, nullptr, false);
    const auto found = json.is_object() ? json.find("tokenizer_sha256") : json.end();
    if (!json.is_object() || found == json.end() || !found->is_string()) {
      return Failed(absl::StrCat(path, ": names no tokenizer_sha256"), advice);
    }
    if (found->get<std::string>() != expected) {
      return Failed(absl::StrCat(path, ": shards of tokenizer ", found->get<std::string>(),
                                 ", the run's is ", expected),
                    advice);
    }
  }
  return Ok(absl::StrCat(options.data.size(), " folder(s) of the run's tokenizer ", expected));
}

uint64_t ParameterCount(const ModelConfig& model) {
  const uint64_t hidden = model.hidden_size(), head = model.head_dimension();
  const uint64_t queries = model.attention_heads() * head;
  const uint64_t key_values = model.key_value_heads() * head;
  const uint64_t layer = 2 * hidden * queries + 2 * hidden * key_values +
                         3 * hidden * model.intermediate_size() + 2 * hidden +
                         (model.qk_norm() ? 2 * head : 0);
  const uint64_t embeddings =
      (model.tied_embeddings() ? 1 : 2) * uint64_t{model.vocabulary_size()} * hidden;
  return embeddings + model.layer_count() * layer + hidden;
}

uint64_t ActivationBytes(const ModelConfig& model, const InnerTraining& training) {
  const uint64_t hidden = model.hidden_size(), head = model.head_dimension();
  const uint64_t tokens = uint64_t{training.batch_size()} * training.sequence_length();
  // A layer keeps its input, two norms and their results, both residual sums (6 hidden), queries,
  // keys and values before and after norm and rotation and the attention's result, the scores where
  // attention is not fused, and gate, up, their product and the activation.
  const uint64_t layer = 6 * hidden +
                         head * (4 * model.attention_heads() + 4 * model.key_value_heads()) +
                         model.attention_heads() * uint64_t{training.sequence_length()} +
                         4 * model.intermediate_size();
  // Logits, their logarithms, and the gradient.
  return 4 * tokens * (model.layer_count() * layer + 3 * uint64_t{model.vocabulary_size()});
}

Finding CheckMemory(const DoctorOptions&, DoctorFacts* facts) {
  if (!facts->manifest.has_value()) return Skipped("needs the manifest");
  const RunManifest& manifest = facts->manifest->manifest;
  const uint64_t parameters = ParameterCount(manifest.model());
  // fp32: site vector 4, gradient 4, AdamW's two 8, base 4.
  const uint64_t activations = ActivationBytes(manifest.model(), manifest.training());
  const uint64_t needs = parameters * (4 + 4 + 8 + 4) + activations;
  const uint64_t available = MemoryAvailable();
  const std::string words =
      absl::StrCat(parameters, " parameters: training needs about ", Megabytes(needs), " (",
                   Megabytes(activations), " of it activations)");
  if (available == 0) {
    return Warning(words + ", and what this machine has cannot be read from /proc/meminfo",
                   "Compare by hand");
  }
  if (needs > available) {
    return Failed(absl::StrCat(words, ", available here are ", Megabytes(available)),
                  "Train on another machine, which the site directory may be shared with, or end "
                  "what else runs here");
  }
  return Ok(absl::StrCat(words, ", available here are ", Megabytes(available)));
}

}  // namespace weft
