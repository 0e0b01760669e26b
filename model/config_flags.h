// The fields of a ModelConfig as flags of a command, with the defaults of a model of about a
// million parameters.
//
//   auto flags = std::make_shared<ConfigFlags>();
//   flags->AddTo(command);
//   ... after parsing: flags->config, and flags->vocabulary_given()
#ifndef WEFT_MODEL_CONFIG_FLAGS_H_
#define WEFT_MODEL_CONFIG_FLAGS_H_

#include "proto/run_manifest.pb.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace weft {

struct ConfigFlags {
  ModelConfig config;  // holds what was given once the command line has been read

  void AddTo(CLI::App* command);
  bool vocabulary_given() const;

 private:
  CLI::Option* vocabulary_ = nullptr;
};

}  // namespace weft

#endif  // WEFT_MODEL_CONFIG_FLAGS_H_
