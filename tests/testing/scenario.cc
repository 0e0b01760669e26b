#include "tests/testing/scenario.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

namespace weft::testing {
namespace {

constexpr char kRules[] = "rules: ";
constexpr char kScheme[] = "scheme: ";
constexpr char kEvent[] = "> ";
constexpr char kIndent[] = "    ";

bool StartsWith(const std::string& line, const std::string& prefix) {
  return line.compare(0, prefix.size(), prefix) == 0;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The script with what the machine does now.
std::string Replay(const std::string& script, Player* player) {
  std::istringstream lines(script);
  std::ostringstream out;
  for (std::string line; std::getline(lines, line);) {
    if (StartsWith(line, kIndent)) continue;
    out << line << "\n";
    if (StartsWith(line, kRules)) player->SetRules(line.substr(sizeof(kRules) - 1));
    if (StartsWith(line, kScheme)) player->SetScheme(line.substr(sizeof(kScheme) - 1));
    if (!StartsWith(line, kEvent)) continue;
    const std::vector<std::string> done = player->Play(line.substr(sizeof(kEvent) - 1));
    for (const std::string& effect : done) out << kIndent << effect << "\n";
    if (done.empty()) out << kIndent << "(nothing)\n";
  }
  return out.str();
}

class ScenarioTest : public ::testing::Test {
 public:
  ScenarioTest(std::string path, bool regenerate, std::unique_ptr<Player> player)
      : path_(std::move(path)), regenerate_(regenerate), player_(std::move(player)) {}
  void TestBody() override {
    const std::string script = ReadFile(path_);
    ASSERT_TRUE(StartsWith(script, "# ")) << path_ << ": begins with the rule in a sentence";
    const std::string now = Replay(script, player_.get());
    EXPECT_EQ(now.find("cannot be read"), std::string::npos) << path_ << "\n" << now;
    if (regenerate_) {
      std::ofstream(path_) << now;
      return;
    }
    EXPECT_EQ(script, now) << path_ << ": if the rule was meant to change, run this with "
                           << "--regenerate and read the diff";
  }

 private:
  const std::string path_;
  const bool regenerate_;
  const std::unique_ptr<Player> player_;
};

}  // namespace

std::vector<std::string> PlaySentence(const std::vector<Sentence>& sentences,
                                      const std::string& event) {
  for (const Sentence& sentence : sentences) {
    std::smatch match;
    if (std::regex_match(event, match, std::regex(sentence.pattern))) return sentence.play(match);
  }
  return {"cannot be read: " + event};
}

int RunScenarios(int argc, char** argv, const std::string& folder,
                 const std::function<std::unique_ptr<Player>()>& make_player) {
  ::testing::InitGoogleTest(&argc, argv);
  const bool regenerate = argc > 1 && std::string(argv[1]) == "--regenerate";
  const char* source = std::getenv("WEFT_SOURCE");
  const std::string scripts =
      std::string(source == nullptr ? "." : source) + "/tests/scenarios/" + folder;
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(scripts, error)) {
    if (entry.path().extension() == ".txt") paths.push_back(entry.path().string());
  }
  if (paths.empty()) {
    std::cerr << scripts << ": no scripts; run in the root of the sources or set WEFT_SOURCE\n";
    return 1;
  }
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    const std::string name = std::filesystem::path(path).stem().string();
    ::testing::RegisterTest(
        "Scenario", name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
        [=]() -> ScenarioTest* { return new ScenarioTest(path, regenerate, make_player()); });
  }
  return RUN_ALL_TESTS();
}

}  // namespace weft::testing
