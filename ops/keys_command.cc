// weft-ops keys: the run authority, and the kits it issues.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "ops/certificate.h"
#include "ops/commands.h"
#include "ops/identity.h"
#include "proto/durable_file.h"
#include "proto/signed_statement.h"
#include "proto/text_file.h"

namespace weft {
namespace {

struct Options {
  std::string folder, name, out, authority, request;
  std::vector<std::string> hosts, with;
  int days = 0;
  int threshold = 0;
  bool json = false;
};

std::string Day(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M UTC", time, absl::UTCTimeZone());
}

// A kit is whole when it loads: what was just issued is read back.
absl::Status SayIssued(const std::string& kit) {
  absl::StatusOr<std::string> pem = ReadWholeFile(kit + "/certificate.pem");
  if (!pem.ok()) return pem.status();
  absl::StatusOr<CertificateFacts> facts = ReadCertificate(*pem);
  if (!facts.ok()) return facts.status();
  std::cout << "issued " << kit << "/certificate.pem to '" << facts->common_name << "', until "
            << Day(facts->not_after) << "\n";
  return absl::OkStatus();
}

absl::Status InitAuthority(const Options& options) {
  absl::Status made = MakeAuthority(options.out, options.name, absl::Hours(24) * options.days);
  if (!made.ok()) return made;
  std::cout << "made the run authority '" << options.name << "' in " << options.out << "\n"
            << "keep " << options.out << "/key.pem where only you reach it: it signs every kit, "
            << "manifest and membership\n";
  return absl::OkStatus();
}

absl::Status Request(const Options& options) {
  if (absl::Status made = MakeRequest(options.out, options.name); !made.ok()) return made;
  std::cout << "made " << options.out << "/request.pem: take it to the authority; " << options.out
            << "/key.pem stays here\n";
  return absl::OkStatus();
}

absl::Status Issue(const Options& options, const std::string& request) {
  absl::Status issued = IssueCertificate(options.authority, request, options.out, options.hosts,
                                         absl::Hours(24) * options.days);
  return issued.ok() ? SayIssued(options.out) : issued;
}

absl::Status IssueSite(const Options& options) {
  if (absl::Status made = MakeRequest(options.out, options.name); !made.ok()) return made;
  return Issue(options, options.out + "/request.pem");
}

// k of n: the keys of several authorities, of which `threshold` must sign.
absl::Status SetAuthorities(const Options& options) {
  absl::StatusOr<Identity> own = LoadIdentity(options.authority);
  if (!own.ok()) return own.status();
  std::vector<std::string> certificates = {own->certificate_pem};
  for (const std::string& path : options.with) {
    absl::StatusOr<std::string> pem = ReadWholeFile(path);
    if (!pem.ok()) return pem.status();
    certificates.push_back(*pem);
  }
  Authorities authorities;
  authorities.set_threshold(static_cast<uint32_t>(options.threshold));
  for (const std::string& pem : certificates) {
    absl::StatusOr<std::string> key = CertificatePublicKey(pem);
    if (!key.ok()) return key.status();
    for (const std::string& known : authorities.public_keys()) {
      if (known == *key) return absl::InvalidArgumentError("an authority's key is given twice");
    }
    authorities.add_public_keys(*key);
  }
  if (absl::Status checked = CheckAuthorities(authorities); !checked.ok()) return checked;
  absl::Status written = WriteTextProto(options.authority + "/authorities.textproto", authorities);
  if (!written.ok()) return written;
  std::cout << "kits issued from now on ask for " << options.threshold << " of "
            << authorities.public_keys_size() << " signatures\n";
  return absl::OkStatus();
}

struct KitFacts {
  CertificateFacts certificate;
  std::string key_id;
  std::string trouble;  // empty: the kit is whole and in force
  std::string warning;
};

absl::StatusOr<KitFacts> Examine(const std::string& folder) {
  absl::StatusOr<std::string> pem = ReadWholeFile(folder + "/certificate.pem");
  if (!pem.ok()) return pem.status();
  absl::StatusOr<CertificateFacts> facts = ReadCertificate(*pem);
  if (!facts.ok()) return facts.status();
  absl::StatusOr<std::string> id = KeyId(facts->public_key_pem);
  if (!id.ok()) return id.status();
  KitFacts kit{.certificate = *facts, .key_id = *id};
  absl::StatusOr<Identity> identity = LoadIdentity(folder, &kit.warning);
  if (!identity.ok()) kit.trouble = std::string(identity.status().message());
  return kit;
}

absl::Status Show(const Options& options) {
  absl::StatusOr<KitFacts> kit = Examine(options.folder);
  if (!kit.ok()) return kit.status();
  const CertificateFacts& facts = kit->certificate;
  const std::string role = facts.is_authority                      ? "authority"
                           : facts.common_name == kCoordinatorName ? "coordinator"
                                                                   : "site";
  const int64_t days_left = absl::ToInt64Hours(facts.not_after - absl::Now()) / 24;
  if (options.json) {
    std::cout << nlohmann::json{{"name", facts.common_name},
                                {"role", role},
                                {"key_id", kit->key_id},
                                {"not_before", absl::FormatTime(facts.not_before)},
                                {"not_after", absl::FormatTime(facts.not_after)},
                                {"days_left", days_left},
                                {"hosts", facts.hosts},
                                {"trouble", kit->trouble}}
                     .dump(2)
              << "\n";
  } else {
    std::cout << absl::StrFormat("%s '%s'\n  key id   %s\n  in force %s to %s (%d days left)\n",
                                 role, facts.common_name, kit->key_id, Day(facts.not_before),
                                 Day(facts.not_after), days_left);
    for (const std::string& host : facts.hosts) std::cout << "  host     " << host << "\n";
    if (!kit->warning.empty()) std::cout << "  warning  " << kit->warning << "\n";
  }
  return kit->trouble.empty() ? absl::OkStatus() : absl::FailedPreconditionError(kit->trouble);
}

struct Command {
  CLI::App* app;
  std::shared_ptr<Options> options;
};

void AddDays(const Command& command, int standard) {
  command.options->days = standard;
  command.app->add_option("--days", command.options->days, "Days that the certificate is in force")
      ->check(CLI::Range(1, 36500))
      ->capture_default_str();
}

void AddName(const Command& command) {
  command.app->add_option("--name", command.options->name, "The site's name, or 'coordinator'")
      ->required();
}

void AddIssuing(const Command& command) {
  Options& options = *command.options;
  command.app->add_option("--authority", options.authority, "The authority's folder")->required();
  command.app->add_option("--out", options.out, "The kit that the certificate goes into")
      ->required();
  command.app->add_option("--host", options.hosts,
                          "A name or address that sites reach the coordinator by; for it alone");
  AddDays(command, 365);
}

}  // namespace

void AddKeysCommands(CLI::App* program, Action* action) {
  CLI::App* keys = program->add_subcommand("keys", "Make, issue and show identities");
  keys->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, const char* example,
                       absl::Status (*run)(const Options&)) {
    Command command{keys->add_subcommand(name, what), std::make_shared<Options>()};
    command.app->footer(absl::StrCat("Example:\n  weft-ops keys ", example));
    command.app->callback([action, run, options = command.options] {
      *action = [run, options] { return run(*options); };
    });
    return command;
  };

  const Command init =
      add("init-authority", "Make a run authority: a key and its certificate",
          "init-authority --out authority --name 'Run authority of demo'", &InitAuthority);
  init.app->add_option("--out", init.options->out, "Its new folder")->required();
  init.options->name = "Weft run authority";
  init.app->add_option("--name", init.options->name, "Its name")->capture_default_str();
  AddDays(init, 3650);

  const Command request = add("request", "At a site: make its key, and a request for the authority",
                              "request --name north --out kits/north", &Request);
  AddName(request);
  request.app->add_option("--out", request.options->out, "The site's new kit")->required();

  const Command issue =
      add("issue", "At the authority: turn a site's request into its certificate",
          "issue --authority authority --request kits/north/request.pem --out kits/north",
          [](const Options& options) { return Issue(options, options.request); });
  issue.app->add_option("--request", issue.options->request, "The site's request.pem")->required();
  AddIssuing(issue);

  const Command site = add("issue-site", "request and issue at once, where both are on one machine",
                           "issue-site --authority authority --name coordinator --host 127.0.0.1 "
                           "--host localhost --out kits/coordinator",
                           &IssueSite);
  AddName(site);
  AddIssuing(site);

  const Command several =
      add("authorities", "Say whose signatures make manifests and memberships valid: k of n",
          "authorities --authority authority --with other/certificate.pem --threshold 2",
          &SetAuthorities);
  several.app->add_option("--authority", several.options->authority, "The folder to change")
      ->required();
  several.app->add_option("--with", several.options->with, "Certificates of other authorities");
  several.app->add_option("--threshold", several.options->threshold, "How many of them must sign")
      ->required()
      ->check(CLI::Range(1, kAuthorityKeysMax));

  const Command show = add("show", "Name, key and lifetime of a kit, and whether it is whole",
                           "show kits/north", &Show);
  show.app->add_option("folder", show.options->folder, "A kit, or an authority's folder")
      ->required();
  show.app->add_flag("--json", show.options->json, "As JSON");
}

}  // namespace weft
