// The bundle's golden clip, computed here, against what PyTorch gave for it at export.
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

// Bit-equal arithmetic is not to be had across kernels; float32 and preprocessing must agree to this.
constexpr double kTolerance = 1e-4;
// Of a lower precision: ties round otherwise elsewhere, while a wrong scale or a lost bias is off by more than twice what
// the precision itself costs. `x3ddeploy build-trt` holds its engines to the same.
constexpr double kOtherRounding = 2, kRoundingFloor = 5e-3;

constexpr std::pair<const char*, std::vector<float> x3ddeploy::Prediction::*> kOutputs[] = {
    {"scores", &x3ddeploy::Prediction::scores},
    {"rgb_logits", &x3ddeploy::Prediction::rgb_logits},
    {"pose_logits", &x3ddeploy::Prediction::pose_logits}};

double tolerance_of(const char* output, const Arguments& arguments, const x3ddeploy::Contract& contract) {
  if (arguments.tolerance > 0) return arguments.tolerance;
  if (arguments.options.precision == "fp32") return kTolerance;
  const auto known = contract.golden_error.find(output);
  return kOtherRounding * (known == contract.golden_error.end() ? 0 : known->second) + kRoundingFloor;
}

struct Row {
  const char* name;
  double difference;
  double tolerance;
};

// The largest difference, as a share of the golden values' largest magnitude.
double difference_of(const std::vector<float>& actual, const std::vector<float>& golden) {
  if (actual.size() != golden.size() || golden.empty()) return std::numeric_limits<double>::infinity();
  double largest = 0, range = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::abs(static_cast<double>(actual[i]) - golden[i]);
    if (!(difference <= largest)) largest = difference;  // NaN, too, is a difference
    range = std::max(range, std::abs(static_cast<double>(golden[i])));
  }
  return largest == 0 ? 0 : largest / range;
}

const std::vector<float>& floats(const Arrays& golden, const std::string& name) {
  static const std::vector<float> none;
  const auto found = golden.find(name);
  return found == golden.end() ? none : found->second.floats;
}

Result<std::vector<x3ddeploy::Video>> golden_videos(const Arrays& golden) {
  std::vector<x3ddeploy::Video> videos;
  for (std::size_t clip = 0; clip < static_cast<std::size_t>(golden.at("frames").shape.at(0)); ++clip) {
    Result<x3ddeploy::Video> video = video_of(golden, clip);
    if (!video) return video.error();
    videos.push_back(std::move(*video));
  }
  return videos;
}

}  // namespace

Result<int> self_test(x3ddeploy::Recognizer& recognizer, const Arguments& arguments) {
  const Result<Arrays> golden = read_arrays(arguments.bundle + "/golden");
  if (!golden) return golden.error();
  if (arguments.options.fusion) {
    return Error{ErrorKind::usage, "the golden scores are fused with the bundle's weights", "leave --fusion out", {}};
  }
  const Result<std::vector<x3ddeploy::Prediction>> clips = recognizer.predict(tensors_of(*golden));
  if (!clips) return clips.error();
  std::vector<Row> rows;
  for (const auto& [name, member] : kOutputs) {
    std::vector<float> values;
    for (const x3ddeploy::Prediction& clip : *clips)
      values.insert(values.end(), (clip.*member).begin(), (clip.*member).end());
    rows.push_back(
        {name, difference_of(values, floats(*golden, name)), tolerance_of(name, arguments, recognizer.contract())});
  }
  if (golden->count("frames") != 0) {
    const Result<std::vector<x3ddeploy::Video>> videos = golden_videos(*golden);
    if (!videos) return videos.error();
    const Result<x3ddeploy::PreparedClips> prepared = recognizer.prepare(*videos);
    if (!prepared) return prepared.error();
    rows.push_back({"imgs", difference_of(prepared->imgs, floats(*golden, "imgs")), kTolerance});
    rows.push_back(
        {"heatmap_imgs", difference_of(prepared->heatmap_imgs, floats(*golden, "heatmap_imgs")), kTolerance});
  }
  bool passed = true;
  for (const Row& row : rows) passed = passed && row.difference <= row.tolerance;
  if (arguments.json)
    std::printf("{\"runtime\": \"%s\", \"passed\": %s", recognizer.runtime().c_str(), passed ? "true" : "false");
  for (const Row& row : rows) {
    if (arguments.json) {
      std::printf(", \"%s\": %.3g", row.name, std::isfinite(row.difference) ? row.difference : -1);
    } else {
      const char* verdict = row.difference <= row.tolerance ? "ok" : "DIFFERS";
      std::printf("%-14s largest difference %.1e of the range, at most %.1e  %s\n", row.name, row.difference,
                  row.tolerance, verdict);
    }
  }
  if (arguments.json) {
    std::printf("}\n");
  } else {
    std::printf("self-test on %s %s\n", recognizer.runtime().c_str(), passed ? "passed" : "FAILED");
  }
  return passed ? 0 : 3;
}

}  // namespace cli
