// The doctor's checks of the way to the coordinator, below gRPC. They connect and shake hands, and
// write no byte of their own: what leaves a site goes through EgressGate.
#include <fcntl.h>
#include <netdb.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "ops/certificate.h"
#include "worker/gate/doctor.h"

namespace weft {
namespace {

template <typename T, void (*kFree)(T*)>
struct Freer {
  void operator()(T* p) const { kFree(p); }
};
using Context = std::unique_ptr<SSL_CTX, Freer<SSL_CTX, SSL_CTX_free>>;
using Connection = std::unique_ptr<SSL, Freer<SSL, SSL_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509, X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY, EVP_PKEY_free>>;
using Addresses = std::unique_ptr<addrinfo, Freer<addrinfo, freeaddrinfo>>;

struct Bio {
  explicit Bio(const std::string& text)
      : bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))) {}
  ~Bio() { BIO_free(bio); }
  BIO* bio;
};

// A socket that closes itself.
class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

// HOST:PORT or [HOST]:PORT.
bool SplitTarget(const std::string& target, std::string* host, std::string* port) {
  const size_t colon = target.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == target.size()) return false;
  *host = target.substr(0, colon);
  *port = target.substr(colon + 1);
  if (host->front() == '[' && host->back() == ']') *host = host->substr(1, host->size() - 2);
  return true;
}

Addresses Resolve(const std::string& host, const std::string& port, int* error) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  *error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  return Addresses(found);
}

// To the first address that answers. SO_SNDTIMEO bounds connect, too.
absl::StatusOr<Socket> Connect(const DoctorFacts& facts, double seconds) {
  int error = 0;
  const Addresses found = Resolve(facts.host, facts.port, &error);
  if (error != 0) return absl::UnavailableError(gai_strerror(error));
  std::string why = "no address";
  for (const addrinfo* at = found.get(); at != nullptr; at = at->ai_next) {
    Socket socket(::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol));
    timeval bound{static_cast<time_t>(seconds),
                  static_cast<suseconds_t>(
                      (seconds - static_cast<double>(static_cast<time_t>(seconds))) * 1e6)};
    setsockopt(socket.fd(), SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof(bound));
    setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof(bound));
    if (socket.fd() >= 0 && connect(socket.fd(), at->ai_addr, at->ai_addrlen) == 0) return socket;
    why = errno == EINPROGRESS ? "no answer" : std::strerror(errno);
  }
  return absl::UnavailableError(why);
}

// The kit's certificate as ours, its authority as the only one trusted, the host's name as gRPC
// checks it, HTTP/2, TLS 1.3.
absl::Status SetUp(const Identity& identity, const std::string& host, Context* context,
                   Connection* tls) {
  context->reset(SSL_CTX_new(TLS_client_method()));
  const Bio authority_text(identity.authority_pem), own_text(identity.certificate_pem),
      key_text(identity.key_pem);
  const Certificate authority(PEM_read_bio_X509(authority_text.bio, nullptr, nullptr, nullptr));
  const Certificate own(PEM_read_bio_X509(own_text.bio, nullptr, nullptr, nullptr));
  const Key key(PEM_read_bio_PrivateKey(key_text.bio, nullptr, nullptr, nullptr));
  if (authority == nullptr || own == nullptr || key == nullptr ||
      X509_STORE_add_cert(SSL_CTX_get_cert_store(context->get()), authority.get()) != 1 ||
      SSL_CTX_use_certificate(context->get(), own.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context->get(), key.get()) != 1) {
    return absl::InvalidArgumentError("the kit's certificates or key cannot be used for TLS");
  }
  SSL_CTX_set_min_proto_version(context->get(), TLS1_3_VERSION);
  SSL_CTX_set_verify(context->get(), SSL_VERIFY_PEER, nullptr);
  const unsigned char http2[] = {2, 'h', '2'};
  SSL_CTX_set_alpn_protos(context->get(), http2, sizeof(http2));
  tls->reset(SSL_new(context->get()));
  X509_VERIFY_PARAM* rules = SSL_get0_param(tls->get());
  if (X509_VERIFY_PARAM_set1_ip_asc(rules, host.c_str()) != 1) {
    X509_VERIFY_PARAM_set1_host(rules, host.c_str(), host.size());
    SSL_set_tlsext_host_name(tls->get(), host.c_str());
  }
  return absl::OkStatus();
}

std::string AsPem(X509* certificate) {
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(out, certificate);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  std::string pem(data, static_cast<size_t>(size));
  BIO_free(out);
  return pem;
}

const char* AdviceFor(long verdict) {
  switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "The coordinator's certificate (or this machine's clock) is too old: its operator "
             "needs a new one";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "Set this machine's clock (NTP): the coordinator's certificate begins later";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "Use the host name that the coordinator's certificate names, or have one issued with "
             "this name";
    default:
      return "The coordinator's certificate is not of this kit's authority: is it the right "
             "coordinator, or does something in between end TLS? Compare `weft-ops keys show`";
  }
}

}  // namespace

std::string ProxyFor(const std::string& host,
                     const std::function<const char*(const char*)>& environment) {
  const auto set = [&](const char* name) {
    const char* value = environment(name);
    return std::string(value == nullptr ? "" : value);
  };
  std::string proxy;
  for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy"}) {
    if (proxy.empty()) proxy = set(name);
  }
  std::string spared = set("no_grpc_proxy");
  if (spared.empty()) spared = set("no_proxy");
  for (absl::string_view entry : absl::StrSplit(spared, ',', absl::SkipWhitespace())) {
    entry = absl::StripAsciiWhitespace(entry);
    if (host.size() >= entry.size() &&
        absl::string_view(host).substr(host.size() - entry.size()) == entry) {
      return "";
    }
  }
  return proxy;
}

Finding CheckProxy(const DoctorOptions& options, DoctorFacts* facts) {
  if (!SplitTarget(options.coordinator, &facts->host, &facts->port)) {
    return Failed(absl::StrCat("--coordinator ", options.coordinator, ": not HOST:PORT"),
                  "Write it as run.example.org:7443");
  }
  facts->proxy = ProxyFor(facts->host, [](const char* name) { return getenv(name); });
  if (!facts->proxy.empty()) {
    return Warning(absl::StrCat("gRPC goes through the proxy ", facts->proxy),
                   absl::StrCat("If that is not meant: no_grpc_proxy=", facts->host,
                                ". If it is, the proxy must allow CONNECT to port ", facts->port));
  }
  std::vector<std::string> ignored;
  for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY",
                           "ALL_PROXY", "all_proxy"}) {
    if (getenv(name) != nullptr && *getenv(name) != '\0') ignored.push_back(name);
  }
  if (ignored.empty()) return Ok("none is set");
  return Ok(absl::StrCat("gRPC connects directly: ", absl::StrJoin(ignored, ", "),
                         " set, but not used for ", facts->host));
}

Finding CheckName(const DoctorOptions&, DoctorFacts* facts) {
  if (facts->host.empty()) return Skipped("needs HOST:PORT");
  if (!facts->proxy.empty()) return Skipped("the proxy resolves the name");
  int error = 0;
  const Addresses found = Resolve(facts->host, facts->port, &error);
  if (error != 0) {
    return Failed(absl::StrCat(facts->host, ": ", gai_strerror(error)),
                  "Check the host's spelling, and this machine's name server");
  }
  for (const addrinfo* at = found.get(); at != nullptr; at = at->ai_next) {
    char name[NI_MAXHOST] = "";
    if (getnameinfo(at->ai_addr, at->ai_addrlen, name, sizeof(name), nullptr, 0, NI_NUMERICHOST) ==
        0) {
      facts->addresses.push_back(name);
    }
  }
  return Ok(absl::StrCat(facts->host, " is ", absl::StrJoin(facts->addresses, ", ")));
}

Finding CheckTcp(const DoctorOptions& options, DoctorFacts* facts) {
  if (!facts->proxy.empty()) return Skipped("the proxy connects");
  if (facts->addresses.empty()) return Skipped("needs an address");
  const absl::StatusOr<Socket> socket = Connect(*facts, options.check_seconds / 2);
  if (!socket.ok()) {
    return Failed(absl::StrCat(options.coordinator, ": ", socket.status().message()),
                  "Is the coordinator running, is the port right, and does this site's firewall "
                  "let connections to it out?");
  }
  facts->reachable = true;
  return Ok(absl::StrCat(options.coordinator, " takes connections"));
}

Finding CheckTls(const DoctorOptions& options, DoctorFacts* facts) {
  if (!facts->proxy.empty()) return Skipped("is made through the proxy: see membership");
  if (!facts->reachable || !facts->identity.has_value()) return Skipped("needs tcp and kit");
  absl::StatusOr<Socket> socket = Connect(*facts, options.check_seconds / 4);
  if (!socket.ok()) return Failed(std::string(socket.status().message()), "Run the doctor again");
  Context context;
  Connection tls;
  if (absl::Status status = SetUp(*facts->identity, facts->host, &context, &tls); !status.ok()) {
    return Failed(std::string(status.message()), "Ask the run's authority for a new kit");
  }
  SSL_set_fd(tls.get(), socket->fd());
  if (SSL_connect(tls.get()) != 1) {
    const long verdict = SSL_get_verify_result(tls.get());
    if (verdict == X509_V_OK) {
      return Failed("no TLS 1.3 handshake", "Does a weft-coordinator listen there?");
    }
    return Failed(
        absl::StrCat("the coordinator's certificate: ", X509_verify_cert_error_string(verdict)),
        AdviceFor(verdict));
  }
  // In TLS 1.3 a refused client learns it with its first read; a coordinator that takes us begins.
  char first = 0;
  if (SSL_read(tls.get(), &first, 1) != 1) {
    return Failed("the coordinator refuses this site's certificate",
                  "Is the kit of this run's authority, and in force? The coordinator's log says "
                  "which check failed");
  }
  const Certificate peer(SSL_get1_peer_certificate(tls.get()));
  const absl::StatusOr<CertificateFacts> about = ReadCertificate(AsPem(peer.get()));
  if (!about.ok()) return Failed(std::string(about.status().message()), "");
  return Ok(absl::StrCat("TLS 1.3 both ways; the coordinator's certificate names ",
                         absl::StrJoin(about->hosts, ", "), ", until ",
                         absl::FormatTime("%Y-%m-%d", about->not_after, absl::UTCTimeZone())));
}

}  // namespace weft
