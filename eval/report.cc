#include "eval/report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "eval/unicode.h"
#include "nlohmann/json.hpp"

namespace weft {
namespace {

using Json = nlohmann::ordered_json;

double NatsPerToken(const TextScore& score) {
  return score.nats / static_cast<double>(score.tokens);
}

double PerSecond(uint64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

Json ModelJson(const ModelSummary& model) {
  return {{"folder", model.folder},
          {"architecture", model.architecture},
          {"parameters", model.parameter_count},
          {"vocabulary_size", model.vocabulary_size},
          {"context_length", model.context_length},
          {"layout_digest", ToHex(model.layout_digest)},
          {"vector_digest", ToHex(model.vector_digest)},
          {"tokenizer_sha256", model.tokenizer_sha256}};
}

Json SettingsJson(const ReportSettings& settings) {
  return {{"context_length", settings.context_length},
          {"batch", settings.batch_size},
          {"threads", settings.threads},
          {"device", settings.device},
          {"documents", settings.documents}};
}

// What a text and the pooled texts have in common.
void AddScore(const TextScore& score, Json* json) {
  const RatioEstimate& bits = score.bits_per_byte;
  (*json)["bits_per_byte"] = bits.ratio;
  (*json)["standard_error"] = bits.standard_error ? Json(*bits.standard_error) : Json();
  (*json)["interval_95"] =
      bits.interval ? Json::array({bits.interval->low, bits.interval->high}) : Json();
  (*json)["nats_per_token"] = NatsPerToken(score);
  (*json)["perplexity_per_token"] = std::exp(NatsPerToken(score));
  (*json)["log_likelihood"] = -score.nats;
  (*json)["tokens"] = score.tokens;
  (*json)["bytes"] = score.bytes;
  (*json)["file_bytes"] = score.file_bytes;
  (*json)["documents"] = score.documents;
  (*json)["windows"] = score.windows;
  (*json)["seconds"] = score.seconds;
  (*json)["tokens_per_second"] = PerSecond(score.tokens, score.seconds);
}

Json TextJson(const TextScore& score) {
  Json json = {{"name", score.name}, {"path", score.path}, {"sha256", ToHex(score.sha256)}};
  AddScore(score, &json);
  return json;
}

Json QuestionsJson(const QuestionScore& score) {
  return {{"name", score.name},
          {"path", score.path},
          {"sha256", ToHex(score.sha256)},
          {"file_bytes", score.file_bytes},
          {"questions", score.questions},
          {"choices", score.choices},
          {"truncated", score.truncated},
          {"acc", score.acc.value},
          {"acc_stderr", score.acc.standard_error},
          {"acc_norm", score.acc_norm.value},
          {"acc_norm_stderr", score.acc_norm.standard_error},
          {"tokens", score.tokens},
          {"seconds", score.seconds},
          {"tokens_per_second", PerSecond(score.tokens, score.seconds)}};
}

// Rows of cells under headings; the first column is left-aligned, numbers right.
std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<int64_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], CharacterCount(row[i]));
    }
  }
  std::string out;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string fill(widths[i] - CharacterCount(row[i]), ' ');
      absl::StrAppend(&out, i == 0 ? "" : "  ", i == 0 ? row[i] + fill : fill + row[i]);
    }
    absl::StrAppend(&out, "\n");
  }
  return out;
}

std::vector<std::string> TextRow(const TextScore& score) {
  const RatioEstimate& bits = score.bits_per_byte;
  const std::string interval =
      bits.interval ? absl::StrFormat("%.4f .. %.4f", bits.interval->low, bits.interval->high)
                    : "- (one window)";
  const double nats = NatsPerToken(score);
  return {score.name,
          absl::StrFormat("%.4f", bits.ratio),
          interval,
          absl::StrFormat("%.4f", nats),
          absl::StrFormat("%.2f", std::exp(nats)),
          absl::StrCat(score.tokens),
          absl::StrCat(score.bytes),
          absl::StrFormat("%.0f", PerSecond(score.tokens, score.seconds))};
}

std::string TextTable(const std::vector<TextScore>& texts) {
  std::vector<std::vector<std::string>> rows = {{"text", "bits/byte", "95 % interval", "nats/token",
                                                 "perplexity/token", "tokens", "bytes",
                                                 "tokens/s"}};
  for (const TextScore& text : texts) rows.push_back(TextRow(text));
  if (texts.size() > 1) rows.push_back(TextRow(PoolScores(texts)));
  std::string out = Table(rows);
  for (const TextScore& text : texts) {
    absl::StrAppend(&out, "  ", text.name, ": ", text.path, ", SHA-256 ", ToHex(text.sha256), "\n");
  }
  return out;
}

std::string QuestionTable(const std::vector<QuestionScore>& sets) {
  std::vector<std::vector<std::string>> rows = {
      {"questions", "acc", "+-", "acc_norm", "+-", "count", "choices", "tokens/s"}};
  for (const QuestionScore& set : sets) {
    rows.push_back({set.name, absl::StrFormat("%.4f", set.acc.value),
                    absl::StrFormat("%.4f", set.acc.standard_error),
                    absl::StrFormat("%.4f", set.acc_norm.value),
                    absl::StrFormat("%.4f", set.acc_norm.standard_error),
                    absl::StrCat(set.questions), absl::StrCat(set.choices),
                    absl::StrFormat("%.0f", PerSecond(set.tokens, set.seconds))});
  }
  std::string out = Table(rows);
  for (const QuestionScore& set : sets) {
    absl::StrAppend(&out, "  ", set.name, ": ", set.path, ", SHA-256 ", ToHex(set.sha256), "\n");
    if (set.truncated > 0) {
      absl::StrAppend(&out, "  ", set.name, ": ", set.truncated, " of ", set.choices,
                      " choices did not fit with their prompt, which was cut on the left\n");
    }
  }
  return out;
}

}  // namespace

ModelSummary Summarize(const ModelFolder& model) {
  return {.folder = model.folder,
          .architecture = model.config.qk_norm() ? "Qwen3ForCausalLM" : "LlamaForCausalLM",
          .parameter_count = model.parameter_count,
          .vocabulary_size = model.config.vocabulary_size(),
          .context_length = model.config.context_length(),
          .layout_digest = model.layout_digest,
          .vector_digest = model.vector_digest,
          .tokenizer_sha256 = model.tokenizer->model_sha256()};
}

std::string PrintJson(const Report& report) {
  Json json = {{"report_version", kReportVersion},
               {"model", ModelJson(report.model)},
               {"settings", SettingsJson(report.settings)}};
  if (!report.texts.empty()) {
    json["texts"] = Json::array();
    for (const TextScore& text : report.texts) json["texts"].push_back(TextJson(text));
    AddScore(PoolScores(report.texts), &json["pooled"]);
  }
  if (!report.questions.empty()) {
    json["questions"] = Json::array();
    for (const QuestionScore& set : report.questions) {
      json["questions"].push_back(QuestionsJson(set));
    }
  }
  // Names and paths come from the command line and need not be UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string PrintTables(const Report& report) {
  const ModelSummary& model = report.model;
  std::string out = absl::StrCat(
      "model: ", model.folder, "\n  ", model.architecture, ", ", model.parameter_count,
      " parameters, vocabulary ", model.vocabulary_size, ", context ", model.context_length,
      report.settings.context_length == static_cast<int64_t>(model.context_length)
          ? ""
          : absl::StrCat(" (windows of ", report.settings.context_length, ")"),
      "\n  vector ", ToHex(model.vector_digest), "\n  tokenizer ", model.tokenizer_sha256, "\n");
  if (!report.texts.empty()) absl::StrAppend(&out, "\n", TextTable(report.texts));
  if (!report.questions.empty()) absl::StrAppend(&out, "\n", QuestionTable(report.questions));
  return out;
}

}  // namespace weft
