#include "ops/new_manifest.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/text_format.h"
#include "model/formats/huggingface.h"
#include "model/parameters/parameter_codec.h"
#include "ops/manifest.h"
#include "proto/blob_digest.h"
#include "proto/digest.h"

namespace weft {
namespace {

// The digest of the consensus as every end will hold it: a parameters_fp32 blob.
absl::StatusOr<Digest> ConsensusDigest(const HuggingFaceModel& model) {
  constexpr uint64_t kBlock = 1 << 18;
  const absl::Span<const float> vector = model.vector.span();
  BlobHasher hasher;
  hasher.Update(PrintVectorHeader({.encoding = Encoding::kParametersFp32,
                                   .element_count = vector.size(),
                                   .layout = model.layout.digest()}));
  std::string bytes;
  for (uint64_t begin = 0; begin < vector.size(); begin += kBlock) {
    bytes.clear();
    absl::Status encoded =
        EncodeElements(Encoding::kParametersFp32, vector.subspan(begin, kBlock), {}, begin, &bytes);
    if (!encoded.ok()) return encoded;
    hasher.Update(bytes);
  }
  return hasher.Finish();
}

absl::Status FillConsensus(const NewManifestOptions& options, ConsensusScheme* scheme) {
  if (absl::Status known = ApplyPreset(options.preset, scheme); !known.ok()) return known;
  if (options.rho.has_value()) {
    scheme->set_rho(*options.rho);
    scheme->set_pull(
        0);  // the preset's; one that is given beside rho is for CheckManifest to refuse
  }
  if (options.pull.has_value()) scheme->set_pull(*options.pull);
  if (options.alpha.has_value()) scheme->set_alpha(*options.alpha);
  OuterOptimizer* outer = scheme->mutable_outer();
  if (options.outer_learning_rate.has_value()) {
    outer->set_learning_rate(*options.outer_learning_rate);
  }
  if (options.outer_momentum.has_value()) {
    outer->set_momentum(*options.outer_momentum);
    outer->set_nesterov(*options.outer_momentum > 0);
  }
  return absl::OkStatus();
}

void FillRounds(const NewManifestOptions& options, RoundRules* rules) {
  rules->set_round_count(options.rounds);
  rules->set_inner_steps(options.inner_steps);
  rules->set_sites_to_start(options.sites);
  rules->set_quorum(options.quorum.value_or(options.sites / 2 + 1));
  rules->set_round_seconds_max(options.round_seconds);
  rules->set_update_norm_max(options.update_norm_max);
  rules->set_publish_every(options.publish_every);
  rules->set_without_quorum(options.without_quorum);
  rules->set_extensions_max(options.extensions_max);
  rules->set_norm_factor_max(options.norm_factor_max);
  const bool carry = options.late == "carry";
  rules->set_late(options.late);
  rules->set_late_staleness_max(options.late_staleness_max.value_or(carry ? 1 : 0));
  rules->set_late_discount(options.late_discount.value_or(carry ? 0.5 : 0));
  rules->set_inner_steps_min(options.inner_steps_min);
  rules->set_upload_seconds(options.upload_seconds);
  rules->set_evaluation_seconds_max(options.evaluation_seconds);
  rules->set_evaluation_missing(options.evaluation_missing);
}

void FillTraining(const NewManifestOptions& options, uint32_t context_length,
                  InnerTraining* training) {
  const uint64_t steps = uint64_t{options.rounds} * options.inner_steps;
  training->set_batch_size(options.batch);
  training->set_sequence_length(options.sequence.value_or(context_length));
  training->set_learning_rate(options.learning_rate);
  training->set_learning_rate_min(options.learning_rate_min.value_or(options.learning_rate / 10));
  training->set_warmup_steps(options.warmup_steps.value_or(static_cast<uint32_t>(steps / 20)));
  training->set_warmup_after_join_steps(
      options.warmup_after_join_steps.value_or(options.inner_steps));
  training->set_weight_decay(options.weight_decay);
  training->set_gradient_clip(options.gradient_clip);
  training->set_beta1(options.beta1);
  training->set_beta2(options.beta2);
  training->set_epsilon(1e-8);
}

void PrintFields(const google::protobuf::Message& message, const std::string& prefix,
                 std::string* out) {
  const google::protobuf::Reflection* reflection = message.GetReflection();
  const google::protobuf::Descriptor* descriptor = message.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* field = descriptor->field(i);
    const std::string name = absl::StrCat(prefix, field->name());
    if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) {
      PrintFields(reflection->GetMessage(message, field), name + ".", out);
      continue;
    }
    std::string value;
    google::protobuf::TextFormat::PrintFieldValueToString(message, field, -1, &value);
    absl::StrAppend(out, name, ": ", value, "\n");
  }
}

}  // namespace

absl::StatusOr<RunManifest> NewManifest(const NewManifestOptions& options) {
  absl::StatusOr<HuggingFaceModel> model = ReadHuggingFaceFolder(options.initial_folder);
  if (!model.ok()) return model.status();
  absl::StatusOr<Digest> tokenizer = Sha256OfFile(options.initial_folder + "/tokenizer.model");
  if (!tokenizer.ok()) return tokenizer.status();
  absl::StatusOr<Digest> consensus = ConsensusDigest(*model);
  if (!consensus.ok()) return consensus.status();

  RunManifest run;
  run.set_protocol_version(kProtocolVersion);
  run.set_run_id(options.run_id);
  run.set_description(options.description);
  run.set_seed(options.seed);
  *run.mutable_model() = model->config;
  run.set_tokenizer_sha256(ToHex(*tokenizer));
  run.set_layout_digest(ToHex(model->layout.digest()));
  run.set_initial_consensus(ToHex(*consensus));
  absl::Status filled = FillConsensus(options, run.mutable_consensus());
  if (!filled.ok()) return filled;
  FillRounds(options, run.mutable_rounds());
  FillTraining(options, model->config.context_length(), run.mutable_training());
  run.mutable_encodings()->set_up(options.up);
  run.mutable_encodings()->set_down(options.down);
  run.set_license(options.license);
  return run;
}

std::string PrintEveryField(const google::protobuf::Message& message) {
  std::string out;
  PrintFields(message, "", &out);
  return out;
}

}  // namespace weft
