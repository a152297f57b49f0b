#include "manifest.hpp"

#include <algorithm>
#include <cmath>

#include "decoder.hpp"

namespace x3ddeploy::detail {
namespace {

// Far over any network of this kind, and small enough for products of a few sizes to stay inside 64 bits.
constexpr std::int64_t kLargestSize = 1 << 14;

int size(const Place& place) {
  const std::int64_t value = place.integer();
  if (value < 1 || value > kLargestSize) {
    place.fail("invalid model specification: " + std::to_string(value));
    return 1;
  }
  return static_cast<int>(value);
}

double positive(const Place& place) {
  const double value = place.number();
  if (!(value > 0) || !std::isfinite(value)) place.fail("invalid model specification: not a positive number");
  return value;
}

double any(const Place& place) { return place.number(); }

std::array<float, 3> three(const Place& place, double (*read)(const Place&)) {
  std::array<float, 3> values{};
  std::size_t count = 0;
  place.each_element([&](const Place& element) {
    if (count < values.size()) values[count] = static_cast<float>(read(element));
    ++count;
  });
  if (count != values.size()) place.fail("Expected `array` of length 3, got " + std::to_string(count));
  return values;
}

std::array<double, 2> weights(const Place& place) {
  std::array<double, 2> values{};
  std::size_t count = 0;
  place.each_element([&](const Place& element) {
    if (count < values.size()) values[count] = element.number();
    ++count;
  });
  if (count != values.size()) place.fail("Expected `array` of length 2, got " + std::to_string(count));
  if (!(values[0] >= 0 && values[1] >= 0 && values[0] + values[1] > 0)) place.fail("weights that cannot be weights");
  return values;
}

Contract contract(const Place& manifest) {
  const Place spec = manifest["spec"], head = spec["head"], rgb = spec["rgb_input"], pose = spec["pose_input"];
  Contract contract;
  contract.classes = size(head["classes"]);
  contract.coarse_classes = head["coarse_classes"].integer() == 0 ? 0 : size(head["coarse_classes"]);
  contract.joints = size(spec["pose"]["in_channels"]);
  contract.rgb_frames = size(rgb["frames"]);
  contract.rgb_height = size(rgb["height"]);
  contract.rgb_width = size(rgb["width"]);
  contract.mean = three(rgb["mean"], any);
  contract.std = three(rgb["std"], positive);
  contract.pose_frames = size(pose["frames"]);
  contract.pose_height = size(pose["height"]);
  contract.pose_width = size(pose["width"]);
  contract.sigma = positive(pose["sigma"]);
  contract.scaling = positive(pose["scaling"]);
  contract.use_score = pose["use_score"].boolean();
  contract.average_clips = head["average_clips"].string();
  const auto known = {"prob", "score", "none"};
  if (std::find(known.begin(), known.end(), contract.average_clips) == known.end()) {
    head["average_clips"].fail("invalid model specification: average_clips '" + contract.average_clips + "'");
  }
  contract.fusion = weights(manifest["fusion"]);
  const Place batch = manifest["batch"];
  if (batch.integer_or_null()) contract.batch = size(batch);
  return contract;
}

Shape shape(const Place& place) {
  Shape sizes;
  place.each_element([&](const Place& axis) {
    if (axis.is_string()) {
      sizes.push_back(kDynamic);
    } else {
      sizes.push_back(size(axis));
    }
  });
  return sizes;
}

NamedShapes named_shapes(const Place& place) {
  NamedShapes shapes;
  place.each_member([&](const std::string& name, const Place& sizes) { shapes.emplace_back(name, shape(sizes)); });
  return shapes;
}

FileEntry file_entry(const Place& place) {
  const std::int64_t bytes = place["size_bytes"].integer();
  if (bytes < 0) place["size_bytes"].fail("a negative size");
  return {place["sha256"].string(), static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0))};
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

double share(const Place& place) {
  const double value = place.number();
  if (!(value >= 0) || !std::isfinite(value)) place.fail("not a share: " + std::to_string(value));
  return value;
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
  if (version != kSchemaVersion) {
    return Error{ErrorKind::failed,
                 where + " has schema version " + std::to_string(version) + ", and this x3ddeploy reads " +
                     std::to_string(kSchemaVersion),
                 "use the version of x3ddeploy that made it, or export again",
                 {}};
  }
  Manifest manifest;
  manifest.contract = contract(root);
  root["tensors"].each_member([&](const std::string& part, const Place& place) {
    manifest.tensors[part] = {named_shapes(place["inputs"]), named_shapes(place["outputs"])};
  });
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
  if (root.has("engines")) {
    root["engines"].each_member(
        [&](const std::string& name, const Place& place) { manifest.engines.emplace_back(name, engine_entry(place)); });
  }
  if (!decoder.problem().empty()) return invalid(where, decoder.problem());
  if (!outside.empty()) {
    return Error{ErrorKind::failed, where + " names files outside the bundle", "do not use this bundle", outside};
  }
  return manifest;
}

}  // namespace x3ddeploy::detail
