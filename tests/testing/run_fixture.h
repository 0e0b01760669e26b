// A small run for tests: authority, kits, signed manifest and membership, an initial model; and the
// coordinator program as a process of its own that can be killed. Everything in a temporary folder.
//
//   RunFixture run({"alba", "brena"}, [](RunManifest* m) { m->mutable_rounds()->set_quorum(1); });
//   run.Init(); run.Serve();
//   TestSite alba(run, "alba");  ...
//   run.Kill(SIGKILL); run.Serve();
#ifndef WEFT_TESTS_TESTING_RUN_FIXTURE_H_
#define WEFT_TESTS_TESTING_RUN_FIXTURE_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "model/parameters/parameter_layout.h"
#include "proto/digest.h"
#include "proto/run_manifest.pb.h"
#include "tests/testing/temporary_folder.h"

namespace weft::testing {

class RunFixture {
 public:
  RunFixture(const std::vector<std::string>& sites,
             const std::function<void(RunManifest*)>& change);
  ~RunFixture();

  // A kit of this run's authority, or of another one.
  std::string MakeKit(const std::string& folder_name, const std::string& common_name,
                      const std::string& authority = "authority");
  std::string kit(const std::string& name) const { return folder_ / ("kits/" + name); }
  void MakeAuthorityNamed(const std::string& folder_name);

  // Signs membership_ (version grows) into `path`.
  void SignMembership(const std::string& path);
  // Into the coordinator's directory, as an operator does while it runs.
  void ReplaceMembership();
  Membership& membership() { return membership_; }

  void Init();
  // `listen` port: the one before, if there was one.
  void Serve(const std::vector<std::string>& flags = {});
  // Sends the signal and waits for the end; returns the exit code, or -signal.
  int End(int signal);
  // Exit code; what it printed is in `output`.
  int RunProgram(const std::vector<std::string>& arguments, std::string* output) const;
  std::string Log() const;  // what the coordinator wrote to standard error

  const RunManifest& manifest() const { return manifest_; }
  const Digest& manifest_digest() const { return manifest_digest_; }
  const ParameterLayout& layout() const { return layout_; }
  const std::vector<float>& initial() const { return initial_; }
  std::string directory() const { return folder_ / "run"; }
  std::string path(const std::string& name) const { return folder_ / name; }
  int port() const { return port_; }

 private:
  void MakeInitialModel();
  void SignManifest();

  TemporaryFolder folder_;
  RunManifest manifest_;
  Digest manifest_digest_{};
  Membership membership_;
  ParameterLayout layout_;
  std::vector<float> initial_;
  pid_t process_ = -1;
  int port_ = 0;
};

}  // namespace weft::testing

#endif  // WEFT_TESTS_TESTING_RUN_FIXTURE_H_
