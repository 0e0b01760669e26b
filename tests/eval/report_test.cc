#include "eval/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace weft {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TextScore TextOf(std::string name, uint64_t bytes, std::vector<RatioTerm> terms) {
  TextScore score{
      .name = std::move(name), .path = "dir/text", .sha256 = Sha256("text"), .bytes = bytes};
  score.file_bytes = bytes + 1;
  score.documents = 1;
  score.tokens = bytes / 2;
  score.windows = terms.size();
  for (const RatioTerm& term : terms) score.nats += term.numerator * M_LN2;
  score.seconds = 2;
  score.bits_per_byte = EstimateRatio(terms);
  score.terms = std::move(terms);
  return score;
}

Report Example() {
  Report report;
  report.model = {.folder = "release",
                  .architecture = "Qwen3ForCausalLM",
                  .parameter_count = 1234,
                  .vocabulary_size = 256,
                  .context_length = 64,
                  .layout_digest = Sha256("layout"),
                  .vector_digest = Sha256("vector"),
                  .tokenizer_sha256 = "abcd"};
  report.settings = {
      .context_length = 32, .batch_size = 8, .threads = 2, .device = "cpu", .documents = "whole"};
  report.texts = {TextOf("ü", 100, {{120, 60}, {90, 40}}), TextOf("short", 10, {{30, 10}})};
  report.questions = {{.name = "quiz",
                       .path = "quiz.jsonl",
                       .sha256 = Sha256("quiz"),
                       .file_bytes = 77,
                       .questions = 4,
                       .choices = 8,
                       .tokens = 20,
                       .truncated = 3,
                       .seconds = 4,
                       .acc = {.value = 0.75, .standard_error = 0.25},
                       .acc_norm = {.value = 0.5, .standard_error = 0.125}}};
  return report;
}

TEST(ReportTest, JsonHoldsTheModelAndTheSettings) {
  const auto json = nlohmann::json::parse(PrintJson(Example()));
  EXPECT_EQ(json["report_version"], kReportVersion);
  EXPECT_EQ(json["model"], (nlohmann::json{{"folder", "release"},
                                           {"architecture", "Qwen3ForCausalLM"},
                                           {"parameters", 1234},
                                           {"vocabulary_size", 256},
                                           {"context_length", 64},
                                           {"layout_digest", ToHex(Sha256("layout"))},
                                           {"vector_digest", ToHex(Sha256("vector"))},
                                           {"tokenizer_sha256", "abcd"}}));
  EXPECT_EQ(json["settings"], (nlohmann::json{{"context_length", 32},
                                              {"batch", 8},
                                              {"threads", 2},
                                              {"device", "cpu"},
                                              {"documents", "whole"}}));
}

TEST(ReportTest, JsonHoldsEachTextAndThePooledOnes) {
  const auto json = nlohmann::json::parse(PrintJson(Example()));
  ASSERT_EQ(json["texts"].size(), 2u);
  const auto& text = json["texts"][0];
  EXPECT_EQ(text["name"], "ü");
  EXPECT_EQ(text["path"], "dir/text");
  EXPECT_EQ(text["sha256"], ToHex(Sha256("text")));
  EXPECT_DOUBLE_EQ(text["bits_per_byte"], 2.1);
  EXPECT_DOUBLE_EQ(text["nats_per_token"], 210 * M_LN2 / 50);
  EXPECT_DOUBLE_EQ(text["perplexity_per_token"], std::exp(210 * M_LN2 / 50));
  EXPECT_DOUBLE_EQ(text["log_likelihood"], -210 * M_LN2);
  EXPECT_EQ(text["tokens"], 50);
  EXPECT_EQ(text["bytes"], 100);
  EXPECT_EQ(text["file_bytes"], 101);
  EXPECT_EQ(text["documents"], 1);
  EXPECT_EQ(text["windows"], 2);
  EXPECT_EQ(text["seconds"], 2);
  EXPECT_EQ(text["tokens_per_second"], 25);
  EXPECT_LT(text["interval_95"][0], 2.1);
  EXPECT_GT(text["interval_95"][1], 2.1);
  EXPECT_GT(text["standard_error"], 0);

  EXPECT_TRUE(json["texts"][1]["interval_95"].is_null());  // one window
  EXPECT_TRUE(json["texts"][1]["standard_error"].is_null());

  EXPECT_EQ(json["pooled"]["bytes"], 110);
  EXPECT_DOUBLE_EQ(json["pooled"]["bits_per_byte"], 240.0 / 110);
}

TEST(ReportTest, JsonHoldsQuestions) {
  const auto json = nlohmann::json::parse(PrintJson(Example()));
  EXPECT_EQ(json["questions"], (nlohmann::json::array({{{"name", "quiz"},
                                                        {"path", "quiz.jsonl"},
                                                        {"sha256", ToHex(Sha256("quiz"))},
                                                        {"file_bytes", 77},
                                                        {"questions", 4},
                                                        {"choices", 8},
                                                        {"truncated", 3},
                                                        {"acc", 0.75},
                                                        {"acc_stderr", 0.25},
                                                        {"acc_norm", 0.5},
                                                        {"acc_norm_stderr", 0.125},
                                                        {"tokens", 20},
                                                        {"seconds", 4.0},
                                                        {"tokens_per_second", 5.0}}})));
}

TEST(ReportTest, LeavesOutWhatWasNotScored) {
  Report report = Example();
  report.texts.clear();
  EXPECT_FALSE(nlohmann::json::parse(PrintJson(report)).contains("texts"));
  EXPECT_FALSE(nlohmann::json::parse(PrintJson(report)).contains("pooled"));
  EXPECT_THAT(PrintTables(report), Not(HasSubstr("bits/byte")));
  report = Example();
  report.questions.clear();
  EXPECT_FALSE(nlohmann::json::parse(PrintJson(report)).contains("questions"));
  EXPECT_THAT(PrintTables(report), Not(HasSubstr("acc")));
}

TEST(ReportTest, TablesAlignByCharactersAndPoolOnlySeveralTexts) {
  Report report = Example();
  const std::string tables = PrintTables(report);
  EXPECT_THAT(tables, HasSubstr("context 64 (windows of 32)"));
  EXPECT_THAT(tables, HasSubstr("\ntext    bits/byte"));
  EXPECT_THAT(tables, HasSubstr("\nü          2.1000"));
  EXPECT_THAT(tables, HasSubstr("- (one window)"));
  EXPECT_THAT(tables, HasSubstr("\npooled     2.1818"));
  EXPECT_THAT(tables, HasSubstr("quiz: 3 of 8 choices did not fit"));
  report.texts.pop_back();
  EXPECT_THAT(PrintTables(report), Not(HasSubstr("pooled")));
}

TEST(ReportTest, ANameThatIsNotUtf8DoesNotStopTheReport) {
  Report report = Example();
  report.model.folder = "\xFF";
  EXPECT_EQ(nlohmann::json::parse(PrintJson(report))["model"]["folder"], "\uFFFD");
}

}  // namespace
}  // namespace weft
