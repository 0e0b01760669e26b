// Runs a fuzz target without libFuzzer: over each file of a corpus, each file cut off at many
// places, and mutations that depend on nothing but a seed. A crash names the input and the command
// that replays it.
//
//   safetensors_header_fuzz CORPUS [RUNS [SEED [FIRST]]]
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_target.h"

// There in a build with sanitizers, null otherwise.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace weft {
namespace {

constexpr size_t kCutsMax = 2000;
constexpr size_t kInputBytesMax = 1 << 16;

// What the crash handler prints; filled before each input, because nothing may be built in a
// handler.
char last_words[1024];

void SayLastWords() {
  if (write(STDERR_FILENO, last_words, strnlen(last_words, sizeof(last_words))) < 0) _exit(2);
}

void OnCrash(int) {
  SayLastWords();
  _exit(1);
}

// A sanitizer ends the process itself, after a report that a handler of ours would suppress.
void WatchForCrashes() {
  signal(SIGABRT, OnCrash);
  if (__sanitizer_set_death_callback != nullptr)
    return __sanitizer_set_death_callback(SayLastWords);
  for (const int signal_number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) signal(signal_number, OnCrash);
}

void Run(const std::string& input) {
  // A copy of exactly this size, so that a sanitizer sees a read past its end.
  const std::vector<uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::vector<std::string> ReadCorpus(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

// Values where lengths, offsets and counts go wrong.
constexpr uint64_t kEdges[] = {0,          1,          0x7F,       0x80,         0xFF,
                               0x7FFF,     0xFFFF,     0x7FFFFFFF, 0x80000000,   0xFFFFFFFF,
                               1ULL << 40, 1ULL << 62, 1ULL << 63, ~uint64_t{7}, ~uint64_t{0}};

using Random = std::mt19937_64;

size_t Below(size_t end, Random* random) { return end == 0 ? 0 : (*random)() % end; }

void OverwriteWithEdge(std::string* input, Random* random) {
  const uint64_t edge = kEdges[Below(std::size(kEdges), random)];
  const size_t width = size_t{1} << Below(4, random);
  const size_t at = Below(input->size(), random);
  for (size_t i = 0; i < width && at + i < input->size(); ++i)
    (*input)[at + i] = static_cast<char>(edge >> (8 * i));
}

// A number in the text is replaced by another: the JSON and text formats carry lengths as digits.
void ReplaceNumber(std::string* input, Random* random) {
  const size_t at = input->find_first_of("0123456789", Below(input->size(), random));
  if (at == std::string::npos) return;
  const size_t end = std::min(input->find_first_not_of("0123456789", at), input->size());
  const std::string sign = Below(4, random) == 0 ? "-" : "";
  input->replace(at, end - at, sign + std::to_string(kEdges[Below(std::size(kEdges), random)]));
}

void MutateOnce(const std::vector<std::string>& corpus, std::string* input, Random* random) {
  const size_t at = Below(input->size(), random);
  const size_t length = Below(std::min<size_t>(input->size() - at, 64), random) + 1;
  const std::string& other = corpus[Below(corpus.size(), random)];
  switch (Below(8, random)) {
    case 0:
      if (!input->empty()) (*input)[at] = static_cast<char>((*input)[at] ^ (1 << Below(8, random)));
      return;
    case 1:
      if (!input->empty()) (*input)[at] = static_cast<char>((*random)());
      return;
    case 2:
      return OverwriteWithEdge(input, random);
    case 3:
      return ReplaceNumber(input, random);
    case 4:
      input->erase(at, length);
      return;
    case 5:
      input->insert(at,
                    input->substr(at, length));  // a part twice: repeated fields, keys, signatures
      return;
    case 6:
      input->insert(at, length, "\"{}[]:,<> \n\x00\xFF"[Below(13, random)]);
      return;
    default:
      // The beginning of this and the end of another.
      *input = input->substr(0, at) + other.substr(Below(other.size(), random));
      return;
  }
}

std::string Mutation(const std::vector<std::string>& corpus, uint64_t seed, uint64_t run) {
  Random random(seed * 1'000'003 + run);
  std::string input = corpus[Below(corpus.size(), &random)];
  for (size_t i = Below(6, &random) + 1; i > 0; --i) MutateOnce(corpus, &input, &random);
  return input.substr(0, kInputBytesMax);
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s CORPUS [RUNS [SEED [FIRST]]]\n", argv[0]);
    return 2;
  }
  const uint64_t runs = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 20000;
  const uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
  const uint64_t first = argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 0;
  WatchForCrashes();
  const std::vector<std::string> corpus = ReadCorpus(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: no corpus\n", argv[1]);
    return 1;
  }
  uint64_t inputs = 0;
  for (size_t i = 0; i < corpus.size(); ++i) {
    std::snprintf(last_words, sizeof(last_words), "on file %zu of %s, or a beginning of it\n", i,
                  argv[1]);
    const size_t step = corpus[i].size() / kCutsMax + 1;
    for (size_t length = 0; length < corpus[i].size(); length += step, ++inputs)
      Run(corpus[i].substr(0, length));
    Run(corpus[i]);
    ++inputs;
  }
  for (uint64_t run = first; run < first + runs; ++run, ++inputs) {
    std::snprintf(last_words, sizeof(last_words), "replay: %s %s 1 %llu %llu\n", argv[0], argv[1],
                  static_cast<unsigned long long>(seed), static_cast<unsigned long long>(run));
    Run(Mutation(corpus, seed, run));
  }
  std::printf("%llu inputs of %zu files, seed %llu\n", static_cast<unsigned long long>(inputs),
              corpus.size(), static_cast<unsigned long long>(seed));
  return 0;
}

}  // namespace
}  // namespace weft

int main(int argc, char** argv) { return weft::Main(argc, argv); }
