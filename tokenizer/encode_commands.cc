#include <CLI/CLI.hpp>
#include <iostream>
#include <iterator>
#include <memory>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "tokenizer/commands.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace weft {
namespace {

using Json = nlohmann::json;

struct EncodeArguments {
  std::string tokenizer;
  bool json_lines = false;
};

absl::Status BadLine(uint64_t number, absl::string_view wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat("standard input:", number, ": ", wanted, " is expected"));
}

void PrintIds(const std::vector<int32_t>& ids) {
  for (size_t i = 0; i < ids.size(); ++i) std::cout << (i == 0 ? "" : " ") << ids[i];
  std::cout << "\n";
}

absl::Status Encode(const EncodeArguments& arguments) {
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = LoadTokenizer(arguments.tokenizer);
  if (!tokenizer.ok()) return tokenizer.status();
  if (!arguments.json_lines) {
    const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    PrintIds((*tokenizer)->Encode(text));
    return absl::OkStatus();
  }
  std::string line;
  for (uint64_t number = 1; std::getline(std::cin, line); ++number) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("text") || !json["text"].is_string())
      return BadLine(number, R"({"text": "..."})");
    std::cout << Json{{"ids", (*tokenizer)->Encode(json["text"].get<std::string>())}}.dump()
              << "\n";
  }
  return absl::OkStatus();
}

absl::Status Decode(const EncodeArguments& arguments) {
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = LoadTokenizer(arguments.tokenizer);
  if (!tokenizer.ok()) return tokenizer.status();
  if (!arguments.json_lines) {
    std::vector<int32_t> ids;
    for (int32_t id; std::cin >> id;) ids.push_back(id);
    if (!std::cin.eof())
      return absl::InvalidArgumentError(
          "standard input: token ids separated by white space are expected");
    std::cout << (*tokenizer)->Decode(ids);
    return absl::OkStatus();
  }
  std::string line;
  for (uint64_t number = 1; std::getline(std::cin, line); ++number) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    std::vector<int32_t> ids;
    if (!json.is_object() || !json.contains("ids") || !json["ids"].is_array())
      return BadLine(number, R"({"ids": [...]})");
    for (const Json& id : json["ids"]) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX)
        return BadLine(number, "a list of token ids");
      ids.push_back(id.get<int32_t>());
    }
    // Ids may stop in the middle of a character: the replacement character stands for what is not
    // UTF-8.
    std::cout << Json{{"text", (*tokenizer)->Decode(ids)}}.dump(-1, ' ', false,
                                                                Json::error_handler_t::replace)
              << "\n";
  }
  return absl::OkStatus();
}

}  // namespace

void AddEncodeCommands(CLI::App* program, Action* action) {
  const auto add = [&](const char* name, const char* words, const char* lines,
                       absl::Status (*run)(const EncodeArguments&)) {
    auto arguments = std::make_shared<EncodeArguments>();
    CLI::App* command = program->add_subcommand(name, words);
    command
        ->add_option("--tokenizer", arguments->tokenizer,
                     "folder with tokenizer.model, or that file")
        ->required();
    command->add_flag("--jsonl", arguments->json_lines, lines);
    command->callback([=] { *action = [=] { return run(*arguments); }; });
  };
  add("encode", "Text on standard input to token ids (no BOS is added)",
      R"(one {"text": "..."} a line to one {"ids": [...]} a line)", &Encode);
  add("decode", "Token ids on standard input to text",
      R"(one {"ids": [...]} a line to one {"text": "..."} a line)", &Decode);
}

}  // namespace weft
