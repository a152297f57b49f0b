// A bundle's files, in a directory or in memory, each checked against the manifest before it is given away.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "manifest.hpp"

namespace x3ddeploy::detail {

using Bytes = std::vector<char>;

// A path as a word of a shell's command line, so that a printed command works when it is pasted.
std::string shell_word(const std::string& word);

class Bundle {
 public:
  static Result<Bundle> open(const std::filesystem::path& directory);
  static Result<Bundle> open(const std::vector<EmbeddedFile>& files);

  const std::string& name() const noexcept { return name_; }
  const Manifest& manifest() const noexcept { return manifest_; }
  const Contract& contract() const noexcept { return manifest_.network.contract; }

  // A file's contents, of the size and the sha256 that the manifest says.
  Result<Bytes> read(const std::string& file) const;
  // Name of a part's graph: "head.onnx", "int8/head.onnx".
  Result<std::string> graph(const std::string& part, const std::string& precision) const;

 private:
  using Reader = std::function<Result<Bytes>(const std::string& file, std::uint64_t size_bytes)>;

  static Result<Bundle> opened(std::string name, const std::string& where, const Bytes& manifest, Reader reader);
  Error altered(const std::string& detail) const;

  std::string name_;
  Manifest manifest_;
  Reader reader_;
};

}  // namespace x3ddeploy::detail
