#include "engines.hpp"

#include <algorithm>
#include <cstdlib>

namespace x3ddeploy::detail {
namespace {

constexpr int kAmpere = 8;

std::string title(const std::string& flavour) { return flavour == "tensorrt_rtx" ? "TensorRT-RTX" : "TensorRT"; }

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::vector<int> numbers(const std::string& version) {
  std::vector<int> found;
  for (std::size_t at = 0; at < version.size(); at = std::min(version.find('.', at), version.size() - 1) + 1) {
    found.push_back(std::atoi(version.c_str() + at));
  }
  return found;
}

// Whether a version-compatible plan may load: in a later version, of the same major one or the one behind it. Plans of 8.6
// load in 10, those of 10 in 11, and those of 8.6 not in 11; 9 was for few GPUs alone.
bool may_follow(const std::string& built, const std::string& installed) {
  const std::vector<int> before = numbers(built), after = numbers(installed);
  if (before.empty() || after.empty()) return false;
  const int behind = before[0] == 8 || before[0] == 9 ? 10 : before[0] + 1;
  return after >= before && after[0] <= behind;
}

// Why an engine cannot be loaded on a host, in words; empty where it can.
std::string misfit(const EngineEntry& entry, const Host& host) {
  const std::string built_with = "built with " + title(entry.flavour) + " " + entry.version;
  if (entry.flavour != "tensorrt") return built_with + ", and this is TensorRT " + host.version;
  if (entry.version != host.version && !(entry.version_compatible && may_follow(entry.version, host.version))) {
    return built_with + ", and " + host.version + " is installed";
  }
  const auto& capabilities = entry.compute_capabilities;
  if (std::find(capabilities.begin(), capabilities.end(), host.compute_capability) != capabilities.end()) return "";
  if (entry.hardware_compatibility == "ampere+" && std::atoi(host.compute_capability.c_str()) >= kAmpere) return "";
  return "built for compute capability " + joined(capabilities) + (entry.gpu.empty() ? "" : " on " + entry.gpu) +
         ", and this is " + host.gpu + " of compute capability " + host.compute_capability;
}

std::string stale(const Bundle& bundle, const EngineEntry& entry) {
  const std::string graph =
      entry.precision == "fp32" ? entry.part + ".onnx" : entry.precision + "/" + entry.part + ".onnx";
  const FileEntry* file = bundle.manifest().find(graph);
  if (file != nullptr && file->sha256 == entry.graph_sha256) return "";
  return "built from another " + graph + " than the bundle holds now";
}

}  // namespace

Result<std::string> find_engine(const Bundle& bundle, const std::string& part, const std::string& precision,
                                const Host& host) {
  std::vector<std::string> problems;
  for (const auto& [name, entry] : bundle.manifest().engines) {
    if (entry.part != part || entry.precision != precision) continue;
    std::string problem = misfit(entry, host);
    if (problem.empty()) problem = stale(bundle, entry);
    if (problem.empty()) return name;
    problems.push_back(name + ": " + problem);
  }
  const std::string flag = precision == "fp32" ? "" : " --" + precision;
  const std::string rebuild = "build it here: x3ddeploy build-trt " + shell_word(bundle.name()) + flag;
  if (problems.empty()) {
    return Error{ErrorKind::failed, bundle.name() + " has no " + precision + " engine of " + part, rebuild, {}};
  }
  return Error{ErrorKind::failed,
               "no " + precision + " engine of " + part + " in " + bundle.name() + " fits this machine", rebuild,
               problems};
}

}  // namespace x3ddeploy::detail
