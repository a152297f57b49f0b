// The bundle's golden clip, computed here, against what PyTorch gave for it at export.
#include <cmath>
#include <cstdio>
#include <limits>

#include "clip.hpp"
#include "tasks.hpp"

namespace cli {
namespace {

using x3ddeploy::Error;
using x3ddeploy::ErrorKind;
using x3ddeploy::Result;

// Bit-equal arithmetic is not to be had across kernels; preprocessing must agree to this, and scores in float32.
constexpr double kTolerance = 1e-4;

double default_tolerance(const std::string& precision) {
  // What the storage format alone can cost: 11 and 8 bits of mantissa through some fifty layers; INT8 is judged on
  // accuracy when it is made, and here only a broken engine is to be found.
  return precision == "fp32" ? kTolerance : precision == "fp16" ? 1e-2 : precision == "bf16" ? 5e-2 : 0.25;
}

struct Row {
  const char* name;
  double difference;
  double tolerance;
};

double largest_difference(const std::vector<float>& actual, const std::vector<float>& golden) {
  if (actual.size() != golden.size()) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::abs(static_cast<double>(actual[i]) - golden[i]);
    if (!(difference <= largest)) largest = difference;  // NaN, too, is a difference
  }
  return largest;
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
  std::vector<float> scores;
  for (const x3ddeploy::Prediction& clip : *clips) scores.insert(scores.end(), clip.scores.begin(), clip.scores.end());
  const double tolerance = arguments.tolerance > 0 ? arguments.tolerance : default_tolerance(arguments.options.precision);
  std::vector<Row> rows = {{"scores", largest_difference(scores, floats(*golden, "scores")), tolerance}};
  if (golden->count("frames") != 0) {
    const Result<std::vector<x3ddeploy::Video>> videos = golden_videos(*golden);
    if (!videos) return videos.error();
    const Result<x3ddeploy::PreparedClips> prepared = recognizer.prepare(*videos);
    if (!prepared) return prepared.error();
    rows.push_back({"imgs", largest_difference(prepared->imgs, floats(*golden, "imgs")), kTolerance});
    rows.push_back({"heatmap_imgs", largest_difference(prepared->heatmap_imgs, floats(*golden, "heatmap_imgs")), kTolerance});
  }
  bool passed = true;
  for (const Row& row : rows) passed = passed && row.difference <= row.tolerance;
  if (arguments.json) std::printf("{\"runtime\": \"%s\", \"passed\": %s", recognizer.runtime().c_str(), passed ? "true" : "false");
  for (const Row& row : rows) {
    if (arguments.json) {
      std::printf(", \"%s\": %.3g", row.name, std::isfinite(row.difference) ? row.difference : -1);
    } else {
      const char* verdict = row.difference <= row.tolerance ? "ok" : "DIFFERS";
      std::printf("%-14s largest difference %.1e, at most %.0e  %s\n", row.name, row.difference, row.tolerance, verdict);
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
