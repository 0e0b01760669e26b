#include "coordinator/server/caller.h"

#include <vector>

#include "coordinator/core/admission.h"
#include "ops/identity.h"
#include "proto/signed_statement.h"

namespace weft {
namespace {

std::string Property(const grpc::AuthContext& peer, const char* name) {
  const std::vector<grpc::string_ref> values = peer.FindPropertyValues(name);
  return values.size() == 1 ? std::string(values[0].data(), values[0].size()) : std::string();
}

bool CarriesKey(const std::string& certificate_pem, const MemberSite& member) {
  const absl::StatusOr<std::string> key = CertificatePublicKey(certificate_pem);
  if (!key.ok()) return false;
  const absl::StatusOr<std::string> have = KeyId(*key), want = KeyId(member.public_key());
  return have.ok() && want.ok() && *have == *want;
}

}  // namespace

std::string CallerName(const grpc::ServerContextBase& call) {
  return Property(*call.auth_context(), GRPC_X509_CN_PROPERTY_NAME);
}

Caller IdentifyCaller(const grpc::ServerContextBase& call, const RunManifest& manifest,
                      const RoundState& state, const MessageContext& context, SessionRule rule) {
  Caller caller{.site = CallerName(call)};
  const MemberSite* member = FindMember(state, caller.site);
  const bool key_matches =
      member != nullptr &&
      CarriesKey(Property(*call.auth_context(), GRPC_X509_PEM_CERT_PROPERTY_NAME), *member);
  caller.refusal = CheckContext(manifest, state, context);
  if (!IsRefused(caller.refusal)) caller.refusal = CheckMember(state, caller.site, key_matches);
  if (!IsRefused(caller.refusal) && rule == SessionRule::kNeeded) {
    caller.refusal = CheckSession(state, caller.site, context.session_id());
  }
  return caller;
}

}  // namespace weft
