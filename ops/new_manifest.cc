#include "ops/new_manifest.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "model/formats/huggingface.h"
#include "model/parameters/parameter_codec.h"
#include "ops/manifest.h"
#include "proto/blob_digest.h"
#include "proto/digest.h"
#include "proto/round_schedule.h"

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

// After the rounds: a preset may need to know of the sites, and brings its rule for late ones.
absl::Status FillConsensus(const NewManifestOptions& options, RunManifest* run) {
  if (absl::Status known = ApplyPreset(options.preset, run); !known.ok()) return known;
  if (options.late_discount.has_value()) {
    run->mutable_rounds()->set_late_discount(*options.late_discount);
  }
  ConsensusScheme* scheme = run->mutable_consensus();
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
    outer->set_nesterov(*options.outer_momentum > 0 && outer->name() == "sgd");
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

void FillTraining(const NewManifestOptions& options, uint32_t context_length, uint64_t steps,
                  InnerTraining* training) {
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

// Keeps what is wrong instead of logging it.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int, int, const std::string& message) override {
    if (words.empty()) words = message;
  }
  std::string words;
};

// "a.b=x" as the text format "a { b: x }", merged into the manifest.
absl::Status ApplySetting(const std::string& setting, RunManifest* run) {
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(setting, absl::MaxSplits('=', 1));
  const google::protobuf::Descriptor* message = run->GetDescriptor();
  const google::protobuf::FieldDescriptor* field = nullptr;
  std::string before, after;
  for (const auto name : absl::StrSplit(parts.first, '.')) {
    field = message == nullptr ? nullptr : message->FindFieldByName(std::string(name));
    if (field == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--set ", setting, ": there is no field '", std::string(name),
          "'; `weft-ops manifest check` prints every field, such as consensus.combine"));
    }
    if (message != run->GetDescriptor()) {
      absl::StrAppend(&before, "{ ");
      absl::StrAppend(&after, " }");
    }
    absl::StrAppend(&before, std::string(name), " ");
    message = field->message_type();
  }
  const bool quoted = field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_STRING;
  const std::string value =
      quoted ? absl::StrCat("\"", absl::CEscape(parts.second), "\"") : parts.second;
  google::protobuf::TextFormat::Parser parser;
  FirstError error;
  parser.RecordErrorsTo(&error);
  const std::string text = absl::StrCat(before, message == nullptr ? ": " : "", value, after);
  if (parser.MergeFromString(text, run)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--set ", setting, ": ", error.words));
}

void PrintFields(const google::protobuf::Message& message, const std::string& prefix,
                 std::string* out) {
  const google::protobuf::Reflection* reflection = message.GetReflection();
  const google::protobuf::Descriptor* descriptor = message.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* field = descriptor->field(i);
    const std::string name = absl::StrCat(prefix, field->name());
    if (field->is_repeated()) {
      for (int k = 0; k < reflection->FieldSize(message, field); ++k) {
        std::string value;
        google::protobuf::TextFormat::PrintFieldValueToString(message, field, k, &value);
        absl::StrAppend(out, name, ": ",
                        absl::StrJoin(absl::StrSplit(value, '\n', absl::SkipEmpty()), " "), "\n");
      }
      continue;
    }
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
  FillRounds(options, run.mutable_rounds());
  absl::Status filled = FillConsensus(options, &run);
  if (!filled.ok()) return filled;
  FillTraining(options, model->config.context_length(), TotalSteps(run), run.mutable_training());
  run.mutable_encodings()->set_up(options.up);
  run.mutable_encodings()->set_down(options.down);
  run.set_license(options.license);
  for (const std::string& setting : options.settings) {
    if (absl::Status set = ApplySetting(setting, &run); !set.ok()) return set;
  }
  return run;
}

std::string PrintEveryField(const google::protobuf::Message& message) {
  std::string out;
  PrintFields(message, "", &out);
  return out;
}

}  // namespace weft
