#include "tests/testing/run_fixture.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/formats/huggingface.h"
#include "model/parameters/parameter_codec.h"
#include "ops/identity.h"
#include "ops/manifest.h"
#include "proto/check.h"
#include "proto/durable_file.h"
#include "proto/signed_statement.h"
#include "proto/text_file.h"

namespace weft::testing {
namespace {

void MustBeOk(const absl::Status& status) {
  if (!status.ok()) std::fprintf(stderr, "fixture: %s\n", status.ToString().c_str());
  WEFT_CHECK(status.ok());
}

std::string Program() { return std::string(std::getenv("WEFT_BIN")) + "/weft-coordinator"; }

pid_t Start(const std::vector<std::string>& arguments, int out, int err) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child != 0) return child;
  dup2(out, 1);
  dup2(err, 2);
  execv(argv[0], argv.data());
  _exit(127);
}

}  // namespace

RunFixture::RunFixture(const std::vector<std::string>& sites,
                       const std::function<void(RunManifest*)>& change) {
  MakeAuthorityNamed("authority");
  MakeKit("coordinator", "coordinator");
  membership_.set_protocol_version(1);
  membership_.set_run_id("test-run");
  for (const std::string& site : sites) {
    MemberSite* member = membership_.add_sites();
    member->set_name(site);
    member->set_public_key(
        *CertificatePublicKey(*ReadWholeFile(MakeKit(site, site) + "/certificate.pem")));
  }
  const char* text = R"(
    protocol_version: 1 run_id: "test-run" description: "A run of the tests." seed: 7
    model { vocabulary_size: 256 hidden_size: 32 layer_count: 1 attention_heads: 2 key_value_heads: 1
            head_dimension: 16 intermediate_size: 64 context_length: 64 qk_norm: true tied_embeddings: true
            rope_theta: 500000 norm_epsilon: 1e-6 }
    consensus { preset: "fedavg" alpha: 1 combine: "mean" outer { name: "sgd" learning_rate: 1 } }
    rounds { round_count: 3 inner_steps: 5 quorum: 1 sites_to_start: 1 round_seconds_max: 60
             update_norm_max: 100 publish_every: 8 }
    training { batch_size: 2 sequence_length: 32 learning_rate: 1e-3 learning_rate_min: 1e-4
               warmup_steps: 2 weight_decay: 0.1 beta1: 0.9 beta2: 0.95 epsilon: 1e-8 gradient_clip: 1 }
    encodings { up: "parameters_fp32" down: "parameters_fp32" }
    license: "Apache-2.0")";
  MustBeOk(ParseTextProto(text, "fixture", &manifest_));
  change(&manifest_);
  MakeInitialModel();
  SignManifest();
  SignMembership(path("membership.signed.json"));
}

RunFixture::~RunFixture() {
  if (process_ > 0) End(SIGKILL);
}

void RunFixture::MakeAuthorityNamed(const std::string& folder_name) {
  MustBeOk(MakeAuthority(path(folder_name), "Authority of the tests", absl::Hours(24 * 365)));
}

std::string RunFixture::MakeKit(const std::string& folder_name, const std::string& common_name,
                                const std::string& authority) {
  const std::string folder = kit(folder_name);
  MustBeOk(MakeRequest(folder, common_name));
  std::vector<std::string> hosts;
  if (common_name == kCoordinatorName) hosts = {"127.0.0.1", "localhost"};
  MustBeOk(IssueCertificate(path(authority), folder + "/request.pem", folder, hosts,
                            absl::Hours(24 * 365)));
  return folder;
}

void RunFixture::MakeInitialModel() {
  layout_ = *TransformerLayout(manifest_.model());
  for (uint64_t i = 0; i < layout_.element_count(); ++i) {
    initial_.push_back(static_cast<float>(i % 97) / 97.0f - 0.5f);
  }
  MustBeOk(MakeDirectories(path("tokenizer")));
  for (const char* name : kTokenizerFiles) {
    MustBeOk(WriteFileDurably(path(absl::StrCat("tokenizer/", name)),
                              absl::StrCat("content of ", name)));
  }
  MustBeOk(WriteHuggingFaceFolder(path("initial"), manifest_.model(), initial_, path("tokenizer")));
  VectorHeader header;
  header.element_count = layout_.element_count();
  header.layout = layout_.digest();
  const BlobDirectory blobs = *BlobDirectory::Open(path("initial-blob"));
  manifest_.set_initial_consensus(ToHex(*WriteVector(blobs, header, initial_, {})));
  manifest_.set_layout_digest(ToHex(layout_.digest()));
  manifest_.set_tokenizer_sha256(ToHex(*Sha256OfFile(path("tokenizer/tokenizer.model"))));
}

void RunFixture::SignManifest() {
  SignedStatement statement;
  statement.payload_type = std::string(kManifestType);
  statement.payload = PrintTextProto(manifest_);
  manifest_digest_ = Sha256(statement.payload);
  MustBeOk(Sign(*ReadWholeFile(path("authority/key.pem")), &statement));
  MustBeOk(WriteFileDurably(path("run.signed.json"), PrintSignedStatement(statement)));
}

void RunFixture::SignMembership(const std::string& to) {
  membership_.set_version(membership_.version() + 1);
  SignedStatement statement;
  statement.payload_type = std::string(kMembershipType);
  statement.payload = PrintTextProto(membership_);
  MustBeOk(Sign(*ReadWholeFile(path("authority/key.pem")), &statement));
  MustBeOk(WriteFileDurably(to, PrintSignedStatement(statement)));
}

void RunFixture::ReplaceMembership() { SignMembership(directory() + "/membership.signed.json"); }

int RunFixture::RunProgram(const std::vector<std::string>& arguments, std::string* output) const {
  std::vector<std::string> all = {Program()};
  all.insert(all.end(), arguments.begin(), arguments.end());
  const std::string out = path("output");
  const int fd = open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const pid_t child = Start(all, fd, fd);
  close(fd);
  int status = 0;
  waitpid(child, &status, 0);
  *output = *ReadWholeFile(out);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void RunFixture::Init() {
  std::string output;
  const int code = RunProgram({"init", "--directory", directory(), "--kit", kit("coordinator"),
                               "--manifest", path("run.signed.json"), "--membership",
                               path("membership.signed.json"), "--initial", path("initial")},
                              &output);
  if (code != 0) std::fprintf(stderr, "init: %s\n", output.c_str());
  WEFT_CHECK(code == 0);
}

void RunFixture::Serve(const std::vector<std::string>& flags) {
  const std::string port_file = path("port");
  std::filesystem::remove(port_file);
  std::vector<std::string> all = {Program(),     "serve",    "--directory",
                                  directory(),   "--listen", absl::StrCat("127.0.0.1:", port_),
                                  "--port-file", port_file,  "--heartbeat-seconds",
                                  "0.2"};
  all.insert(all.end(), flags.begin(), flags.end());
  const int log = open(path("coordinator.log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  process_ = Start(all, log, log);
  close(log);
  const absl::Time give_up = absl::Now() + absl::Seconds(20);
  while (!std::filesystem::exists(port_file)) {
    if (absl::Now() > give_up || waitpid(process_, nullptr, WNOHANG) != 0) {
      std::fprintf(stderr, "the coordinator does not serve:\n%s\n", Log().c_str());
      std::abort();
    }
    absl::SleepFor(absl::Milliseconds(10));
  }
  WEFT_CHECK(absl::SimpleAtoi(*ReadWholeFile(port_file), &port_));
}

int RunFixture::End(int signal) {
  kill(process_, signal);
  int status = 0;
  waitpid(process_, &status, 0);
  process_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

std::string RunFixture::Log() const { return *ReadWholeFile(path("coordinator.log")); }

}  // namespace weft::testing
