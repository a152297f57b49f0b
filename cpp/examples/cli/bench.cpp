// Latencies on the golden clip, in the scopes that `x3ddeploy bench` names.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <mutex>
#include <optional>
#include <random>
#include <thread>

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

// Of the runs of the scope that is measured.
struct Clocks {
  std::vector<double> gpu_ms;      // that the GPU itself counted
  std::vector<double> runtime_ms;  // in the runtime, without what the library does around it
  std::vector<double> prepare_ms;  // frames and keypoints to tensors
};

std::optional<Error> kept(const x3ddeploy::Stages& stages, Clocks& clocks) {
  clocks.gpu_ms.push_back(stages.gpu_ms);
  clocks.runtime_ms.push_back(stages.compute_ms);
  clocks.prepare_ms.push_back(stages.prepare_ms);
  return std::nullopt;
}

std::optional<Error> kept(const Result<x3ddeploy::Prediction>& prediction, Clocks& clocks) {
  return prediction ? kept(prediction->stages, clocks) : std::optional<Error>(prediction.error());
}

std::optional<Error> kept(const Result<std::vector<x3ddeploy::Prediction>>& predictions, Clocks& clocks) {
  return predictions ? kept(predictions->at(0).stages, clocks) : std::optional<Error>(predictions.error());
}

// Frames of noise, and one person somewhere in the middle of them.
struct NoiseVideo {
  NoiseVideo(int height, int width, const x3ddeploy::Contract& contract) {
    constexpr std::size_t kFrames = 64;
    std::mt19937 random(0);
    const std::size_t bytes = std::size_t{3} * static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
    for (std::size_t frame = 0; frame < kFrames; ++frame) {
      pictures.emplace_back(bytes);
      for (std::uint8_t& value : pictures.back()) value = static_cast<std::uint8_t>(random());
      video.frames.emplace_back(pictures.back().data());
    }
    video.height = height;
    video.width = width;
    const auto joints = static_cast<std::size_t>(std::max(contract.joints, 1));
    std::uniform_real_distribution<float> place(0.19f, 0.83f);
    for (std::size_t i = 0; i < 2 * kFrames * joints; ++i) keypoints.push_back(place(random) * static_cast<float>(height));
    scores.assign(kFrames * joints, 1.0f);
    video.keypoints = {keypoints.data(), {1, kFrames, static_cast<std::int64_t>(joints), 2}};
    video.keypoint_scores = {scores.data(), {1, kFrames, static_cast<std::int64_t>(joints)}};
  }

  std::vector<std::vector<std::uint8_t>> pictures;
  std::vector<float> keypoints;
  std::vector<float> scores;
  x3ddeploy::Video video;
};

double median_behind_warm_up(std::vector<double> values) {
  values.erase(values.begin(), values.begin() + kWarmUpRuns);
  std::sort(values.begin(), values.end());
  return percentile(values, 0.5);
}

template <class T>
std::optional<Error> error_of(const Result<T>& result) {
  return result ? std::nullopt : std::optional<Error>(result.error());
}

// Calls a second of some threads, for a while; in turns one at a time.
double calls_a_second(const Run& run, int callers, bool in_turns, double seconds) {
  std::mutex turn;
  std::atomic<int> calls{0};
  std::atomic<bool> failed{false};
  const Clock::time_point start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  std::vector<std::thread> threads;
  for (int i = 0; i < callers; ++i) {
    threads.emplace_back([&] {
      do {
        std::unique_lock<std::mutex> lock(turn, std::defer_lock);
        if (in_turns) lock.lock();
        if (run()) failed = true;
        ++calls;
      } while (!failed && elapsed() < seconds);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return failed ? 0 : calls / elapsed();
}

// Turns of a network that is loaded for the shortest call, and all at once on one for the most; rounds of each, alternately.
Result<std::pair<double, double>> throughput(const Arguments& arguments, const std::function<std::optional<Error>(x3ddeploy::Recognizer&)>& call) {
  constexpr int kRounds = 4;
  x3ddeploy::Options turns = arguments.options, together = arguments.options;
  turns.hint = x3ddeploy::Hint::latency;
  together.hint = x3ddeploy::Hint::throughput;
  turns.warm_up = together.warm_up = true;
  auto one = x3ddeploy::Recognizer::open(arguments.bundle, turns), many = x3ddeploy::Recognizer::open(arguments.bundle, together);
  if (!one) return one.error();
  if (!many) return many.error();
  double in_turns = 0, at_once = 0;
  for (int round = 0; round < kRounds; ++round) {
    const double seconds = arguments.seconds / kRounds;
    in_turns += calls_a_second([&] { return call(*one); }, arguments.callers, true, seconds) / kRounds;
    at_once += calls_a_second([&] { return call(*many); }, arguments.callers, false, seconds) / kRounds;
  }
  return std::pair{in_turns, at_once};
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
  const Result<Arrays> golden = read_arrays(golden_folder(arguments.bundle));
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
  Clocks clocks;
  const bool copies = recognizer.runtime().rfind("tensorrt", 0) == 0;
  std::vector<Scope> scopes = {{copies ? "with_copies" : "compute",
                                "ready tensors in host memory to scores in host memory",
                                [&] { return kept(recognizer.predict(feeds), clocks); }}};
  std::vector<x3ddeploy::Video> videos;
  if (!is_ready(*golden, contract)) {
    Result<x3ddeploy::Video> video = video_of(*golden, contract);
    if (!video) return video.error();
    videos.assign(static_cast<std::size_t>(batch), *video);
    scopes.push_back({"pipeline", "cropped frames and keypoints to scores in host memory",
                      [&] { return kept(recognizer.predict(videos), clocks); }});
  }
  std::optional<NoiseVideo> noise;
  if (arguments.width > 0) {
    noise.emplace(arguments.height, arguments.width, contract);
    scopes.push_back({"video", "clips of a video of whole frames to scores in host memory",
                      [&] { return kept(recognizer.predict(noise->video, arguments.clips), clocks); }});
  }
  const auto left_out = [&](const Scope& scope) { return !arguments.scope.empty() && arguments.scope != scope.name; };
  scopes.erase(std::remove_if(scopes.begin(), scopes.end(), left_out), scopes.end());
  if (scopes.empty()) return Error{ErrorKind::usage, "there is no scope " + arguments.scope + " here", "see x3ddeploy_cli --help", {}};
  const char* const heading = arguments.json
                                  ? "{\"runtime\": \"%s\", \"precision\": \"%s\", \"batch\": %d, \"scopes\": {"
                                  : "%s, %s, batch %d\n";
  std::printf(heading, recognizer.runtime().c_str(), arguments.options.precision.c_str(), batch);
  for (std::size_t i = 0; i < scopes.size(); ++i) {
    clocks = {};
    const Result<std::vector<double>> sorted = measure(scopes[i].run, arguments.seconds);
    if (!sorted) return sorted.error();
    const double on_gpu = median_behind_warm_up(clocks.gpu_ms), in_runtime = median_behind_warm_up(clocks.runtime_ms);
    const double preparing = median_behind_warm_up(clocks.prepare_ms);
    const double median = percentile(*sorted, 0.5), p90 = percentile(*sorted, 0.9), p99 = percentile(*sorted, 0.99);
    if (arguments.json) {
      std::printf(
          "%s\"%s\": {\"median_ms\": %.4f, \"p90_ms\": %.4f, \"p99_ms\": %.4f, \"min_ms\": %.4f, \"runs\": %zu, "
          "\"gpu_median_ms\": %.4f, \"runtime_median_ms\": %.4f, \"prepare_median_ms\": %.4f}",
          i == 0 ? "" : ", ", scopes[i].name, median, p90, p99, sorted->front(), sorted->size(), on_gpu, in_runtime, preparing);
    } else {
      std::printf("%-12s median %.3f ms, p90 %.3f, p99 %.3f, min %.3f, %zu runs: %s\n", scopes[i].name, median, p90,
                  p99, sorted->front(), sorted->size(), scopes[i].meaning);
      if (preparing > 0) std::printf("%-12s median %.3f ms of that to prepare, %.3f in the runtime\n", "", preparing, in_runtime);
      if (on_gpu > 0) std::printf("%-12s median %.3f ms by the GPU's own clock\n", "", on_gpu);
    }
  }
  if (arguments.callers > 0) {
    const auto call = [&](x3ddeploy::Recognizer& loaded) {
      return videos.empty() ? error_of(loaded.predict(feeds)) : error_of(loaded.predict(videos));
    };
    const auto measured = throughput(arguments, call);
    if (!measured) return measured.error();
    std::printf(arguments.json ? "}, \"callers\": {\"threads\": %d, \"in_turns_a_second\": %.3f, \"at_once_a_second\": %.3f"
                               : "%d callers: %.1f calls a second in turns, %.1f at once\n",
                arguments.callers, measured->first, measured->second);
  }
  if (arguments.json) {
    std::printf("}, \"cuda_graph\": %s}\n", recognizer.uses_cuda_graph() ? "true" : "false");
  } else if (videos.empty() && arguments.scope.empty()) {
    std::printf("not measured: pipeline, since the bundle was exported without --preprocess\n");
  }
  return 0;
}

}  // namespace cli
