#include "bundle.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "sha256.hpp"
#include "text.hpp"

namespace x3ddeploy::detail {
namespace fs = std::filesystem;
namespace {

constexpr const char* kManifest = "manifest.json";
constexpr const char* kLabels = "labels.txt";
// An update that was decided and is not everywhere in place yet: a whole bundle of its own (docs/bundle.md).
constexpr const char* kNext = ".next";
// A manifest takes kilobytes; what is larger than this is none. x3ddeploy/files.py reads as much.
constexpr std::uint64_t kLargestManifest = 16u << 20;

// UTF-8, on Windows too.
std::string text_of(const fs::path& path) {
  const auto text = path.u8string();
  return {text.begin(), text.end()};
}

// The error's message is one line of the details: "head.onnx: missing".
Error mismatch(const std::string& file, const std::string& what) {
  return {ErrorKind::failed, file + ": " + what, "", {}};
}

std::string other_size(std::uint64_t found, std::uint64_t wanted) {
  return std::to_string(found) + " bytes, not " + std::to_string(wanted);
}

Result<Bytes> slurp(const fs::path& path, std::uint64_t size) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  Bytes bytes(size);
  if (!file || !file.read(bytes.data(), static_cast<std::streamsize>(size))) {
    return Error{ErrorKind::failed, std::strerror(errno == 0 ? EIO : errno), "", {}};
  }
  return bytes;
}

Result<Bytes> read_from(const fs::path& directory, const std::string& file, std::uint64_t wanted) {
  const fs::path path = directory / fs::u8path(file);
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return mismatch(file, "missing");
  const std::uint64_t size = fs::file_size(path, error);
  if (error) return mismatch(file, error.message());
  if (size != wanted) return mismatch(file, other_size(size, wanted));
  Result<Bytes> bytes = slurp(path, size);
  if (!bytes) return mismatch(file, bytes.error().message);
  return bytes;
}

std::vector<std::string> lines_of(const Bytes& text) {
  std::vector<std::string> lines;
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  const bool marked = std::string_view(text.data(), text.size()).substr(0, kByteOrderMark.size()) == kByteOrderMark;
  for (auto start = text.begin() + (marked ? 3 : 0); start != text.end();) {
    const auto end = std::find(start, text.end(), '\n');
    lines.emplace_back(start, end);
    start = end == text.end() ? end : end + 1;
  }
  return lines;
}

}  // namespace

Result<Bundle> Bundle::open(const fs::path& path) {
  std::error_code error;
  const fs::path directory = fs::is_directory(path / kNext, error) ? path / kNext : path;
  const fs::path file = directory / kManifest;
  const fs::file_status status = fs::status(file, error);
  if (status.type() == fs::file_type::not_found) {
    const bool exists = fs::is_directory(directory, error);
    const char* what = exists ? " holds no manifest.json: it is not a bundle" : " does not exist";
    return Error{ErrorKind::failed, text_of(directory) + what, "make one with `x3ddeploy export CKPT -o DIR`", {}};
  }
  const auto unreadable = [&](const std::string& reason) {
    return Error{ErrorKind::failed, "cannot read " + text_of(file) + ": " + reason, "check the path", {}};
  };
  if (status.type() == fs::file_type::directory) return unreadable(std::strerror(EISDIR));
  const std::uint64_t size = fs::file_size(file, error);
  if (error) return unreadable(error.message());
  if (size > kLargestManifest) return unreadable(std::strerror(EFBIG));
  const Result<Bytes> text = slurp(file, size);
  if (!text) return unreadable(text.error().message);
  return opened(text_of(directory), text_of(file), *text, [directory](const std::string& name, std::uint64_t wanted) {
    return read_from(directory, name, wanted);
  });
}

Result<Bundle> Bundle::open(const std::vector<EmbeddedFile>& files) {
  const auto find = [files](const std::string& name) -> std::optional<Bytes> {
    for (const EmbeddedFile& file : files) {
      const auto* data = static_cast<const char*>(file.data);
      if (file.name == name && data != nullptr) return Bytes(data, data + file.size);
    }
    return std::nullopt;
  };
  const std::string name = "the embedded bundle";
  const std::optional<Bytes> text = find(kManifest);
  if (!text) {
    return Error{ErrorKind::failed,
                 name + " holds no manifest.json: it is not a bundle",
                 "make one with `x3ddeploy export CKPT -o DIR`",
                 {}};
  }
  return opened(name, name + "/manifest.json", *text,
                [find](const std::string& file, std::uint64_t wanted) -> Result<Bytes> {
                  std::optional<Bytes> bytes = find(file);
                  if (!bytes) {
                    return Error{ErrorKind::failed, file + ": missing",
                                 "give Recognizer::open this file as well; x3ddeploy_embed(TARGET BUNDLE FILES ...) carries it", {}};
                  }
                  if (bytes->size() != wanted) return mismatch(file, other_size(bytes->size(), wanted));
                  return std::move(*bytes);
                });
}

Result<Bundle> Bundle::opened(std::string name, const std::string& where, const Bytes& text, Reader reader) {
  Result<Manifest> manifest = parse_manifest({text.data(), text.size()}, where);
  if (!manifest) return std::move(manifest.error());
  Bundle bundle;
  bundle.name_ = std::move(name);
  bundle.manifest_ = std::move(*manifest);
  bundle.reader_ = std::move(reader);
  if (bundle.manifest_.find(kLabels) != nullptr) {
    const Result<Bytes> labels = bundle.read(kLabels);
    if (!labels) return labels.error();
    Contract& contract = bundle.manifest_.network.contract;
    contract.labels = lines_of(*labels);
    if (contract.labels.size() != static_cast<std::size_t>(contract.classes)) {
      return bundle.altered(std::string(kLabels) + ": " + std::to_string(contract.labels.size()) + " labels, and " +
                            std::to_string(contract.classes) + " classes");
    }
    for (const std::string& label : contract.labels) {
      if (!is_utf8(label)) return bundle.altered(std::string(kLabels) + ": it is not UTF-8");
      if (escaped(label) != label) return bundle.altered(std::string(kLabels) + ": '" + label + "' has characters that are not to be printed");
      if (is_blank(label)) return bundle.altered(std::string(kLabels) + ": a class without a name");
    }
  }
  return bundle;
}

Result<Bytes> Bundle::read(const std::string& file) const {
  const FileEntry* entry = manifest_.find(file);
  if (entry == nullptr) return altered(file + ": not in the manifest");
  Result<Bytes> bytes = reader_(file, entry->size_bytes);
  if (!bytes) {
    Error error = altered(bytes.error().message);
    if (!bytes.error().hint.empty()) error.hint = bytes.error().hint;
    return error;
  }
  if (sha256(bytes->data(), bytes->size()) != entry->sha256) return altered(file + ": its sha256 differs");
  return bytes;
}

std::string shell_word(const std::string& word) {
  const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_";
  const std::string text = word.rfind('-', 0) == 0 ? "./" + word : word;
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char character : text) quoted += character == '\'' ? std::string("'\"'\"'") : std::string(1, character);
  return quoted + "'";
}

Result<std::string> Bundle::graph(const std::string& part, const std::string& precision) const {
  const std::string file = precision == "fp32" ? part + ".onnx" : precision + "/" + part + ".onnx";
  if (manifest_.find(file) != nullptr) return file;
  std::string graphs;
  for (const auto& [name, entry] : manifest_.files) {
    if (name.size() > 5 && name.compare(name.size() - 5, 5, ".onnx") == 0)
      graphs += (graphs.empty() ? "" : ", ") + name;
  }
  const std::string make = precision == "fp32" ? "" : "make it with `x3ddeploy quantize " + shell_word(name_) + " --" + precision + "`; ";
  return Error{ErrorKind::failed, name_ + " has no " + file, make + "it has " + graphs, {}};
}

Error Bundle::altered(const std::string& detail) const {
  return {ErrorKind::failed, name_ + " is not what its manifest says", "export again", {detail}};
}

}  // namespace x3ddeploy::detail
