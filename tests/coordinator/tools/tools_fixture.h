// A run's directory made by the real program, and the damage that tests of the tools do to it.
#ifndef WEFT_TESTS_COORDINATOR_TOOLS_TOOLS_FIXTURE_H_
#define WEFT_TESTS_COORDINATOR_TOOLS_TOOLS_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/blob_directory.h"
#include "proto/durable_file.h"
#include "tests/testing/test_site.h"

namespace weft {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;
using ::weft::testing::RunFixture;
using ::weft::testing::TestSite;

inline std::vector<float> Moved(const std::vector<float>& x, float by) {
  std::vector<float> moved = x;
  for (size_t i = 0; i < x.size(); ++i) moved[i] += by * static_cast<float>(i % 13);
  return moved;
}

// With momentum and an encoded way down: every kind of vector there is.
inline void EveryVector(RunManifest* m) {
  m->mutable_encodings()->set_down("delta_bf16");
  m->mutable_consensus()->set_preset("diloco");
  m->mutable_consensus()->mutable_outer()->set_nesterov(true);
  m->mutable_consensus()->mutable_outer()->set_learning_rate(0.7);
  m->mutable_consensus()->mutable_outer()->set_momentum(0.9);
  m->mutable_rounds()->set_sites_to_start(2);
  m->mutable_rounds()->set_quorum(2);
}

inline void FlipByte(const std::string& path, int64_t from_end) {
  std::string bytes = *ReadWholeFile(path);
  const size_t at = bytes.size() - static_cast<size_t>(from_end);
  bytes[at] = static_cast<char>(bytes[at] ^ 0x40);
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::vector<std::string> Files(const std::string& folder, const std::string& suffix = "") {
  std::vector<std::string> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string path = entry.path().string();
    if (absl::EndsWith(path, suffix)) paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

class ToolsTest : public ::testing::Test {
 protected:
  ~ToolsTest() override {
    if (HasFailure()) std::cerr << output_ << "\n";
  }

  // Rounds [first, end), of two sites.
  void Rounds(uint64_t first, uint64_t end, const std::vector<std::string>& flags = {}) {
    run_.Serve(flags);
    alba_.emplace(run_, "alba");
    brena_.emplace(run_, "brena");
    alba_->Join();
    brena_->Join();
    for (uint64_t round = first; round < end; ++round) {
      const RoundEvent open = alba_->WaitForPhase(RoundEvent::OPEN, round);
      const float by = 0.001f * static_cast<float>(round + 1);
      ASSERT_TRUE(alba_->Push(alba_->Prepare(open, Moved(run_.initial(), by))).stored());
      ASSERT_TRUE(brena_->Push(brena_->Prepare(open, Moved(run_.initial(), -by / 3))).stored());
      alba_->Report(round, 3.5);
      brena_->Report(round, 3.25);
      alba_->WaitFor([&](const RoundEvent& e) { return e.context().base_version() == round + 1; });
    }
  }
  // A whole run of three rounds.
  void WholeRun(const std::vector<std::string>& flags = {}) {
    run_.Init();
    Rounds(0, 3, flags);
    alba_->WaitForPhase(RoundEvent::FINISHED, 3);
    ASSERT_EQ(run_.End(SIGTERM), 0) << run_.Log();
  }
  int Tool(std::vector<std::string> arguments, const std::string& folder = "") {
    arguments.insert(arguments.end(), {"--directory", folder.empty() ? run_.directory() : folder});
    return run_.RunProgram(arguments, &output_);
  }
  nlohmann::json Json(std::vector<std::string> arguments) {
    arguments.push_back("--json");
    Tool(std::move(arguments));
    return nlohmann::json::parse(output_.substr(0, output_.rfind('}') + 1));
  }
  std::string Blob(const char* field) {
    const auto status = Json({"status"});
    return absl::StrCat(run_.directory(), "/blobs/", status[field].get<std::string>());
  }
  // A blob of the outer state or the encoded change: every one but the consensus.
  std::string SmallestBlob() {
    std::vector<std::string> blobs = Files(run_.directory() + "/blobs");
    return *std::min_element(blobs.begin(), blobs.end(), [](const auto& a, const auto& b) {
      return fs::file_size(a) < fs::file_size(b);
    });
  }

  RunFixture run_{{"alba", "brena"}, EveryVector};
  std::optional<TestSite> alba_, brena_;
  std::string output_;
};

}  // namespace weft

#endif  // WEFT_TESTS_COORDINATOR_TOOLS_TOOLS_FIXTURE_H_
