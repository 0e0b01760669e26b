#include "model/formats/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/formats/half.h"
#include "nlohmann/json.hpp"
#include "proto/durable_file.h"

namespace weft {
namespace {

using Json = nlohmann::json;
constexpr uint64_t kHeaderBytesMax = 100'000'000;
constexpr uint64_t kAlignment = 256;
constexpr uint64_t kBlockElements = uint64_t{1} << 18;

// Bytes an element takes; 0: a type that the format does not have.
uint64_t ElementBytes(absl::string_view dtype) {
  constexpr std::pair<const char*, uint64_t> kTypes[] = {
      {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8},     {"I64", 8},
      {"I32", 4}, {"I16", 2}, {"I8", 1},   {"U8", 1},      {"BOOL", 1},
      {"U16", 2}, {"U32", 4}, {"U64", 8},  {"F8_E4M3", 1}, {"F8_E5M2", 1}};
  for (const auto& [name, bytes] : kTypes) {
    if (dtype == name) return bytes;
  }
  return 0;
}

absl::Status Malformed(absl::string_view source, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(source, ": not a safetensors file: ", what));
}

// One value of the header: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}.
absl::StatusOr<SafetensorsEntry> ParseEntry(const std::string& name, const Json& json,
                                            uint64_t data_begin, uint64_t file_bytes,
                                            absl::string_view source) {
  const auto bad = [&](absl::string_view what) {
    return Malformed(source, absl::StrCat("tensor ", name, ": ", what));
  };
  if (!json.is_object() || !json.contains("dtype") || !json["dtype"].is_string() ||
      !json.contains("shape") || !json["shape"].is_array() || !json.contains("data_offsets") ||
      !json["data_offsets"].is_array() || json["data_offsets"].size() != 2) {
    return bad("dtype, shape and two data_offsets are needed");
  }
  SafetensorsEntry entry{.dtype = json["dtype"].get<std::string>()};
  const uint64_t element_bytes = ElementBytes(entry.dtype);
  if (element_bytes == 0) return bad(absl::StrCat("unknown dtype '", entry.dtype, "'"));
  uint64_t bytes = element_bytes;
  for (const Json& dimension : json["shape"]) {
    if (!dimension.is_number_unsigned()) return bad("a dimension is not a whole number");
    const auto size = dimension.get<uint64_t>();
    if (size != 0 && bytes > file_bytes / size)
      return bad("its shape takes more than the file holds");
    bytes *= size;
    entry.shape.push_back(static_cast<int64_t>(size));
  }
  if (!json["data_offsets"][0].is_number_unsigned() ||
      !json["data_offsets"][1].is_number_unsigned())
    return bad("an offset is not a whole number");
  const auto begin = json["data_offsets"][0].get<uint64_t>();
  const auto end = json["data_offsets"][1].get<uint64_t>();
  if (begin > end || end > file_bytes - data_begin)
    return bad("its offsets are outside of the file");
  if (end - begin != bytes) return bad(absl::StrCat(end - begin, " bytes, its shape says ", bytes));
  entry.begin = data_begin + begin;
  entry.end = data_begin + end;
  return entry;
}

// The format asks for no holes and no overlaps: byte ranges, sorted, follow each other from the
// header to the end.
absl::Status CheckCovering(const SafetensorsHeader& header, uint64_t data_begin,
                           uint64_t file_bytes, absl::string_view source) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const auto& [name, entry] : header.tensors) ranges.emplace_back(entry.begin, entry.end);
  std::sort(ranges.begin(), ranges.end());
  uint64_t at = data_begin;
  for (const auto& [begin, end] : ranges) {
    if (begin != at)
      return Malformed(source, absl::StrCat("a hole or an overlap at byte ", std::min(begin, at)));
    at = end;
  }
  if (at != file_bytes)
    return Malformed(source,
                     absl::StrCat(file_bytes - at, " bytes at the end belong to no tensor"));
  return absl::OkStatus();
}

void ToFloats(absl::string_view dtype, const std::string& bytes, absl::Span<float> out) {
  if (dtype == "F32") {
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return;
  }
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t half;
    std::memcpy(&half, bytes.data() + 2 * i, 2);
    out[i] = dtype == "BF16" ? FloatFromBf16(half) : FloatFromFp16(half);
  }
}

absl::Status ReadTensor(int fd, const SafetensorsEntry& entry, const std::string& path,
                        absl::Span<float> out) {
  const uint64_t element_bytes = ElementBytes(entry.dtype);
  std::string bytes;
  for (uint64_t done = 0; done < out.size(); done += kBlockElements) {
    const absl::Span<float> block = out.subspan(done, kBlockElements);
    bytes.resize(block.size() * element_bytes);
    size_t got = 0;
    while (got < bytes.size()) {
      const ssize_t n = pread(fd, bytes.data() + got, bytes.size() - got,
                              static_cast<off_t>(entry.begin + done * element_bytes + got));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return ErrnoStatus("cannot read", path);
      got += static_cast<size_t>(n);
    }
    ToFloats(entry.dtype, bytes, block);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view head,
                                                         uint64_t file_bytes,
                                                         absl::string_view source) {
  if (head.size() < 8 || file_bytes < 8) return Malformed(source, "shorter than 8 bytes");
  uint64_t length;
  std::memcpy(&length, head.data(), 8);
  if (length > kHeaderBytesMax || length > file_bytes - 8) {
    return Malformed(source,
                     absl::StrCat("a header of ", length,
                                  " bytes; at most 100 MB and the file's own length are possible"));
  }
  if (head.size() < 8 + length) return Malformed(source, "its header is cut off");
  const char* begin = head.data() + 8;
  if (length == 0 || *begin != '{') return Malformed(source, "its header does not begin with '{'");
  // A hostile header may nest deeply or name a tensor twice; depth is cut, the second name refused.
  std::map<std::string, int> names;
  std::string twice;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::key && depth == 1 && names[parsed.get<std::string>()]++ > 0)
      twice = parsed.get<std::string>();
    return depth <= 3;
  };
  const Json json = Json::parse(begin, begin + length, watch, /*allow_exceptions=*/false);
  if (!json.is_object()) return Malformed(source, "its header is no JSON object");
  if (!twice.empty()) return Malformed(source, absl::StrCat("tensor ", twice, " is named twice"));
  SafetensorsHeader header;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") {
      if (!value.is_object()) return Malformed(source, "__metadata__ is no object");
      for (const auto& [key, text] : value.items())
        header.metadata[key] = text.is_string() ? text.get<std::string>() : text.dump();
      continue;
    }
    absl::StatusOr<SafetensorsEntry> entry =
        ParseEntry(name, value, 8 + length, file_bytes, source);
    if (!entry.ok()) return entry.status();
    header.tensors[name] = *std::move(entry);
  }
  if (absl::Status status = CheckCovering(header, 8 + length, file_bytes, source); !status.ok())
    return status;
  return header;
}

absl::StatusOr<SafetensorsHeader> ReadSafetensorsHeader(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus("cannot open", path);
  struct stat info;
  const bool known = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  uint64_t length = 0;
  std::string head(8, '\0');
  if (known && pread(fd, head.data(), 8, 0) == 8) std::memcpy(&length, head.data(), 8);
  if (known && length <= kHeaderBytesMax && length <= static_cast<uint64_t>(info.st_size)) {
    head.resize(8 + length);
    const ssize_t got = pread(fd, head.data(), head.size(), 0);
    head.resize(got < 0 ? 0 : static_cast<size_t>(got));
  }
  close(fd);
  if (!known) return Malformed(path, "not a regular file");
  return ParseSafetensorsHeader(head, static_cast<uint64_t>(info.st_size), path);
}

absl::Status WriteSafetensors(const std::string& path, const ParameterLayout& layout,
                              absl::Span<const float> vector) {
  if (vector.size() != layout.element_count()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": a vector of ", vector.size(),
                                                   " elements for a layout of ",
                                                   layout.element_count()));
  }
  nlohmann::ordered_json json;
  json["__metadata__"] = {{"format", "pt"}};
  for (const TensorSpec& tensor : layout.tensors()) {
    json[tensor.name] = {
        {"dtype", "F32"},
        {"shape", tensor.shape},
        {"data_offsets",
         {tensor.offset * sizeof(float), (tensor.offset + tensor.size) * sizeof(float)}}};
  }
  std::string header = json.dump();
  header.append((kAlignment - (8 + header.size()) % kAlignment) % kAlignment, ' ');
  absl::StatusOr<std::unique_ptr<DurableFile>> file = DurableFile::Create(path);
  if (!file.ok()) return file.status();
  const uint64_t length = header.size();
  const absl::string_view parts[] = {
      {reinterpret_cast<const char*>(&length), 8},
      header,
      {reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float)}};
  for (const absl::string_view part : parts) {
    if (absl::Status status = (*file)->Append(part); !status.ok()) return status;
  }
  return (*file)->Commit();
}

static absl::Status ReadSafetensorsInto(const std::string& path, const ParameterLayout& layout,
                                        absl::Span<float> vector, std::vector<bool>* seen) {
  absl::StatusOr<SafetensorsHeader> header = ReadSafetensorsHeader(path);
  if (!header.ok()) return header.status();
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus("cannot open", path);
  absl::Status status;
  size_t known = 0;
  for (size_t i = 0; i < layout.tensors().size() && status.ok(); ++i) {
    const TensorSpec& tensor = layout.tensors()[i];
    const auto it = header->tensors.find(tensor.name);
    if (it == header->tensors.end()) continue;
    ++known;
    const SafetensorsEntry& entry = it->second;
    if (entry.shape != tensor.shape) {
      status = absl::InvalidArgumentError(absl::StrCat(
          path, ": tensor ", tensor.name, " has the shape ", absl::StrJoin(entry.shape, "x"),
          ", the model's is ", absl::StrJoin(tensor.shape, "x")));
    } else if (entry.dtype != "F32" && entry.dtype != "F16" && entry.dtype != "BF16") {
      status = absl::InvalidArgumentError(absl::StrCat(
          path, ": tensor ", tensor.name, " is ", entry.dtype, "; F32, F16 and BF16 can be read"));
    } else {
      status = ReadTensor(fd, entry, path, vector.subspan(tensor.offset, tensor.size));
      (*seen)[i] = true;
    }
  }
  close(fd);
  if (!status.ok() || known == header->tensors.size()) return status;
  for (const auto& [name, entry] : header->tensors) {
    if (layout.Find(name) == nullptr)
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": tensor ", name, " does not belong to this model"));
  }
  return status;
}

absl::StatusOr<ParameterVector> ReadSafetensors(absl::Span<const std::string> paths,
                                                const ParameterLayout& layout) {
  ParameterVector vector(layout.element_count());
  std::vector<bool> seen(layout.tensors().size());
  for (const std::string& path : paths) {
    if (absl::Status status = ReadSafetensorsInto(path, layout, vector.span(), &seen); !status.ok())
      return status;
  }
  for (size_t i = 0; i < seen.size(); ++i) {
    if (!seen[i])
      return absl::NotFoundError(absl::StrCat(absl::StrJoin(paths, ", "), ": tensor ",
                                              layout.tensors()[i].name, " is missing"));
  }
  return vector;
}

}  // namespace weft
