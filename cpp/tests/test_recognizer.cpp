#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <thread>

#include "bundle_files.hpp"
#include "check.hpp"
#include "x3ddeploy/stream.hpp"

namespace {

using namespace x3ddeploy;
using check::clips_of;

Result<Recognizer> opened(const std::string& behaviour, const Options& options = {}) {
  check::BundleFiles files;
  files.contents["recognizer.onnx"] = behaviour;
  std::map<std::string, std::string> held;
  return Recognizer::open(files.embedded(held), options);
}

std::string refusal(const Result<std::vector<Prediction>>& result) { return result ? "" : result.error().text(); }

TEST(an_automatic_choice_says_what_it_passed_over) {
  auto recognizer = opened("fake");
  CHECK(recognizer);
  if (!recognizer) return;
  CHECK_EQUAL(recognizer->runtime(), "fake 1.0 on cpu");
  CHECK_EQUAL(recognizer->notes().size(), 2u);
  CHECK(recognizer->notes().at(0).find("cannot run here: tensorrt: ") == 0);
  CHECK_EQUAL(recognizer->notes().at(1), "not built in: openvino");
  Options options;
  options.runtime = Runtime::openvino;
  const auto refused = opened("fake", options);
  CHECK(!refused && refused.error().kind == ErrorKind::missing_requirement);
  const auto none = opened("lacks its machine");
  CHECK(!none && none.error().kind == ErrorKind::missing_requirement && none.error().details.size() == 3);
}

TEST(clips_in_labels_out) {
  auto recognizer = opened("fake");
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  const auto predictions = recognizer->predict(clips_of(0.25f, 3, 2).view());
  CHECK(predictions && predictions->size() == 2);
  if (!predictions) return;
  CHECK_EQUAL(predictions->at(1).scores[0], 0.25f);
  const std::vector<Label> labels = recognizer->top(predictions->at(1), 5);
  CHECK_EQUAL(labels.size(), 2u);
  CHECK_EQUAL(labels.at(0).index, 1);
  CHECK_EQUAL(labels.at(0).name, "1");
  CHECK(recognizer->top(predictions->at(1), -1).empty());
}

TEST(where_nobody_is_there_is_no_label) {
  auto recognizer = opened("fake");
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  PreparedClips clips = clips_of(0.25f, 0, 2);
  clips.heatmap_imgs.back() = 0.5f;  // the last frame of the second clip
  const auto predictions = recognizer->predict(clips.view());
  if (!predictions) return check::report(__FILE__, __LINE__, predictions.error().text());
  CHECK(predictions->at(0).frames_with_persons == 0);
  CHECK(recognizer->top(predictions->at(0), 5).empty());
  CHECK(predictions->at(1).frames_with_persons == 1);
  CHECK_EQUAL(recognizer->top(predictions->at(1), 5).size(), 2u);
  const auto average = recognizer->average(*predictions);
  CHECK(average && average->frames_with_persons == 1);
}

TEST(tensors_that_do_not_fit_are_refused_by_name) {
  auto recognizer = opened("fake");
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  const PreparedClips clips = clips_of(0, 0);
  Tensors tensors = clips.view();
  tensors.imgs.shape = {3, 2, 4, 4};
  tensors.heatmap_imgs.data = nullptr;
  CHECK_EQUAL(refusal(recognizer->predict(tensors)),
              "the inputs do not fit the graph\n  'imgs' has shape (3, 2, 4, 4), and the graph takes (N, 3, 2, 4, 4)\n"
              "  missing input 'heatmap_imgs'\n-> see `x3ddeploy inspect`");
  tensors = clips.view();
  tensors.imgs.shape[0] = 0;
  CHECK(!refusal(recognizer->predict(tensors)).empty());
  tensors = clips.view();
  tensors.imgs.memory = Memory::device;
  CHECK(refusal(recognizer->predict(tensors)).find("device memory") != std::string::npos);
  tensors = clips.view();
  tensors.imgs.data = reinterpret_cast<const float*>(reinterpret_cast<const char*>(tensors.imgs.data) + 1);
  CHECK(refusal(recognizer->predict(tensors)).find("'imgs' does not lie at a multiple of 4 bytes") != std::string::npos);
  const PreparedClips two = clips_of(0, 0, 2);
  tensors = clips.view();
  tensors.heatmap_imgs = two.view().heatmap_imgs;
  CHECK(refusal(recognizer->predict(tensors)).find("2 clips, and another input 1") != std::string::npos);
  CHECK(!refusal(recognizer->predict(Tensors())).empty());
}

TEST(whatever_a_runtime_does_becomes_an_error_value) {
  const auto refused = opened("refuses");
  CHECK(!refused && refused.error().message == "the fake cannot read its graph");
  for (const char* behaviour : {"throws", "nan", "forgets"}) {
    auto recognizer = opened(behaviour);
    CHECK(recognizer && !recognizer->predict(clips_of(0, 0).view()));
  }
}

TEST(options_that_make_no_sense_are_refused) {
  const auto kind = [](const Options& options) {
    const auto recognizer = opened("fake", options);
    return recognizer ? 0 : static_cast<int>(recognizer.error().kind);
  };
  Options options;
  options.precision = "fp8";
  CHECK_EQUAL(kind(options), 2);
  options = {};
  options.precision = "int8";
  CHECK_EQUAL(kind(options), 1);
  options = {};
  options.threads = -1;
  CHECK_EQUAL(kind(options), 2);
  for (const std::array<double, 2> weights : {std::array<double, 2>{0, 0}, {-1, 2}, {std::nan(""), 1}}) {
    options = {};
    options.fusion = weights;
    CHECK_EQUAL(kind(options), 2);
  }
}

// Seven frames of one grey, two persons in five poses.
struct GreyVideo {
  std::vector<std::uint8_t> pixels = std::vector<std::uint8_t>(6 * 8 * 3, 100);
  std::vector<float> keypoints = std::vector<float>(2 * 5 * 2 * 2, 2.0f);
  std::vector<float> scores = std::vector<float>(2 * 5 * 2, 1.0f);

  Video video() const {
    Video video;
    video.frames.assign(7, pixels.data());
    video.height = 6;
    video.width = 8;
    video.keypoints = {keypoints.data(), {2, 5, 2, 2}};
    video.keypoint_scores = {scores.data(), {2, 5, 2}};
    return video;
  }
};

TEST(a_video_is_one_prediction_whatever_its_clips) {
  auto recognizer = opened("fake");
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  const GreyVideo grey;
  const auto one = recognizer->predict(grey.video(), 1), three = recognizer->predict(grey.video(), 3);
  CHECK(one && three);
  if (one && three) CHECK_NEAR(one->scores[0], three->scores[0], 1e-4);
  CHECK(!recognizer->predict(grey.video(), 0));
}

TEST(a_video_is_computed_in_groups_that_the_runtime_takes) {
  const GreyVideo grey;
  check::BundleFiles fixed;
  fixed.contents["recognizer.onnx"] = "fake";
  fixed.replaced = {{"\"batch\": null", "\"batch\": 2"}};
  std::map<std::string, std::string> held;
  auto of_two = Recognizer::open(fixed.embedded(held)), at_most_two = opened("takes two");
  CHECK(of_two && at_most_two);
  if (!of_two || !at_most_two) return;
  for (Recognizer* recognizer : {&*of_two, &*at_most_two}) {
    const auto one = recognizer->predict(grey.video(), 1), five = recognizer->predict(grey.video(), 5);
    CHECK(one && five);
    if (one && five) CHECK_NEAR(one->scores[0], five->scores[0], 1e-4);
    CHECK(!recognizer->predict(clips_of(0, 0, 3).view()));
  }
}

TEST(a_network_of_frames_alone_takes_videos_without_keypoints) {
  check::BundleFiles files;
  files.network = check::BundleFiles::kOneStream;
  files.contents["recognizer.onnx"] = "fake";
  std::map<std::string, std::string> held;
  auto recognizer = Recognizer::open(files.embedded(held));
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  const std::vector<std::uint8_t> pixels(6 * 8 * 3, 101);
  Video video;
  video.frames.assign(7, pixels.data());
  video.height = 6;
  video.width = 8;
  const auto prepared = recognizer->prepare(video, 2);
  if (!prepared) return check::report(__FILE__, __LINE__, prepared.error().text());
  CHECK(prepared->imgs_shape == (std::vector<std::int64_t>{2, 2, 3, 4, 4}));
  CHECK(prepared->heatmap_imgs.empty());
  // Frames stand before channels: (101 - 1) / 2, (101 - 2) / 4, (101 - 3) / 8, a plane each.
  CHECK_EQUAL(prepared->imgs.at(0), 50.0f);
  CHECK_EQUAL(prepared->imgs.at(16), 24.75f);
  CHECK_EQUAL(prepared->imgs.at(3 * 16), 50.0f);
  CHECK_EQUAL(prepared->imgs.back(), 12.25f);
  const auto prediction = recognizer->predict(video, 3);
  if (!prediction) return check::report(__FILE__, __LINE__, prediction.error().text());
  CHECK_NEAR(prediction->scores.at(0), (50 + 24.75 + 12.25) / 3, 1e-4);
  CHECK_EQUAL(prediction->logits.count("logits"), 1u);
  CHECK_EQUAL(recognizer->top(*prediction, 5).size(), 2u);
  const auto outputs = recognizer->run({{"imgs", prepared->view().imgs}});
  CHECK(outputs && outputs->at("scores").size() == 4);
  CHECK(!recognizer->run({{"images", prepared->view().imgs}}));
  Options options;
  options.fusion = {1, 1};
  const auto refused = Recognizer::open(files.embedded(held), options);
  CHECK(!refused && refused.error().kind == ErrorKind::usage);
}

TEST(a_network_of_heatmaps_alone_takes_videos_without_frames) {
  check::BundleFiles files;
  files.network = R"("schema_version": 2, "family": "bones",
      "inputs": {"heatmap_imgs": {"kind": "heatmaps", "shape": ["N", 2, 3, 4, 4], "dtype": "float32", "pipeline": [
        {"type": "Resize", "parameters": {"scale": [8, 8], "keep_ratio": false}},
        {"type": "GeneratePoseTarget", "parameters": {"sigma": 0.6, "scaling": 0.5, "use_score": true}}]}},
      "parts": {"recognizer": {"inputs": ["heatmap_imgs"], "outputs": ["logits"]}},
      "outputs": {"logits": {"kind": "logits", "shape": ["N", 2], "activation": "softmax", "average": "score"}},
      "scores": {"pose": {"weights": {"logits": 1.0}}}, "deployed": "pose")";
  files.contents["recognizer.onnx"] = "fake";
  std::map<std::string, std::string> held;
  auto recognizer = Recognizer::open(files.embedded(held));
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  const std::vector<float> keypoints(2 * 5 * 2 * 2, 4.0f), scores(2 * 5 * 2, 1.0f);
  Video video;
  video.height = video.width = 16;
  video.keypoints = {keypoints.data(), {2, 5, 2, 2}};
  video.keypoint_scores = {scores.data(), {2, 5, 2}};
  const auto prepared = recognizer->prepare(video, 1);
  if (!prepared) return check::report(__FILE__, __LINE__, prepared.error().text());
  CHECK(prepared->imgs.empty());
  CHECK_EQUAL(prepared->heatmap_imgs.at(4 + 1), 1.0f);  // 4 of 16 pixels is 2 of 8, and 1 of 4
  const auto prediction = recognizer->predict(video, 2);
  if (!prediction) return check::report(__FILE__, __LINE__, prediction.error().text());
  CHECK_NEAR(prediction->scores.at(0) + prediction->scores.at(1), 1, 1e-6);
  CHECK(prediction->frames_with_persons.has_value());
}

TEST(a_recognizer_that_was_moved_from_gives_errors) {
  auto opened_one = opened("fake");
  if (!opened_one) return check::report(__FILE__, __LINE__, opened_one.error().text());
  Recognizer left = *std::move(opened_one);
  const Recognizer taken = std::move(left);
  const GreyVideo grey;
  CHECK(left.contract().inputs.empty() && left.runtime().empty() && left.notes().empty() && left.requests() == 0);
  CHECK(!left.predict(grey.video()) && !left.predict(std::vector<Video>{grey.video()}));
  CHECK(!left.predict(clips_of(0, 0).view()) && !left.predict(Feeds()) && !left.run({}));
  CHECK(!left.prepare(grey.video()) && !left.prepare({grey.video()}) && !left.average({Prediction()}));
  CHECK(left.top(Prediction(), 1).empty());
  CHECK(!left.submit(grey.video()).get() && !left.submit(Feeds()).get());
  CHECK(taken.prepare(grey.video()));
}

TEST(scores_that_are_no_numbers_are_no_answer) {
  const auto recognizer = opened("fake");
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  Prediction prediction;
  for (int i = 0; i < 1000; ++i) prediction.scores.push_back(i % 3 == 0 ? std::nanf("") : static_cast<float>(i));
  CHECK(recognizer->top(prediction, 5).empty());
  prediction.scores = {1, 3, 2};
  CHECK_EQUAL(recognizer->top(prediction, std::numeric_limits<int>::max()).size(), 3u);
  CHECK(recognizer->top(prediction, std::numeric_limits<int>::min()).empty());
}

TEST(more_clips_than_can_be_are_refused) {
  auto recognizer = opened("fake");
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  const PreparedClips clips = clips_of(0, 0);
  for (const std::int64_t count : {std::int64_t{1} << 62, std::int64_t{1} << 40, std::int64_t{-1}}) {
    Tensors tensors = clips.view();
    tensors.imgs.shape[0] = tensors.heatmap_imgs.shape[0] = count;
    CHECK(!recognizer->predict(tensors));
  }
}

TEST(a_submitted_call_gives_what_predict_gives) {
  auto recognizer = opened("two at once");
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  CHECK_EQUAL(recognizer->requests(), 2);
  const GreyVideo grey;
  const auto expected = recognizer->predict(grey.video(), 2);
  std::vector<std::future<Result<Prediction>>> futures;
  for (int i = 0; i < 20; ++i) futures.push_back(recognizer->submit(grey.video(), 2));
  for (auto& future : futures) {
    const Result<Prediction> prediction = future.get();
    CHECK(prediction && expected && prediction->scores == expected->scores && prediction->stages.compute_ms >= 0);
  }
  CHECK(!recognizer->submit(grey.video(), -1).get());
  std::atomic<int> called{0};
  {
    auto other = opened("fake");
    if (!other) return;
    for (int i = 0; i < 5; ++i) {
      other->submit(grey.video(), 1, [&](const Result<Prediction>& prediction) {
        called += prediction ? 1 : 0;
        throw std::runtime_error("an application's callback throws");
      });
    }
  }
  CHECK_EQUAL(called.load(), 5);
}

// What a video points to may be freed as soon as its recognizer is gone, where a stream keeps the network, too.
TEST(a_recognizer_ends_behind_what_was_submitted) {
  const GreyVideo grey;
  std::atomic<int> called{0};
  auto recognizer = opened("fake slowly"), next = opened("fake slowly");
  if (!recognizer || !next) return check::report(__FILE__, __LINE__, "no recognizer");
  const auto submit = [&](Recognizer& to) {
    for (int i = 0; i < 3; ++i) to.submit(grey.video(), 1, [&](const Result<Prediction>&) { ++called; });
  };
  const auto stream = Stream::open(*recognizer), second = Stream::open(*next);
  CHECK(stream && second);
  submit(*recognizer);
  *recognizer = *std::move(next);
  CHECK_EQUAL(called.load(), 3);
  submit(*recognizer);
  { const Recognizer gone = *std::move(recognizer); }
  CHECK_EQUAL(called.load(), 6);
}

TEST(a_network_computes_as_many_calls_at_once_as_it_has_requests) {
  for (const auto& [behaviour, wanted] : {std::pair{"fake slowly", 1}, {"two at once", 2}}) {
    auto recognizer = opened(behaviour);
    if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
    const PreparedClips clips = clips_of(0.5f, 1);
    std::vector<std::thread> threads;
    for (int i = 0; i < 6; ++i) threads.emplace_back([&] { CHECK(recognizer->predict(clips.view())); });
    for (std::thread& thread : threads) thread.join();
    const auto most = recognizer->predict(clips.view());
    // The fake counts how many were in it at once.
    CHECK(most && most->at(0).logits.at("pose_logits").at(1) == static_cast<float>(wanted));
  }
}

TEST(what_is_done_is_said_to_the_log) {
  std::vector<std::string> lines;
  Options options;
  options.warm_up = true;
  options.log = [&](const std::string& line) { lines.push_back(line); };
  const auto recognizer = opened("fake", options);
  CHECK(recognizer && lines.size() == 3 && lines.at(1) == "not built in: openvino");
  CHECK(!lines.empty() && lines.back().find("is loaded in fp32 by fake 1.0 on cpu") != std::string::npos);
  options.log = [](const std::string&) { throw std::runtime_error("an application's log throws"); };
  CHECK(opened("fake", options));
  options.requests = -1;
  CHECK(!opened("fake", options));
}

// Run under the thread sanitizer: several recognizers side by side, and one recognizer from several threads.
TEST(threads_do_not_disturb_each_other) {
  auto shared = opened("fake");
  if (!shared) return check::report(__FILE__, __LINE__, shared.error().text());
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t index = 0; index < wrong.size(); ++index) {
    threads.emplace_back([&, index] {
      auto own = opened("fake");
      if (!own) {
        wrong[index] = 1;
        return;
      }
      const float value = 0.125f * static_cast<float>(index);
      const PreparedClips clips = clips_of(value, 1);
      for (int round = 0; round < 50; ++round) {
        for (Recognizer* recognizer : {&*shared, &*own}) {
          const auto predictions = recognizer->predict(clips.view());
          if (!predictions || std::abs(predictions->at(0).scores[0] - value) > 1e-6f) ++wrong[index];
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : wrong) CHECK_EQUAL(count, 0);
}

}  // namespace
