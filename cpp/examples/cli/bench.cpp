// Latencies on the golden clip, in the scopes that `x3ddeploy bench` names.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <optional>

#include "clip.hpp"
#include "tasks.hpp"

namespace cli {
namespace {

using x3ddeploy::Error;
using x3ddeploy::ErrorKind;
using x3ddeploy::Result;
using Clock = std::chrono::steady_clock;
using Run = std::function<std::optional<Error>()>;

constexpr int kWarmUpRuns = 3;
constexpr std::size_t kFewestRuns = 5;

double percentile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

Result<std::vector<double>> measure(const Run& run, double seconds) {
  std::vector<double> latencies_ms;
  for (int i = 0; i < kWarmUpRuns; ++i) {
    if (const auto error = run()) return *error;
  }
  const Clock::time_point start = Clock::now();
  while (latencies_ms.size() < kFewestRuns || std::chrono::duration<double>(Clock::now() - start).count() < seconds) {
    const Clock::time_point begin = Clock::now();
    if (const auto error = run()) return *error;
    latencies_ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
  }
  std::sort(latencies_ms.begin(), latencies_ms.end());
  return latencies_ms;
}

struct Scope {
  const char* name;
  const char* meaning;
  Run run;
};

// Keeps the time that the GPU itself counted.
std::optional<Error> kept(const Result<std::vector<x3ddeploy::Prediction>>& predictions, std::vector<double>& gpu_ms) {
  if (!predictions) return predictions.error();
  gpu_ms.push_back(predictions->at(0).stages.gpu_ms);
  return std::nullopt;
}

// The first golden clip, `batch` times.
std::vector<float> repeated(const Array& array, int batch) {
  const std::size_t clip = array.floats.size() / static_cast<std::size_t>(std::max<std::int64_t>(array.shape.at(0), 1));
  std::vector<float> result;
  for (int i = 0; i < batch; ++i)
    result.insert(result.end(), array.floats.begin(), array.floats.begin() + static_cast<std::ptrdiff_t>(clip));
  return result;
}

}  // namespace

Result<int> bench(x3ddeploy::Recognizer& recognizer, const Arguments& arguments) {
  const Result<Arrays> golden = read_arrays(arguments.bundle + "/golden");
  if (!golden) return golden.error();
  const x3ddeploy::Contract& contract = recognizer.contract();
  const int batch = arguments.batch > 0 ? arguments.batch : contract.batch.value_or(1);
  Arrays ready;
  for (const x3ddeploy::Input& input : contract.inputs) {
    const auto found = golden->find(input.name);
    if (found == golden->end() || found->second.is_bytes() || found->second.shape.empty()) {
      return Error{ErrorKind::failed, arguments.bundle + " has no golden clip", "export again", {}};
    }
    Array& array = ready[input.name];
    array.floats = repeated(found->second, batch);
    array.shape = found->second.shape;
    array.shape[0] = batch;
  }
  const x3ddeploy::Feeds feeds = feeds_of(ready, contract);
  std::vector<double> gpu_ms;  // of the runs of the scope that is measured
  const bool copies = recognizer.runtime().rfind("tensorrt", 0) == 0;
  std::vector<Scope> scopes = {{copies ? "with_copies" : "compute",
                                "ready tensors in host memory to scores in host memory",
                                [&] { return kept(recognizer.predict(feeds), gpu_ms); }}};
  std::vector<x3ddeploy::Video> videos;
  if (!is_ready(*golden, contract)) {
    Result<x3ddeploy::Video> video = video_of(*golden, contract);
    if (!video) return video.error();
    videos.assign(static_cast<std::size_t>(batch), *video);
    scopes.push_back({"pipeline", "cropped frames and keypoints to scores in host memory",
                      [&] { return kept(recognizer.predict(videos), gpu_ms); }});
  }
  const char* const heading = arguments.json
                                  ? "{\"runtime\": \"%s\", \"precision\": \"%s\", \"batch\": %d, \"scopes\": {"
                                  : "%s, %s, batch %d\n";
  std::printf(heading, recognizer.runtime().c_str(), arguments.options.precision.c_str(), batch);
  for (std::size_t i = 0; i < scopes.size(); ++i) {
    gpu_ms.clear();
    const Result<std::vector<double>> sorted = measure(scopes[i].run, arguments.seconds);
    if (!sorted) return sorted.error();
    gpu_ms.erase(gpu_ms.begin(), gpu_ms.begin() + kWarmUpRuns);
    std::sort(gpu_ms.begin(), gpu_ms.end());
    const double on_gpu = percentile(gpu_ms, 0.5);
    const double median = percentile(*sorted, 0.5), p90 = percentile(*sorted, 0.9), p99 = percentile(*sorted, 0.99);
    if (arguments.json) {
      std::printf(
          "%s\"%s\": {\"median_ms\": %.4f, \"p90_ms\": %.4f, \"p99_ms\": %.4f, \"min_ms\": %.4f, \"runs\": %zu, "
          "\"gpu_median_ms\": %.4f}",
          i == 0 ? "" : ", ", scopes[i].name, median, p90, p99, sorted->front(), sorted->size(), on_gpu);
    } else {
      std::printf("%-12s median %.3f ms, p90 %.3f, p99 %.3f, min %.3f, %zu runs: %s\n", scopes[i].name, median, p90,
                  p99, sorted->front(), sorted->size(), scopes[i].meaning);
      if (on_gpu > 0) std::printf("%-12s median %.3f ms by the GPU's own clock\n", "", on_gpu);
    }
  }
  if (arguments.json) {
    std::printf("}, \"cuda_graph\": %s}\n", recognizer.uses_cuda_graph() ? "true" : "false");
  } else if (videos.empty()) {
    std::printf("not measured: pipeline, since the bundle was exported without --preprocess\n");
  }
  return 0;
}

}  // namespace cli
