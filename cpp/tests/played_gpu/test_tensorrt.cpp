// The TensorRT backend on a played GPU: what it computes, in which order, from whose memory.
#include <cstring>
#include <thread>

#include "engine_files.hpp"

namespace {

using namespace x3ddeploy;
using check::bundle_with_engines;
using check::clips_of;
using check::opened;

constexpr std::size_t kClip = 96;  // elements of either stream

// Every clip's scores are what the played network makes of it.
void check_scores(const Result<std::vector<Prediction>>& predictions, float rgb, float pose, std::size_t clips) {
  if (!predictions) return check::report(__FILE__, __LINE__, predictions.error().text());
  CHECK_EQUAL(predictions->size(), clips);
  for (const Prediction& prediction : *predictions) {
    CHECK_EQUAL(prediction.scores.at(0), rgb);
    CHECK_EQUAL(prediction.scores.at(1), pose);
    CHECK_EQUAL(prediction.rgb_logits.at(0), rgb);
  }
}

// A caller's tensor on the GPU, filled by work in the caller's stream.
class DeviceTensor {
 public:
  explicit DeviceTensor(std::size_t elements) : elements_(elements) { cudaMalloc(&memory_, elements * sizeof(float)); }
  ~DeviceTensor() { cudaFree(memory_); }
  DeviceTensor(const DeviceTensor&) = delete;
  DeviceTensor& operator=(const DeviceTensor&) = delete;

  void fill(float value, cudaStream_t stream) {
    played::enqueue(stream, [this, value] { std::fill_n(static_cast<float*>(memory_), elements_, value); });
  }
  View<float> view(std::vector<std::int64_t> shape) const {
    return {static_cast<const float*>(memory_), std::move(shape), Memory::device};
  }

 private:
  std::size_t elements_;
  void* memory_ = nullptr;
};

TEST(engines_that_fit_are_taken_first) {
  auto recognizer = opened(bundle_with_engines());
  CHECK(recognizer);
  if (!recognizer) return;
  CHECK_EQUAL(recognizer->runtime(), "tensorrt 10.13.2.6 on Played");
  CHECK_EQUAL(recognizer->notes().size(), 1u);
  CHECK_EQUAL(recognizer->notes().at(0), "videos are prepared on the CPU: the bundle has no preprocessing graph of imgs (x3ddeploy export --preprocess)");
}

TEST(host_tensors_are_computed_and_replayed) {
  for (const bool graph : {true, false}) {
    Options options;
    options.cuda_graph = graph;
    auto recognizer = opened(bundle_with_engines(), options);
    if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
    for (int round = 1; round <= 4; ++round) {
      const float value = static_cast<float>(round);
      check_scores(recognizer->predict(clips_of(value, 10 * value, 2).view()), value, 10 * value, 2);
    }
    CHECK_EQUAL(played::gpu().instantiated_graphs, graph ? 1 : 0);
    CHECK_EQUAL(played::gpu().launched_graphs, graph ? 3 : 0);
  }
}

TEST(device_tensors_are_used_in_place_once_the_callers_stream_has_made_them) {
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, 0);
  for (const cudaStream_t callers : {stream, cudaStream_t{nullptr}}) {
    Options options;
    options.cuda_stream = callers;
    auto recognizer = opened(bundle_with_engines(), options);
    if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
    DeviceTensor imgs(2 * kClip), heatmaps(2 * kClip);
    const Tensors tensors = {imgs.view({2, 3, 2, 4, 4}), heatmaps.view({2, 2, 3, 4, 4})};
    for (int round = 1; round <= 3; ++round) {
      const float value = static_cast<float>(round);
      imgs.fill(value, callers);
      heatmaps.fill(-value, callers);
      check_scores(recognizer->predict(tensors), value, -value, 2);
    }
    CHECK_EQUAL(played::gpu().copies_to_device, 0);
    CHECK_EQUAL(played::gpu().launched_graphs, 2);
    // One stream's tensor on the GPU, the other's not.
    const PreparedClips host = clips_of(0, 7, 2);
    check_scores(recognizer->predict(Tensors{tensors.imgs, host.view().heatmap_imgs}), 3, 7, 2);
    CHECK_EQUAL(played::gpu().copies_to_device, 1);
  }
  cudaStreamDestroy(stream);
}

TEST(a_tensor_that_tensorrt_cannot_take_in_place_is_refused) {
  auto recognizer = opened(bundle_with_engines());
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  DeviceTensor imgs(2 * kClip);
  const PreparedClips host = clips_of(0, 0);
  Tensors tensors = {imgs.view({1, 3, 2, 4, 4}), host.view().heatmap_imgs};
  tensors.imgs.data += 1;
  const auto refused = recognizer->predict(tensors);
  CHECK(!refused && refused.error().message.find("multiple of 256") != std::string::npos);
}

TEST(any_number_of_clips_up_to_the_engines_keeps_few_contexts) {
  auto recognizer = opened(bundle_with_engines());
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  for (int round = 0; round < 3; ++round) {
    for (const std::int64_t clips : {1, 2, 3, 4}) {
      const float value = static_cast<float>(clips);
      check_scores(recognizer->predict(clips_of(value, 2, clips).view()), value, 2, static_cast<std::size_t>(clips));
    }
  }
  CHECK_EQUAL(played::gpu().live_contexts, 4 * 3);
  const auto refused = recognizer->predict(clips_of(0, 0, 5).view());
  CHECK(!refused && refused.error().message == "5 clips at once, and the engines take at most 4");
}

TEST(what_fails_on_the_gpu_is_an_error_value_and_the_next_call_goes_well) {
  for (const char* part : {"rgb_backbone", "pose_backbone", "head"}) {
    auto recognizer = opened(bundle_with_engines());
    if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
    for (int round = 0; round < 2; ++round) {  // launched, and while a graph is recorded
      played::gpu().failing_part = part;
      const auto failed = recognizer->predict(clips_of(1, 1).view());
      CHECK(!failed && failed.error().message == std::string(part) + " fails: played failure");
      CHECK_EQUAL(played::gpu().pending_work, 0);  // it would read the caller's memory
      played::gpu().failing_part = "";
      check_scores(recognizer->predict(clips_of(5, 6).view()), 5, 6, 1);
    }
    check_scores(recognizer->predict(clips_of(7, 8).view()), 7, 8, 1);
  }
}

TEST(what_cannot_be_recorded_runs_plainly_and_says_so_once) {
  for (const char* part : {"rgb_backbone", "pose_backbone", "head"}) {
    for (const std::int64_t clips : {1, 3}) {
      std::vector<std::string> lines;
      Options options;
      options.log = [&](const std::string& line) { lines.push_back(line); };
      auto recognizer = opened(bundle_with_engines(), options);
      if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
      lines.clear();
      CHECK(recognizer->uses_cuda_graph());
      played::gpu().uncapturable_part = part;
      for (int round = 1; round <= 4; ++round) {
        const float value = static_cast<float>(round);
        check_scores(recognizer->predict(clips_of(value, 2 * value, clips).view()), value, 2 * value,
                     static_cast<std::size_t>(clips));
      }
      CHECK_EQUAL(played::gpu().launched_graphs, 0);
      CHECK(!recognizer->uses_cuda_graph());
      int told = 0;
      for (const std::string& line : lines) {
        if (line.find("are not recorded as a CUDA graph") == std::string::npos) continue;
        ++told;
        CHECK(line.find("runs of " + std::to_string(clips) + " clips") == 0);
        CHECK(line.find("capture was invalidated") != std::string::npos);
      }
      CHECK_EQUAL(told, 1);
    }
  }
}

TEST(an_engine_whose_profile_cannot_be_shared_says_so) {
  auto recognizer = opened(bundle_with_engines());
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  played::gpu().shares_profiles = false;  // 8.6, and an engine that was not built for it
  check_scores(recognizer->predict(clips_of(1, 2).view()), 1, 2, 1);
  const auto refused = recognizer->predict(clips_of(1, 2, 2).view());
  CHECK(!refused && refused.error().message.find("belongs to another number of clips") != std::string::npos);
  check_scores(recognizer->predict(clips_of(3, 4).view()), 3, 4, 1);
}

TEST(as_many_calls_as_there_are_requests_are_under_way_at_once) {
  for (const Hint hint : {Hint::throughput, Hint::latency}) {
    Options options;
    options.hint = hint;
    if (hint == Hint::throughput) options.requests = 3;
    auto recognizer = opened(bundle_with_engines(), options);
    if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
    CHECK_EQUAL(recognizer->requests(), hint == Hint::throughput ? 3 : 1);
    played::gpu().awaited_runs = recognizer->requests();
    std::vector<std::vector<Result<std::vector<Prediction>>>> found(8);
    std::vector<std::thread> callers;
    for (std::size_t i = 0; i < found.size(); ++i) {
      callers.emplace_back([&, i] {
        for (int round = 0; round < 4; ++round) {  // plain, recorded, replayed; of one clip and of two
          found[i].push_back(recognizer->predict(clips_of(static_cast<float>(i + 1), -static_cast<float>(i), 1 + round % 2).view()));
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
    CHECK(played::gpu().met);
    for (std::size_t i = 0; i < found.size(); ++i) {
      for (std::size_t round = 0; round < found[i].size(); ++round) {
        check_scores(found[i][round], static_cast<float>(i + 1), -static_cast<float>(i), 1 + round % 2);
      }
    }
    CHECK(played::gpu().live_contexts <= recognizer->requests() * 2 * 3);
  }
}

TEST(the_gpus_own_clock_is_told_beside_the_hosts) {
  auto recognizer = opened(bundle_with_engines());
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  for (int round = 0; round < 3; ++round) {  // plain, recorded, replayed
    const auto predictions = recognizer->predict(clips_of(1, 2).view());
    CHECK(predictions && predictions->at(0).stages.gpu_ms >= 5);  // two copies and three parts, each a tick
  }
}

TEST(the_applications_device_stays_its_own_and_nothing_is_left_behind) {
  const int before = played::gpu().live_objects;
  {
    Options options;
    options.gpu = 1;
    played::gpu().current = 0;
    auto recognizer = opened(bundle_with_engines(), options);
    CHECK_EQUAL(played::gpu().current, 0);
    if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
    for (int round = 0; round < 3; ++round) check_scores(recognizer->predict(clips_of(1, 2).view()), 1, 2, 1);
    CHECK_EQUAL(played::gpu().current, 0);
    CHECK(played::gpu().live_objects > 0);
  }
  CHECK_EQUAL(played::gpu().current, 0);
  CHECK_EQUAL(played::gpu().live_contexts, 0);
  CHECK_EQUAL(played::gpu().live_objects, before);
}

TEST(without_a_fitting_gpu_tensorrt_is_passed_over_or_refused) {
  const auto refusal = [](const check::BundleFiles& files, Options options) {
    std::map<std::string, std::string> held;
    options.runtime = Runtime::tensorrt;
    const auto recognizer = Recognizer::open(files.embedded(held), options);
    return recognizer ? std::string() : recognizer.error().text();
  };
  played::gpu() = {};
  CHECK(refusal(bundle_with_engines("8.0"), {}).find("fits this machine\n  engines/played/rgb_backbone") !=
        std::string::npos);
  Options third;
  third.gpu = 2;
  CHECK(refusal(bundle_with_engines(), third).find("device 2 was asked for, of 2") != std::string::npos);
  check::BundleFiles damaged = bundle_with_engines();
  damaged.contents["engines/played/head.fp32.plan"] = "no plan";
  CHECK(refusal(damaged, {}).find("head cannot be loaded: magic tag does not match") != std::string::npos);
  played::gpu().devices = 0;
  CHECK(refusal(bundle_with_engines(), {}).find("there is no usable NVIDIA GPU") != std::string::npos);
  std::map<std::string, std::string> held;
  const auto other = Recognizer::open(bundle_with_engines().embedded(held));
  CHECK(other && other->runtime() == "fake 1.0 on cpu");
  CHECK(other && other->notes().at(0).find("cannot run here: tensorrt: there is no usable NVIDIA GPU") == 0);
}

}  // namespace
