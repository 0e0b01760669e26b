#include "model/formats/huggingface.h"

#include <cstring>
#include <filesystem>

#include "gtest/gtest.h"
#include "proto/durable_file.h"
#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

ModelConfig SmallConfig() {
  ModelConfig config;
  config.set_vocabulary_size(128);
  config.set_hidden_size(8);
  config.set_layer_count(2);
  config.set_attention_heads(4);
  config.set_key_value_heads(2);
  config.set_head_dimension(6);
  config.set_intermediate_size(16);
  config.set_context_length(32);
  config.set_qk_norm(true);
  config.set_rope_theta(500000);
  config.set_norm_epsilon(1e-6);
  return config;
}

TEST(HuggingFace, ConfigRoundTripsInBothForms) {
  for (const bool qk_norm : {true, false}) {
    ModelConfig config = SmallConfig();
    config.set_qk_norm(qk_norm);
    config.set_tied_embeddings(qk_norm);
    const ModelConfig read = *ParseHuggingFaceConfig(PrintHuggingFaceConfig(config), "test");
    EXPECT_EQ(read.SerializeAsString(), config.SerializeAsString());
  }
}

TEST(HuggingFace, RefusesByTheNameOfTheField) {
  const auto message = [](absl::string_view json) {
    return std::string(ParseHuggingFaceConfig(json, "c.json").status().message());
  };
  EXPECT_NE(message(R"({"model_type": "mamba"})").find("mamba"), std::string::npos);
  EXPECT_NE(message(R"({"model_type": "llama", "attention_bias": true})").find("attention_bias"),
            std::string::npos);
  EXPECT_NE(message(R"({"model_type": "llama", "hidden_size": "x"})").find("hidden_size"),
            std::string::npos);
  EXPECT_NE(
      message(R"({"model_type": "llama", "rope_parameters": {"rope_type": "yarn"}})").find("yarn"),
      std::string::npos);
  EXPECT_FALSE(ParseHuggingFaceConfig("[]", "c").ok());
}

TEST(HuggingFace, FolderIsWholeAndNeverOverwritten) {
  testing::TemporaryFolder folder;
  const ModelConfig config = SmallConfig();
  const ParameterLayout layout = *TransformerLayout(config);
  std::vector<float> x(layout.element_count());
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) / 7;
  ASSERT_TRUE(
      WriteHuggingFaceFolder(folder / "model", config, x, "", {{"note.txt", "hello"}}).ok());
  const HuggingFaceModel model = *ReadHuggingFaceFolder(folder / "model");
  EXPECT_EQ(std::memcmp(model.vector.data(), x.data(), x.size() * sizeof(float)), 0);
  EXPECT_NE(ReadWholeFile(folder / "model/SHA256SUMS")->find("note.txt"), std::string::npos);
  EXPECT_TRUE(absl::IsAlreadyExists(WriteHuggingFaceFolder(folder / "model", config, x, "")));
  EXPECT_FALSE(WriteHuggingFaceFolder(folder / "other", config, x, folder / "no-tokenizer").ok());
  EXPECT_FALSE(std::filesystem::exists(folder / "other"));
}

}  // namespace
}  // namespace weft
