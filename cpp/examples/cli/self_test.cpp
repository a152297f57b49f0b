// The bundle's golden clip, computed here, against what its graphs gave for it when they were made: PyTorch's outputs for
// float32, and a lower precision's own for its own.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

#include "clip.hpp"
#include "tasks.hpp"

namespace cli {
namespace {

using x3ddeploy::Error;
using x3ddeploy::ErrorKind;
using x3ddeploy::Result;
using x3ddeploy::Rounding;

constexpr double kUnbounded = std::numeric_limits<double>::infinity();
constexpr double kPreprocessing = 1e-4;
// Of the rounding that the manifest states: x3ddeploy/parity/gates.py has the same numbers, and why.
constexpr double kFloat32Factor = 8, kFloat32Floor = 1e-5, kFloat32Most = 1e-3;
constexpr double kLowerFactor = 2, kLowerFloor = 1e-3, kLowerMostRms = 0.9;
constexpr double kEngineFloat32Floor = 1e-4, kEngineLowerFloor = 5e-3;

struct Row {
  std::string name;
  Rounding difference;
  Rounding tolerance;

  // NaN is never within.
  bool holds() const {
    return difference.relative <= tolerance.relative && difference.rms <= tolerance.rms &&
           difference.channels <= tolerance.channels;
  }
};

Error broken(const std::string& what) {
  return {ErrorKind::failed, what, "make the bundle again with x3ddeploy export and quantize", {}};
}

Result<Rounding> tolerance_of(const std::string& output, const Arguments& arguments,
                              const x3ddeploy::Recognizer& recognizer) {
  if (arguments.tolerance) return Rounding{*arguments.tolerance, kUnbounded, kUnbounded};
  const auto& roundings = recognizer.contract().rounding;
  const auto known = roundings.find(output);
  if (known == roundings.end()) {
    return broken("the manifest does not say how far rounding takes '" + output + "' in " +
                  arguments.options.precision);
  }
  const Rounding& rounding = known->second;
  const bool engine = recognizer.runtime().rfind("tensorrt", 0) == 0;
  if (arguments.options.precision == "fp32") {
    const double floor = engine ? kEngineFloat32Floor : kFloat32Floor;
    return Rounding{std::min(std::max(kFloat32Factor * rounding.relative, floor), kFloat32Most), kUnbounded, kUnbounded};
  }
  const auto allowed = [&](double measured) {
    return std::max(kLowerFactor * measured, engine ? kEngineLowerFloor : kLowerFloor);
  };
  return Rounding{allowed(rounding.relative), std::min(allowed(rounding.rms), kLowerMostRms), allowed(rounding.channels)};
}

// Of tensors without frames, where every channel is one value: the measures of x3ddeploy/parity/metrics.py. Probabilities
// are compared in absolute terms. What is not finite is infinitely far.
Rounding difference_of(bool absolute, const std::vector<float>& actual, const std::vector<float>& golden) {
  double largest = 0, range = 0, squares = 0, golden_squares = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (!std::isfinite(actual[i]) || !std::isfinite(golden[i])) return {kUnbounded, kUnbounded, kUnbounded};
    const double difference = static_cast<double>(actual[i]) - golden[i];
    largest = std::max(largest, std::abs(difference));
    range = std::max(range, std::abs(static_cast<double>(golden[i])));
    squares += difference * difference;
    golden_squares += static_cast<double>(golden[i]) * golden[i];
  }
  const auto ratio = [](double value, double scale) { return value == 0 ? 0 : scale > 0 ? value / scale : kUnbounded; };
  const double rms = ratio(std::sqrt(squares), std::sqrt(golden_squares));
  return {ratio(largest, absolute ? 1 : range), rms, rms};
}

// The golden tensor of that name and shape.
Result<std::vector<float>> floats(const Arrays& golden, const std::string& name,
                                  const std::vector<std::int64_t>& shape) {
  const auto found = golden.find(name);
  if (found == golden.end()) return broken("the bundle has no golden '" + name + "'");
  if (found->second.shape != shape || found->second.floats.empty()) {
    return broken("the golden '" + name + "' has not the shape of the network's");
  }
  return found->second.floats;
}

Result<std::vector<Row>> output_rows(const x3ddeploy::Outputs& outputs, std::int64_t clips, const Arrays& golden,
                                     const Arguments& arguments, const x3ddeploy::Recognizer& recognizer) {
  std::vector<Row> rows;
  for (const x3ddeploy::Output& output : recognizer.contract().outputs) {
    std::vector<std::int64_t> shape = output.shape;
    shape[0] = clips;
    const Result<std::vector<float>> expected = floats(golden, output.name, shape);
    if (!expected) return expected.error();
    const auto values = outputs.find(output.name);
    if (values == outputs.end() || values->second.size() != expected->size()) {
      return broken("the network gives no whole '" + output.name + "'");
    }
    const Result<Rounding> tolerance = tolerance_of(output.name, arguments, recognizer);
    if (!tolerance) return tolerance.error();
    const bool absolute = output.kind == x3ddeploy::OutputKind::scores;
    rows.push_back({output.name, difference_of(absolute, values->second, *expected), *tolerance});
  }
  return rows;
}

Result<std::vector<x3ddeploy::Video>> golden_videos(const x3ddeploy::Contract& contract, const Arrays& golden,
                                                    std::int64_t clips) {
  std::vector<x3ddeploy::Video> videos;
  for (std::size_t clip = 0; clip < static_cast<std::size_t>(clips); ++clip) {
    Result<x3ddeploy::Video> video = video_of(golden, contract, clip);
    if (!video) return video.error();
    videos.push_back(std::move(*video));
  }
  return videos;
}

Result<std::vector<Row>> preparation_rows(const x3ddeploy::Recognizer& recognizer, const Arrays& golden,
                                          std::int64_t clips) {
  const x3ddeploy::Contract& contract = recognizer.contract();
  const Result<std::vector<x3ddeploy::Video>> videos = golden_videos(contract, golden, clips);
  if (!videos) return videos.error();
  const Result<x3ddeploy::PreparedClips> prepared = recognizer.prepare(*videos);
  if (!prepared) return prepared.error();
  std::vector<Row> rows;
  for (const x3ddeploy::Input& input : contract.inputs) {
    const bool frames = input.kind == x3ddeploy::InputKind::frames, heatmaps = input.kind == x3ddeploy::InputKind::heatmaps;
    const auto& values = frames ? prepared->imgs : heatmaps ? prepared->heatmap_imgs : prepared->keypoint;
    const auto& shape = frames ? prepared->imgs_shape : heatmaps ? prepared->heatmap_imgs_shape : prepared->keypoint_shape;
    if (shape.empty()) continue;
    const Result<std::vector<float>> expected = floats(golden, input.name, shape);
    if (!expected) return expected.error();
    rows.push_back({input.name, difference_of(false, values, *expected), {kPreprocessing, kUnbounded, kUnbounded}});
  }
  return rows;
}

void print_json(const std::vector<Row>& rows, const std::string& runtime, bool passed) {
  const auto number = [](double value) { return std::isfinite(value) ? value : -1; };
  std::printf("{\"runtime\": \"%s\", \"passed\": %s", runtime.c_str(), passed ? "true" : "false");
  for (const Row& row : rows) {
    std::printf(", \"%s\": {\"difference\": %.3g, \"tolerance\": %.9g, \"passed\": %s}", row.name.c_str(),
                number(row.difference.relative), number(row.tolerance.relative), row.holds() ? "true" : "false");
  }
  std::printf("}\n");
}

void print_text(const std::vector<Row>& rows, const std::string& runtime, bool passed) {
  for (const Row& row : rows) {
    std::printf("%-18s largest difference %.1e of the range, at most %.1e  %s\n", row.name.c_str(),
                row.difference.relative, row.tolerance.relative, row.holds() ? "ok" : "DIFFERS");
  }
  std::printf("self-test on %s %s\n", runtime.c_str(), passed ? "passed" : "FAILED");
}

}  // namespace

Result<int> self_test(x3ddeploy::Recognizer& recognizer, const Arguments& arguments) {
  if (arguments.options.fusion) {
    return Error{ErrorKind::usage, "the golden scores are fused with the bundle's weights", "leave --fusion out", {}};
  }
  const std::string folder = golden_folder(arguments.bundle);
  Result<Arrays> golden = read_arrays(folder);
  if (!golden) return golden.error();
  const x3ddeploy::Contract& contract = recognizer.contract();
  const x3ddeploy::Feeds feeds = feeds_of(*golden, contract);
  const Result<x3ddeploy::Outputs> outputs = recognizer.run(feeds);
  if (!outputs) return outputs.error();
  const std::int64_t clips = feeds.begin()->second.shape.at(0);
  const std::string& precision = arguments.options.precision;
  const Result<Arrays> own = precision == "fp32" ? golden : read_arrays(folder + "/" + precision);
  if (!own) return own.error();
  Result<std::vector<Row>> rows = output_rows(*outputs, clips, *own, arguments, recognizer);
  if (!rows) return rows.error();
  if (!is_ready(*golden, contract)) {
    const Result<std::vector<Row>> prepared = preparation_rows(recognizer, *golden, clips);
    if (!prepared) return prepared.error();
    rows->insert(rows->end(), prepared->begin(), prepared->end());
  }
  bool passed = true;
  for (const Row& row : *rows) passed = passed && row.holds();
  (arguments.json ? print_json : print_text)(*rows, recognizer.runtime(), passed);
  return passed ? 0 : 3;
}

}  // namespace cli
