// manifest.json: what of it the runtime needs. Unknown members are left alone, as Python leaves them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contract.hpp"

namespace x3ddeploy::detail {

inline constexpr std::int64_t kSchemaVersion = 2;

using NamedShapes = std::vector<std::pair<std::string, Shape>>;

struct FileEntry {
  std::string sha256;
  std::uint64_t size_bytes = 0;
};

// A TensorRT engine: what it was built from, with and on.
struct EngineEntry {
  std::string part;
  std::string graph_sha256;
  std::string version;  // of TensorRT
  std::string gpu;      // that it was built on; empty where it was built without one
  std::vector<std::string> compute_capabilities;
  std::string flavour;  // "tensorrt" or "tensorrt_rtx"
  std::string precision;
  std::string hardware_compatibility;
  bool version_compatible = false;
};

// A graph that makes inputs of the network of what a camera and a pose estimator give.
struct Preprocessing {
  std::string name;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
};

struct Manifest {
  Network network;
  std::vector<Preprocessing> preprocessing;
  std::vector<std::pair<std::string, FileEntry>> files;      // in the manifest's order
  std::vector<std::pair<std::string, EngineEntry>> engines;  // by the plan's path
  // Of the recognizer's outputs: precision -> output -> how far rounding takes it.
  std::map<std::string, std::map<std::string, Rounding>> roundings;

  const FileEntry* find(std::string_view file) const noexcept;
};

// `where` names the text in errors.
Result<Manifest> parse_manifest(std::string_view text, const std::string& where);

}  // namespace x3ddeploy::detail
