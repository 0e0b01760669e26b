// What a run of weft-eval found, as JSON for scripts and as tables for people.
//
//   std::cout << PrintTables(report);   WriteFileDurably(path, PrintJson(report));
//
// README.md lists every key of the JSON. Pure functions.
#ifndef WEFT_EVAL_REPORT_H_
#define WEFT_EVAL_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eval/model_folder.h"
#include "eval/questions.h"
#include "eval/text_score.h"

namespace weft {

inline constexpr int kReportVersion = 1;

// What is printed of a model, without the model itself.
struct ModelSummary {
  std::string folder;
  std::string architecture;
  uint64_t parameter_count = 0;
  uint64_t vocabulary_size = 0;
  uint64_t context_length = 0;
  Digest layout_digest{};
  Digest vector_digest{};
  std::string tokenizer_sha256;
};
ModelSummary Summarize(const ModelFolder& model);

struct ReportSettings {
  int32_t context_length = 0;  // L of the windows
  int batch_size = 0;
  int threads = 0;
  std::string device;
  std::string documents;
};

struct Report {
  ModelSummary model;
  ReportSettings settings;
  std::vector<TextScore> texts;
  std::vector<QuestionScore> questions;
};

std::string PrintJson(const Report& report);
std::string PrintTables(const Report& report);

}  // namespace weft

#endif  // WEFT_EVAL_REPORT_H_
