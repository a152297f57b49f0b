// The bounds of x3ddeploy/bundle/limits.py, so that one bundle is taken or refused by both.
#include "limits.hpp"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "text.hpp"

namespace x3ddeploy::detail {
namespace {

constexpr double kLargestNumber = 4294967296.0;  // seeds are of 32 bits
constexpr double kLargestError = 10;
constexpr std::int64_t kLargestFile = std::int64_t{1} << 42;
constexpr std::int64_t kHighestLevel = 5;

// Calls `check(Place)` for a member that is there and says something.
template <class F>
void where_said(const Place& place, const char* key, F check) {
  if (place.has(key) && !place[key].is_null()) check(place[key]);
}

void text(const Place& place) { place.string(); }

void integer_in(const Place& place, std::int64_t least, std::int64_t most) {
  const std::int64_t value = place.integer();
  if (value < least || value > most) place.fail("out of bounds: " + std::to_string(value));
}

void choice(const Place& place, std::initializer_list<const char*> known) {
  const std::string value = place.string();
  if (std::find(known.begin(), known.end(), value) == known.end()) place.fail("Invalid enum value '" + value + "'");
}

void digest(const Place& place) {
  const std::string value = place.string();
  if (value.size() != 64 || value.find_first_not_of("0123456789abcdef") != value.npos) place.fail("no sha256");
}

// "major.minor": one or two digits and one.
void capability(const Place& place) {
  const std::string value = place.string();
  const bool fits = (value.size() == 3 || value.size() == 4) && value.find('.') == value.size() - 2;
  if (!fits || value.find_first_not_of("0123456789.") != value.npos) place.fail("no compute capability: '" + value + "'");
}

void name(const Place& place, const std::string& name) {
  const bool names_a_file = !name.empty() && name != "." && name != ".." && name.find_first_of("/\\:") == name.npos;
  if (!names_a_file || escaped(name) != name) place.fail("'" + name + "' is no name for a file");
}

void range(const Place& place) {
  const std::int64_t least = place["minimum"].integer(), best = place["optimum"].integer(), most = place["maximum"].integer();
  if (!(1 <= least && least <= best && best <= most && most <= kLargestSize)) place.fail("no range of sizes");
}

void check_input(const Place& input) {
  where_said(input, "keypoint_order", [](const Place& order) { choice(order, {"coco17", "dataset"}); });
  if (!input.has("views")) return;
  input["views"].each_member([](const std::string& key, const Place& value) {
    if (key == "flip") value.boolean();
    if (key == "clips" || key == "crops") integer_in(value, 1, kLargestSize);
  });
}

void check_part(const Place& part) {
  if (!part.has("blocks")) return;
  part["blocks"].each_element([](const Place& block) {
    text(block["name"]);
    text(block["tensor"]);
  });
}

void check_graph(const Place& graph, const Manifest& read) {
  const auto& inputs = read.network.contract.inputs;
  graph["inputs"].each_member([](const std::string&, const Place& shape) {
    shape.each_element([](const Place& axis) { axis.is_string() ? text(axis) : integer_in(axis, 1, kLargestSize); });
  });
  graph["outputs"].each_element([&](const Place& output) {
    const std::string tensor = output.string();
    const auto is_it = [&](const Input& input) { return input.name == tensor; };
    if (std::none_of(inputs.begin(), inputs.end(), is_it)) output.fail("it gives '" + tensor + "'");
  });
}

void check_precision(const std::string& name, const Place& precision) {
  if (name != "fp16" && name != "bf16" && name != "int8") precision.fail("no precision is called '" + name + "'");
  if (precision.has("calibration")) {
    const Place ranges = precision["calibration"];
    if (ranges.is_null() == (name == "int8") || (!ranges.is_null() && ranges.string().rfind("calib/", 0) != 0)) {
      ranges.fail("no calibration of " + name);
    }
  }
  if (precision.has("random_calibration")) precision["random_calibration"].boolean();
  if (precision.has("float_layers")) {
    precision["float_layers"].each_member([](const std::string&, const Place& reason) { text(reason); });
  }
  if (precision.has("golden_error")) {
    precision["golden_error"].each_member([](const std::string&, const Place& error) { share(error); });
  }
  where_said(precision, "accuracy", [](const Place& accuracy) {
    accuracy.each_member([](const std::string&, const Place& score) {
      const auto within = [](double most) {
        return [most](const Place& place) {
          const double value = place.number();
          if (!(value >= 0 && value <= most)) place.fail("no share, or no percentage");
        };
      };
      within(1)(score["agreement"]);
      for (const char* top1 : {"top1_before", "top1_after"}) where_said(score, top1, within(100));
    });
  });
}

void check_engine(const std::string& plan, const Place& engine, const Manifest& read) {
  const std::string part = engine["part"].string();
  const auto is_it = [&](const auto& graph) { return graph.name == part; };
  const auto& parts = read.network.parts;
  const auto& graphs = read.preprocessing;
  if (std::none_of(parts.begin(), parts.end(), is_it) && std::none_of(graphs.begin(), graphs.end(), is_it)) {
    engine.fail(plan + " is of no part: '" + part + "'");
  }
  digest(engine["graph_sha256"]);
  engine["compute_capabilities"].each_element(capability);
  where_said(engine, "driver", text);
  const Place options = engine["options"];
  choice(options["flavour"], {"tensorrt", "tensorrt_rtx"});
  choice(options["precision"], {"fp32", "fp16", "bf16", "int8"});
  choice(options["hardware_compatibility"], {"none", "ampere+", "sameComputeCapability"});
  for (const char* sizes : {"batches", "persons"}) {
    if (options.has(sizes)) range(options[sizes]);
  }
  if (options.has("compute_capabilities")) options["compute_capabilities"].each_element(capability);
  where_said(options, "workspace_mib", [](const Place& place) { integer_in(place, 1, std::int64_t{1} << 32); });
  where_said(options, "optimization_level", [](const Place& place) { integer_in(place, 0, kHighestLevel); });
}

void check_number(const Place& place) {
  if (place.is_number()) {
    if (!(std::abs(place.number()) <= kLargestNumber)) place.fail("a number that cannot be");
  } else if (place.is_object()) {
    place.each_member([](const std::string&, const Place& member) { check_number(member); });
  } else if (place.is_array()) {
    place.each_element(check_number);
  }
}

}  // namespace

double share(const Place& place) {
  const double value = place.number();
  if (!(value >= 0 && value <= kLargestError)) place.fail("not a share: " + std::to_string(value));
  return value;
}

void check_numbers(const Place& manifest) {
  manifest.each_member([](const std::string& name, const Place& place) {
    if (name != "files") check_number(place);
  });
}

void check_limits(const Place& manifest, const Manifest& read) {
  for (const char* section : {"inputs", "outputs", "parts", "preprocessing"}) {
    if (manifest.has(section)) manifest[section].each_member([](const std::string& key, const Place& place) { name(place, key); });
  }
  if (manifest.has("inputs")) {
    manifest["inputs"].each_member([](const std::string&, const Place& input) { check_input(input); });
    manifest["parts"].each_member([](const std::string&, const Place& part) { check_part(part); });
  }
  if (manifest.has("preprocessing")) {
    manifest["preprocessing"].each_member([&](const std::string& key, const Place& graph) {
      const auto is_it = [&](const Part& part) { return part.name == key; };
      if (std::any_of(read.network.parts.begin(), read.network.parts.end(), is_it)) graph.fail("a part has this name");
      check_graph(graph, read);
    });
  }
  manifest["files"].each_member([](const std::string& key, const Place& file) {
    if (escaped(key) != key) file.fail("'" + key + "' is no name for a file");
    digest(file["sha256"]);
    integer_in(file["size_bytes"], 0, kLargestFile);
  });
  if (manifest.has("precisions")) manifest["precisions"].each_member(check_precision);
  if (manifest.has("engines")) {
    manifest["engines"].each_member([&](const std::string& plan, const Place& engine) { check_engine(plan, engine, read); });
  }
}

}  // namespace x3ddeploy::detail
