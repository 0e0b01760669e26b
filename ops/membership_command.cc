// weft-ops membership: who takes part in a run.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ops/certificate.h"
#include "ops/commands.h"
#include "ops/identity.h"
#include "ops/manifest.h"
#include "ops/signed_file.h"
#include "proto/durable_file.h"
#include "proto/text_file.h"

namespace weft {
namespace {

struct Options {
  std::string file, run_id, out, authority, kit, name, reason;
  std::vector<std::string> sites;  // NAME=KIT_OR_CERTIFICATE
};

absl::StatusOr<Membership> ParsePayload(const std::string& payload, const std::string& path) {
  Membership membership;
  absl::Status parsed = ParseTextProto(payload, path, &membership);
  if (!parsed.ok()) return parsed;
  if (absl::Status checked = CheckMembership(membership); !checked.ok()) {
    return absl::Status(checked.code(), absl::StrCat(path, ": ", checked.message()));
  }
  return membership;
}

absl::StatusOr<Membership> ReadMembership(const std::string& path) {
  absl::StatusOr<SignedStatement> statement = ReadStatement(path, kMembershipType);
  if (!statement.ok()) return statement.status();
  return ParsePayload(statement->payload, path);
}

// "north=kits/north": the key is taken from the certificate, whose name must be the site's.
absl::Status AddSite(const std::string& given, Membership* membership) {
  const size_t at = given.find('=');
  if (at == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--site ", given, ": expected NAME=KIT or NAME=CERTIFICATE"));
  }
  const std::string name = given.substr(0, at);
  std::string path = given.substr(at + 1);
  if (FindMember(*membership, name) != nullptr) {
    return absl::AlreadyExistsError(absl::StrCat("site '", name, "' is in the membership already"));
  }
  if (std::filesystem::is_directory(path)) path += "/certificate.pem";
  absl::StatusOr<std::string> pem = ReadWholeFile(path);
  if (!pem.ok()) return pem.status();
  absl::StatusOr<CertificateFacts> facts = ReadCertificate(*pem);
  if (!facts.ok()) {
    return absl::Status(facts.status().code(), absl::StrCat(path, ": ", facts.status().message()));
  }
  if (facts->common_name != name) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is the certificate of '",
                                                   facts->common_name, "', not of '", name, "'"));
  }
  MemberSite* site = membership->add_sites();
  site->set_name(name);
  site->set_public_key(facts->public_key_pem);
  return absl::OkStatus();
}

absl::Status Write(const Membership& membership, const std::string& out) {
  if (absl::Status checked = CheckMembership(membership); !checked.ok()) return checked;
  if (absl::Status written = WriteTextProto(out, membership); !written.ok()) return written;
  std::cout << DescribeMembership(membership) << "written to " << out
            << "; next: weft-ops membership sign\n";
  return absl::OkStatus();
}

absl::Status AddSites(const std::vector<std::string>& sites, Membership* membership) {
  for (const std::string& site : sites) {
    if (absl::Status added = AddSite(site, membership); !added.ok()) return added;
  }
  return absl::OkStatus();
}

absl::Status New(const Options& options) {
  Membership membership;
  membership.set_protocol_version(kProtocolVersion);
  membership.set_run_id(options.run_id);
  membership.set_version(1);
  if (absl::Status added = AddSites(options.sites, &membership); !added.ok()) return added;
  return Write(membership, options.out);
}

absl::Status Add(const Options& options) {
  absl::StatusOr<Membership> membership = ReadMembership(options.file);
  if (!membership.ok()) return membership.status();
  if (absl::Status added = AddSites(options.sites, &*membership); !added.ok()) return added;
  membership->set_version(membership->version() + 1);
  return Write(*membership, options.out);
}

absl::Status Revoke(const Options& options) {
  absl::StatusOr<Membership> membership = ReadMembership(options.file);
  if (!membership.ok()) return membership.status();
  for (MemberSite& site : *membership->mutable_sites()) {
    if (site.name() != options.name) continue;
    if (site.revoked()) {
      return absl::FailedPreconditionError(
          absl::StrCat("site '", site.name(), "' is revoked already: ", site.revocation_reason()));
    }
    site.set_revoked(true);
    site.set_revocation_reason(options.reason);
    membership->set_version(membership->version() + 1);
    return Write(*membership, options.out);
  }
  return absl::NotFoundError(absl::StrCat(options.file, ": there is no site '", options.name, "'"));
}

absl::Status SignMembership(const Options& options) {
  absl::StatusOr<SigningResult> result = SignFile(
      options.authority, options.file, options.out, kMembershipType,
      [&](const std::string& payload) { return ParsePayload(payload, options.file).status(); });
  if (!result.ok()) return result.status();
  std::cout << "signed " << options.out << " (" << result->signature_count << " of "
            << result->threshold << " signatures)\n";
  return absl::OkStatus();
}

absl::Status Show(const Options& options) {
  absl::StatusOr<SignedStatement> statement = ReadStatement(options.file, kMembershipType);
  if (!statement.ok()) return statement.status();
  absl::StatusOr<Membership> membership = ParsePayload(statement->payload, options.file);
  if (!membership.ok()) return membership.status();
  if (!options.kit.empty()) {
    absl::StatusOr<Identity> kit = LoadIdentity(options.kit);
    if (!kit.ok()) return kit.status();
    absl::Status verified =
        VerifyStatement(*statement, options.file, kMembershipType, kit->authorities);
    if (!verified.ok()) return verified;
  }
  std::cout << DescribeMembership(*membership)
            << (statement->signatures.empty() ? "nobody has signed it\n"
                : options.kit.empty()         ? "signatures were not checked: give --kit\n"
                                              : "the signatures hold\n");
  return absl::OkStatus();
}

}  // namespace

void AddMembershipCommands(CLI::App* program, Action* action) {
  CLI::App* group =
      program->add_subcommand("membership", "Say who takes part in a run; revoke a site");
  group->require_subcommand(1);
  auto options = std::make_shared<Options>();
  const auto add = [&](const char* name, const char* what, const char* example,
                       absl::Status (*run)(const Options&)) {
    CLI::App* command = group->add_subcommand(name, what);
    command->footer(absl::StrCat("Example:\n  weft-ops membership ", example));
    command->callback([=] { *action = [=] { return run(*options); }; });
    return command;
  };
  const char* const kSiteHelp = "NAME=KIT or NAME=CERTIFICATE; may be given again";

  CLI::App* fresh = add("new", "The first membership of a run",
                        "new --run-id demo --site north=kits/north --site south=kits/south "
                        "--out membership.textproto",
                        &New);
  fresh->add_option("--run-id", options->run_id, "Name of the run")->required();
  CLI::App* more = add("add", "Let more sites in: the version grows",
                       "add membership.signed.json --site east=east.pem --out m2.textproto", &Add);
  CLI::App* revoke = add(
      "revoke", "Shut a site out: the version grows, and the site's name stays taken",
      "revoke membership.signed.json --site east --reason 'key lost' --out m3.textproto", &Revoke);
  CLI::App* sign = add("sign", "Sign a membership, or add a signature to one",
                       "sign --authority authority membership.textproto --out "
                       "membership.signed.json",
                       &SignMembership);
  CLI::App* show = add("show", "A membership in words", "show membership.signed.json", &Show);

  for (CLI::App* command : {more, revoke, sign, show}) {
    command->add_option("file", options->file, "A membership, signed or not")->required();
  }
  for (CLI::App* command : {fresh, more}) {
    command->add_option("--site", options->sites, kSiteHelp)->required();
  }
  for (CLI::App* command : {fresh, more, revoke, sign}) {
    command->add_option("--out", options->out, "The file to write")->required();
  }
  revoke->add_option("--site", options->name, "Name of the site")->required();
  revoke->add_option("--reason", options->reason, "Why: both ends show it")->required();
  sign->add_option("--authority", options->authority, "Folder of the authority that signs")
      ->required();
  show->add_option("--kit", options->kit, "Check the signatures against this kit's authorities");
}

}  // namespace weft
