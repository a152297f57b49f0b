#include "manifest.hpp"

#include <algorithm>

#include "decoder.hpp"
#include "limits.hpp"

namespace x3ddeploy::detail {
namespace {

FileEntry file_entry(const Place& place) {
  return {place["sha256"].string(), static_cast<std::uint64_t>(place["size_bytes"].integer())};
}

EngineEntry engine_entry(const Place& place) {
  const Place options = place["options"];
  EngineEntry entry;
  entry.part = place["part"].string();
  entry.graph_sha256 = place["graph_sha256"].string();
  entry.version = place["version"].string();
  if (!place["gpu"].is_null()) entry.gpu = place["gpu"].string();
  place["compute_capabilities"].each_element(
      [&](const Place& capability) { entry.compute_capabilities.push_back(capability.string()); });
  entry.flavour = options["flavour"].string();
  entry.precision = options["precision"].string();
  entry.hardware_compatibility = options["hardware_compatibility"].string();
  entry.version_compatible = options["version_compatible"].boolean();
  return entry;
}

Preprocessing preprocessing(const std::string& name, const Place& place) {
  Preprocessing graph = {name, {}, {}};
  place["inputs"].each_member([&](const std::string& tensor, const Place&) { graph.inputs.push_back(tensor); });
  place["outputs"].each_element([&](const Place& tensor) { graph.outputs.push_back(tensor.string()); });
  return graph;
}

Rounding of_float32(const Place& place) { return {share(place), 0, 0}; }

Rounding of_lower(const Place& place) { return {share(place["relative"]), share(place["rms"]), share(place["channels"])}; }

// Of those of all parts, "rgb_backbone -> rgb_feat" and so on, the recognizer's.
std::map<std::string, Rounding> rounding(const Place& place, Rounding (*read)(const Place&)) {
  constexpr std::string_view kPrefix = "recognizer -> ";
  std::map<std::string, Rounding> outputs;
  place.each_member([&](const std::string& name, const Place& member) {
    const Rounding value = read(member);
    if (name.compare(0, kPrefix.size(), kPrefix) == 0) outputs[name.substr(kPrefix.size())] = value;
  });
  return outputs;
}

bool stays_inside(std::string_view name) {
  if (name.empty() || name == "." || name.front() == '/' || name.find_first_of("\\:") != name.npos ||
      name.find('\0') != name.npos) {
    return false;
  }
  for (std::size_t start = 0; start <= name.size();) {
    const std::size_t end = std::min(name.find('/', start), name.size());
    if (name.substr(start, end - start) == "..") return false;
    start = end + 1;
  }
  return true;
}

Error invalid(const std::string& where, const std::string& problem) {
  return {ErrorKind::failed, where + " is not a valid manifest: " + problem, "export again", {}};
}

}  // namespace

const FileEntry* Manifest::find(std::string_view file) const noexcept {
  const auto found = std::find_if(files.begin(), files.end(), [&](const auto& entry) { return entry.first == file; });
  return found == files.end() ? nullptr : &found->second;
}

Result<Manifest> parse_manifest(std::string_view text, const std::string& where) {
  const Result<Json> json = parse_json(text);
  if (!json) return invalid(where, json.error().message);
  Decoder decoder;
  const Place root = decoder.root(*json);
  const std::int64_t version = root["schema_version"].integer();
  if (!decoder.problem().empty()) return invalid(where, decoder.problem());
  if (version != 1 && version != kSchemaVersion) {
    return Error{ErrorKind::failed,
                 where + " has schema version " + std::to_string(version) + ", and this x3ddeploy reads 1 to " +
                     std::to_string(kSchemaVersion),
                 "use the version of x3ddeploy that made it, or export again",
                 {}};
  }
  check_numbers(root);
  Manifest manifest;
  manifest.network = version == 1 ? network_of_schema_1(root) : network_of_schema_2(root);
  std::vector<std::string> outside;
  root["files"].each_member([&](const std::string& name, const Place& place) {
    manifest.files.emplace_back(name, file_entry(place));
    if (!stays_inside(name)) outside.push_back(name);
  });
  if (root.has("rounding")) manifest.roundings["fp32"] = rounding(root["rounding"], of_float32);
  if (root.has("precisions")) {
    root["precisions"].each_member([&](const std::string& precision, const Place& place) {
      if (place.has("rounding")) manifest.roundings[precision] = rounding(place["rounding"], of_lower);
    });
  }
  if (root.has("preprocessing")) {
    root["preprocessing"].each_member([&](const std::string& name, const Place& place) {
      manifest.preprocessing.push_back(preprocessing(name, place));
    });
  }
  if (root.has("engines")) {
    root["engines"].each_member(
        [&](const std::string& name, const Place& place) { manifest.engines.emplace_back(name, engine_entry(place)); });
  }
  check_limits(root, manifest);
  if (!decoder.problem().empty()) return invalid(where, decoder.problem());
  if (!outside.empty()) {
    return Error{ErrorKind::failed, where + " names files outside the bundle", "do not use this bundle", outside};
  }
  return manifest;
}

}  // namespace x3ddeploy::detail
