// weft-ops manifest: describe a run, check, sign and show the description.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"
#include "ops/commands.h"
#include "ops/identity.h"
#include "ops/manifest.h"
#include "ops/new_manifest.h"
#include "ops/signed_file.h"
#include "proto/text_file.h"

namespace weft {
namespace {

absl::StatusOr<RunManifest> ParsePayload(const std::string& payload, const std::string& path) {
  RunManifest manifest;
  absl::Status parsed = ParseTextProto(payload, path, &manifest);
  if (!parsed.ok()) return parsed;
  return manifest;
}

absl::Status New(const NewManifestOptions& options, const std::string& out) {
  absl::StatusOr<RunManifest> manifest = NewManifest(options);
  if (!manifest.ok()) return manifest.status();
  if (absl::Status checked = CheckManifest(*manifest); !checked.ok()) return checked;
  if (absl::Status written = WriteTextProto(out, *manifest); !written.ok()) return written;
  std::cout << DescribeManifest(*manifest) << "written to " << out
            << "; next: weft-ops manifest sign\n";
  return absl::OkStatus();
}

absl::Status Check(const std::string& path) {
  absl::StatusOr<SignedStatement> statement = ReadStatement(path, kManifestType);
  if (!statement.ok()) return statement.status();
  absl::StatusOr<RunManifest> manifest = ParsePayload(statement->payload, path);
  if (!manifest.ok()) return manifest.status();
  std::cout << PrintEveryField(*manifest);
  absl::Status checked = CheckManifest(*manifest);
  if (checked.ok()) std::cout << path << ": every value is allowed\n";
  return checked;
}

absl::Status SignManifest(const std::string& authority, const std::string& in,
                          const std::string& out) {
  absl::StatusOr<SigningResult> result =
      SignFile(authority, in, out, kManifestType, [&](const std::string& payload) -> absl::Status {
        absl::StatusOr<RunManifest> manifest = ParsePayload(payload, in);
        return manifest.ok() ? CheckManifest(*manifest) : manifest.status();
      });
  if (!result.ok()) return result.status();
  std::cout << "signed " << out << " (" << result->signature_count << " of " << result->threshold
            << " signatures)\n  manifest digest " << result->digest_hex << "\n";
  return absl::OkStatus();
}

struct ShowOptions {
  std::string path, kit;
  bool json = false;
};

absl::Status PrintJson(const RunManifest& manifest, const SignedStatement& statement,
                       bool verified) {
  google::protobuf::util::JsonPrintOptions every;
  every.always_print_primitive_fields = true;
  every.preserve_proto_field_names = true;
  std::string fields;
  if (!google::protobuf::util::MessageToJsonString(manifest, &fields, every).ok()) {
    return absl::InternalError("the manifest cannot be written as JSON");
  }
  nlohmann::json json = {{"digest", ToHex(Sha256(statement.payload))},
                         {"verified", verified},
                         {"signed_by", nlohmann::json::array()},
                         {"manifest", nlohmann::json::parse(fields)}};
  for (const Signature& signature : statement.signatures) {
    json["signed_by"].push_back(signature.key_id);
  }
  std::cout << json.dump(2) << "\n";
  return absl::OkStatus();
}

absl::Status Show(const ShowOptions& options) {
  absl::StatusOr<SignedStatement> statement = ReadStatement(options.path, kManifestType);
  if (!statement.ok()) return statement.status();
  absl::StatusOr<RunManifest> manifest = ParsePayload(statement->payload, options.path);
  if (!manifest.ok()) return manifest.status();
  if (!options.kit.empty()) {
    absl::StatusOr<Identity> kit = LoadIdentity(options.kit);
    if (!kit.ok()) return kit.status();
    absl::Status verified =
        VerifyStatement(*statement, options.path, kManifestType, kit->authorities);
    if (!verified.ok()) return verified;
  }
  if (options.json) return PrintJson(*manifest, *statement, !options.kit.empty());
  std::cout << DescribeManifest(*manifest) << "  digest       " << ToHex(Sha256(statement->payload))
            << "\n";
  for (const Signature& signature : statement->signatures) {
    std::cout << "  signed by    key " << signature.key_id << "\n";
  }
  std::cout << (statement->signatures.empty() ? "nobody has signed it\n"
                : options.kit.empty()         ? "signatures were not checked: give --kit\n"
                                              : "the signatures hold\n");
  return absl::OkStatus();
}

// What happens when a round does not go as it should.
void AddPolicies(CLI::App* command, const std::shared_ptr<NewManifestOptions>& options) {
  command
      ->add_option("--without-quorum", options->without_quorum,
                   "At a deadline: extend the round, or abandon it and open it again")
      ->check(CLI::IsMember({"extend", "abandon"}))
      ->capture_default_str();
  command
      ->add_option("--extensions-max", options->extensions_max,
                   "Then the round is abandoned; 0: no bound")
      ->capture_default_str();
  command
      ->add_option("--norm-factor-max", options->norm_factor_max,
                   "Leave out vectors whose norm is not within this factor of the median; 0: off")
      ->capture_default_str();
  command
      ->add_option("--late", options->late,
                   "What comes after the close: refuse it, or carry it to the next round")
      ->check(CLI::IsMember({"refuse", "carry"}))
      ->capture_default_str();
  command->add_option("--late-staleness-max", options->late_staleness_max,
                      "Versions that its base may be older [1 with --late carry]");
  command->add_option("--late-discount", options->late_discount,
                      "a of its weight 1/(1+staleness)^a [0.5 with --late carry]");
  command
      ->add_option("--inner-steps-min", options->inner_steps_min,
                   "Enough of a slow site when time is up; 0: all steps")
      ->capture_default_str();
  command
      ->add_option("--upload-seconds", options->upload_seconds,
                   "Left for its sending them; 0: a tenth of --round-seconds")
      ->capture_default_str();
  command
      ->add_option("--evaluation-seconds", options->evaluation_seconds,
                   "A new consensus waits so long to be accepted or refused; 0: it does not wait")
      ->capture_default_str();
  command
      ->add_option("--evaluation-missing", options->evaluation_missing,
                   "What counts when nobody said: accept or refuse")
      ->check(CLI::IsMember({"accept", "refuse"}))
      ->capture_default_str();
}

void AddNew(CLI::App* manifest, Action* action) {
  CLI::App* command = manifest->add_subcommand("new", "Describe a run from its initial model");
  command->footer(
      "Presets: fedavg (no pull), fedprox (pull 0.2), elastic, elastic_async (EASGD), delayed (no "
      "barrier), diloco (outer Nesterov 0.7, 0.9), fedadam (outer Adam), admm (duals), proximal "
      "(pull 0.5, outer step 1.5).\nWhat is not given takes the value in brackets; `manifest "
      "check` prints all, "
      "and "
      "--set sets any.\n"
      "Example:\n  weft-ops manifest new --initial initial --run-id demo --rounds 8 "
      "--inner-steps 20 --preset proximal --sites 3 --out run.textproto");
  auto options = std::make_shared<NewManifestOptions>();
  auto out = std::make_shared<std::string>();
  command
      ->add_option("--initial", options->initial_folder,
                   "Hugging Face folder of consensus version 0, with its tokenizer")
      ->required();
  command->add_option("--run-id", options->run_id, "Name of the run: a-z, 0-9, '-'")->required();
  command->add_option("--description", options->description, "One sentence for who accepts it");
  command->add_option("--rounds", options->rounds, "Number of rounds")->required();
  command->add_option("--inner-steps", options->inner_steps, "Steps of a site in a round (H)")
      ->required();
  command->add_option("--preset", options->preset, "A consensus scheme by its name")
      ->capture_default_str();
  command->add_option("--pull", options->pull, "Way back to the base in a round, 0 to 0.999");
  command->add_option("--rho", options->rho, "The pull in its other form, instead of --pull");
  command->add_option("--alpha", options->alpha, "How much of the new consensus a site takes");
  command->add_option("--outer-learning-rate", options->outer_learning_rate, "Of the outer step");
  command->add_option("--outer-momentum", options->outer_momentum, "Of the outer step (Nesterov)");
  command->add_option("--sites", options->sites, "Sites that the first round waits for")
      ->capture_default_str();
  command->add_option("--quorum", options->quorum,
                      "Fewest contributions that close a round [most of --sites]");
  command->add_option("--round-seconds", options->round_seconds, "A round's deadline")
      ->capture_default_str();
  command
      ->add_option("--update-norm-max", options->update_norm_max,
                   "Refuse vectors further than this from their base; 0: none")
      ->capture_default_str();
  command->add_option("--publish-every", options->publish_every, "Rounds between releases")
      ->capture_default_str();
  AddPolicies(command, options);
  command->add_option("--batch", options->batch, "Samples in a step")->capture_default_str();
  command->add_option("--sequence", options->sequence,
                      "Tokens in a sample [the model's context length]");
  command->add_option("--learning-rate", options->learning_rate, "At its peak")
      ->capture_default_str();
  command->add_option("--learning-rate-min", options->learning_rate_min,
                      "At the run's end [a tenth of the peak]");
  command->add_option("--warmup", options->warmup_steps, "Steps [5 % of the run]");
  command->add_option("--warmup-after-join", options->warmup_after_join_steps,
                      "Steps of a site that joins late [a round]");
  command->add_option("--weight-decay", options->weight_decay, "Of matrices")
      ->capture_default_str();
  command->add_option("--gradient-clip", options->gradient_clip, "Norm; 0: none")
      ->capture_default_str();
  command->add_option("--beta1", options->beta1, "Of AdamW")->capture_default_str();
  command->add_option("--beta2", options->beta2, "Of AdamW")->capture_default_str();
  command->add_option("--up", options->up, "Encoding to the coordinator")->capture_default_str();
  command->add_option("--down", options->down, "Encoding to the sites")->capture_default_str();
  command->add_option("--seed", options->seed, "Of everything drawn")->capture_default_str();
  command->add_option("--license", options->license, "Of the releases (SPDX)")
      ->capture_default_str();
  command->add_option("--set", options->settings,
                      "Any field, FIELD=VALUE: consensus.combine=median; may be repeated");
  command->add_option("--out", *out, "The manifest to write, in text format")->required();
  command->callback([=] { *action = [=] { return New(*options, *out); }; });
}

}  // namespace

void AddManifestCommands(CLI::App* program, Action* action) {
  CLI::App* manifest =
      program->add_subcommand("manifest", "Make, check, sign and show run manifests");
  manifest->require_subcommand(1);
  AddNew(manifest, action);

  auto path = std::make_shared<std::string>();
  auto out = std::make_shared<std::string>();
  auto authority = std::make_shared<std::string>();
  CLI::App* check = manifest->add_subcommand(
      "check", "Print every value in force, and name every one that is not allowed");
  check->footer("Example:\n  weft-ops manifest check run.textproto");
  check->add_option("file", *path, "A manifest, signed or not")->required();
  check->callback([=] { *action = [=] { return Check(*path); }; });

  CLI::App* sign = manifest->add_subcommand("sign", "Sign a manifest, or add a signature to one");
  sign->footer(
      "Example:\n  weft-ops manifest sign --authority authority run.textproto --out "
      "run.signed.json");
  sign->add_option("file", *path, "A manifest, signed by others or not")->required();
  sign->add_option("--authority", *authority, "Folder of the authority that signs")->required();
  sign->add_option("--out", *out, "The signed manifest to write")->required();
  sign->callback([=] { *action = [=] { return SignManifest(*authority, *path, *out); }; });

  auto shown = std::make_shared<ShowOptions>();
  CLI::App* show =
      manifest->add_subcommand("show", "A manifest in words, as an operator accepts it");
  show->footer("Example:\n  weft-ops manifest show run.signed.json --kit kits/north");
  show->add_option("file", shown->path, "A manifest, signed or not")->required();
  show->add_option("--kit", shown->kit, "Check the signatures against this kit's authorities");
  show->add_flag("--json", shown->json, "Digest, signers and every value, as JSON");
  show->callback([=] { *action = [=] { return Show(*shown); }; });
}

}  // namespace weft
