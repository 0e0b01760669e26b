// Makes a run manifest from an initial model and a few choices; and prints one with nothing left
// unsaid.
//
//   absl::StatusOr<RunManifest> run =
//       NewManifest({.initial_folder = "initial", .run_id = "demo", .rounds = 8, .inner_steps =
//       20});
//   absl::Status checked = CheckManifest(*run);  // choices are not checked before
#ifndef WEFT_OPS_NEW_MANIFEST_H_
#define WEFT_OPS_NEW_MANIFEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "google/protobuf/message.h"
#include "proto/run_manifest.pb.h"

namespace weft {

struct NewManifestOptions {
  std::string initial_folder;  // config.json, model.safetensors, tokenizer.model
  std::string run_id;
  std::string description;
  std::string preset = "proximal";
  uint32_t rounds = 0;
  uint32_t inner_steps = 0;
  uint32_t sites = 3;
  std::optional<uint32_t> quorum;  // most of `sites`
  uint32_t round_seconds = 3600;
  double update_norm_max = 0;
  uint32_t publish_every = 10;
  std::string without_quorum = "extend";
  uint32_t extensions_max = 0;
  double norm_factor_max = 0;
  std::string late = "refuse";
  std::optional<uint32_t> late_staleness_max;  // 1
  std::optional<double> late_discount;         // 0.5
  uint32_t inner_steps_min = 0;
  uint32_t upload_seconds = 0;
  uint32_t evaluation_seconds = 0;
  std::string evaluation_missing = "refuse";
  std::optional<double> pull, rho, alpha, outer_learning_rate, outer_momentum;  // the preset's
  uint32_t batch = 16;
  std::optional<uint32_t> sequence;  // the model's context length
  double learning_rate = 1e-3;
  std::optional<double> learning_rate_min;          // a tenth of learning_rate
  std::optional<uint32_t> warmup_steps;             // 5 % of the run
  std::optional<uint32_t> warmup_after_join_steps;  // a round
  double weight_decay = 0.1;
  double gradient_clip = 1.0;
  double beta1 = 0.9;
  double beta2 = 0.95;
  std::string up = "delta_bf16";
  std::string down = "delta_bf16";
  uint64_t seed = 1;
  std::string license = "Apache-2.0";
  // Any other field, or one of these again: "consensus.combine=median",
  // "rounds.inner_steps_schedule={rounds: 8 inner_steps: 5}" (a repeated field gets one more).
  std::vector<std::string> settings;
};

absl::StatusOr<RunManifest> NewManifest(const NewManifestOptions& options);

// "rounds.quorum: 2" a line, zeros too.
std::string PrintEveryField(const google::protobuf::Message& message);

}  // namespace weft

#endif  // WEFT_OPS_NEW_MANIFEST_H_
