#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ops/manifest.h"
#include "proto/signed_statement.h"

namespace weft {

const MemberSite* FindMember(const Membership& membership, absl::string_view site) {
  for (const MemberSite& member : membership.sites()) {
    if (member.name() == site) return &member;
  }
  return nullptr;
}

std::string DescribeMembership(const Membership& membership) {
  std::string text = absl::StrFormat("Membership of run '%s', version %d\n", membership.run_id(),
                                     membership.version());
  for (const MemberSite& site : membership.sites()) {
    absl::StatusOr<std::string> id = KeyId(site.public_key());
    absl::StrAppendFormat(&text, "  %-16s key %s  weight %s%s%s\n", site.name(),
                          id.ok() ? id->substr(0, 16) : "(unreadable)",
                          site.weight() > 0 ? absl::StrCat(site.weight()) : "equal",
                          site.revoked() ? "  REVOKED: " : "", site.revocation_reason());
  }
  return text;
}

}  // namespace weft
