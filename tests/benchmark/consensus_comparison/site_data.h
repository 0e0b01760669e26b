// The sites' text: seven uneven sites of twelve languages, one tokenizer for all, token shards of
// each language, and a sample of held-out text of each site. Made once below a folder, then found
// there again.
//
//   absl::StatusOr<SiteData> data = PrepareSiteData("fedcorpus", "out/data", 40'000);
//   data->sites[2].shards; data->sites[2].held_out;
#ifndef WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_SITE_DATA_H_
#define WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_SITE_DATA_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eval/text_score.h"
#include "tokenizer/tokenizer.h"

namespace weft::comparison {

struct SiteText {
  std::string name;
  std::vector<std::string> languages;
  std::vector<std::string> shards;  // folders
  uint64_t training_bytes = 0;
  uint64_t training_tokens = 0;
  Text held_out;  // equal parts of its languages
};

struct SiteData {
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<SiteText> sites;  // in the order of their names
};

// NotFound says where the text was looked for.
absl::StatusOr<SiteData> PrepareSiteData(const std::string& text, const std::string& folder,
                                         uint64_t held_out_bytes);

// At most `bytes` of the documents, in pieces from all over them: up to 1000 bytes, to the end of a
// line where there is one. Pure.
std::vector<std::string> SampleOf(const std::vector<std::string>& documents, uint64_t bytes);

}  // namespace weft::comparison

#endif  // WEFT_TESTS_BENCHMARK_CONSENSUS_COMPARISON_SITE_DATA_H_
