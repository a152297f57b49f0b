#include <atomic>
#include <cmath>
#include <mutex>
#include <numeric>
#include <thread>

#include "bundle_files.hpp"
#include "check.hpp"
#include "x3ddeploy/stream.hpp"

namespace {

using namespace x3ddeploy;

constexpr int kPictureHeight = 60, kPictureWidth = 80, kJoints = 2;

Result<Recognizer> opened(const char* network = check::BundleFiles::kSchema2, const std::string& behaviour = "fake",
                          const Options& options = {}) {
  check::BundleFiles files;
  files.network = network;
  files.contents["recognizer.onnx"] = behaviour;
  std::map<std::string, std::string> held;
  return Recognizer::open(files.embedded(held), options);
}

// Pictures that differ, and two persons who walk through them; the second is there in every other frame.
struct Scene {
  explicit Scene(std::size_t count, PixelFormat pixel_format = PixelFormat::rgb) : format(pixel_format) {
    for (std::size_t i = 0; i < count; ++i) {
      pictures.emplace_back(std::size_t{4} * kPictureHeight * kPictureWidth);
      for (std::size_t at = 0; at < pictures[i].size(); ++at)
        pictures[i][at] = static_cast<std::uint8_t>((at * 31 + i * 57) % 251);
      const float x = 20.0f + 2.0f * static_cast<float>(i);
      points.push_back({x, 10, x + 15, 40, x + 25, 15, x + 40, 55});
    }
  }

  Frame frame(std::size_t i) const { return Frame(format, kPictureHeight, kPictureWidth, {pictures[i].data()}); }
  std::int64_t persons(std::size_t i) const { return i % 2 == 0 ? 2 : 1; }
  Poses poses(std::size_t i) const {
    return {{points[i].data(), {persons(i), kJoints, 2}}, {scores, {persons(i), kJoints}}, {}};
  }

  // What `predict` gives for frames `start` to `end` - 1, of one person or of both.
  Prediction predicted(Recognizer& recognizer, std::size_t start, std::size_t end, std::optional<std::int64_t> person,
                       int clips = 1) const {
    Video video;
    std::vector<float> keypoints, confidence;
    for (std::int64_t each = 0; each < 2; ++each) {
      if (person && each != *person) continue;
      for (std::size_t i = start; i < end; ++i) {
        const bool there = each < persons(i);
        for (std::size_t at = 0; at < 4; ++at) keypoints.push_back(there ? points[i][4 * static_cast<std::size_t>(each) + at] : 0);
        for (int joint = 0; joint < kJoints; ++joint) confidence.push_back(there ? scores[kJoints * each + joint] : 0);
      }
    }
    for (std::size_t i = start; i < end; ++i) video.frames.push_back(frame(i));
    const auto length = static_cast<std::int64_t>(end - start);
    video.keypoints = {keypoints.data(), {person ? 1 : 2, length, kJoints, 2}};
    video.keypoint_scores = {confidence.data(), {person ? 1 : 2, length, kJoints}};
    Result<Prediction> prediction = recognizer.predict(video, clips);
    if (!prediction) check::report(__FILE__, __LINE__, prediction.error().text());
    return prediction ? *prediction : Prediction();
  }

  PixelFormat format;
  std::vector<std::vector<std::uint8_t>> pictures;
  std::vector<std::vector<float>> points;
  float scores[4] = {0.9f, 0.8f, 0.7f, 0.6f};
};

void check_alike(const Prediction& found, const Prediction& wanted) {
  CHECK(found.logits.size() == wanted.logits.size() && !wanted.logits.empty());
  for (const auto& [name, values] : wanted.logits) {
    // The fake's second class may say how many calls ran at once.
    CHECK_NEAR(found.logits.at(name).at(0), values.at(0), 1e-6);
  }
  CHECK(found.frames_with_persons == wanted.frames_with_persons);
}

TEST(a_streams_windows_are_predicts_whatever_the_format) {
  for (const PixelFormat format : {PixelFormat::rgb, PixelFormat::bgra, PixelFormat::nv12, PixelFormat::i420}) {
    for (const char* network : {check::BundleFiles::kSchema2, check::BundleFiles::kOneStream}) {
      auto recognizer = opened(network);
      if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
      StreamOptions options;
      options.window = 6;
      options.stride = 4;
      options.clips = 2;
      auto stream = Stream::open(*recognizer, options);
      if (!stream) return check::report(__FILE__, __LINE__, stream.error().text());
      const Scene scene(20, format);
      int windows = 0;
      for (std::size_t i = 0; i < 20; ++i) {
        const auto found = stream->push(scene.frame(i), scene.poses(i), 0.04 * static_cast<double>(i));
        if (!found) return check::report(__FILE__, __LINE__, found.error().text());
        for (const StreamPrediction& one : *found) {
          const std::size_t start = i + 1 - 6;
          CHECK(start % 4 == 0 && !one.problem && !one.track);
          CHECK_NEAR(one.start, 0.04 * static_cast<double>(start), 1e-9);
          check_alike(one.prediction, scene.predicted(*recognizer, start, i + 1, std::nullopt, 2));
          CHECK(one.label && one.scores == one.prediction.scores);
          ++windows;
        }
      }
      CHECK_EQUAL(windows, 4);
    }
  }
}

TEST(each_person_has_a_window_with_a_crop_of_its_own) {
  auto recognizer = opened();
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  StreamOptions options;
  options.window = options.stride = 5;
  options.each_person = true;
  auto stream = Stream::open(*recognizer, options);
  if (!stream) return check::report(__FILE__, __LINE__, stream.error().text());
  const Scene scene(5);
  for (std::size_t i = 0; i < 5; ++i) {
    Poses poses = scene.poses(i);
    poses.tracks = {70, 8};
    poses.tracks.resize(static_cast<std::size_t>(scene.persons(i)));
    const auto found = stream->push(scene.frame(i), poses, static_cast<double>(i));
    CHECK(found && found->size() == (i == 4 ? 2u : 0u));
    if (!found || i < 4) continue;
    CHECK(found->at(0).track == 8 && found->at(1).track == 70);
    check_alike(found->at(0).prediction, scene.predicted(*recognizer, 0, 5, 1));
    check_alike(found->at(1).prediction, scene.predicted(*recognizer, 0, 5, 0));
    CHECK(found->at(0).prediction.logits != found->at(1).prediction.logits);
  }
}

TEST(frames_lie_at_equal_times_whatever_the_camera_does) {
  auto recognizer = opened(check::BundleFiles::kOneStream);
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  StreamOptions options;
  options.window = options.stride = 4;
  options.frames_per_second = 10;
  const Scene scene(12);
  const auto window_of = [&](const std::vector<double>& times) {
    auto stream = Stream::open(*recognizer, options);
    std::vector<StreamPrediction> all;
    for (std::size_t i = 0; stream && i < times.size(); ++i) {
      auto found = stream->push(scene.frame(i), {}, times[i]);
      if (!found) check::report(__FILE__, __LINE__, found.error().text());
      for (StreamPrediction& one : *found) all.push_back(std::move(one));
    }
    return all;
  };
  const auto scene_of = [&](const std::vector<std::size_t>& frames) {
    Video video;
    for (const std::size_t i : frames) video.frames.push_back(scene.frame(i));
    return *recognizer->predict(video);
  };
  // As many as are asked for, with a jitter; twice as many; half as many; a short gap.
  for (const auto& [times, frames] : std::vector<std::pair<std::vector<double>, std::vector<std::size_t>>>{
           {{5, 5.101, 5.198, 5.31}, {0, 1, 2, 3}},
           {{5, 5.04, 5.1, 5.14, 5.2, 5.24, 5.3}, {0, 2, 4, 6}},
           {{5, 5.2, 5.4}, {0, 1, 1, 2}},
           {{5, 5.1, 5.4}, {0, 1, 2, 2}}}) {
    const auto found = window_of(times);
    CHECK_EQUAL(found.size(), 1u);
    if (found.size() == 1) check_alike(found[0].prediction, scene_of(frames));
  }
}

TEST(after_a_gap_a_window_begins_anew) {
  std::vector<std::string> lines;
  Options logged;
  logged.log = [&](const std::string& line) { lines.push_back(line); };
  auto recognizer = opened(check::BundleFiles::kSchema2, "fake", logged);
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  lines.clear();
  StreamOptions options;
  options.window = 4;
  options.stride = 1;
  options.smoothing = 0.5;
  auto stream = Stream::open(*recognizer, options);
  const Scene scene(20);
  std::vector<double> ends;
  for (std::size_t i = 0; stream && i < 12; ++i) {
    const double time = 0.1 * static_cast<double>(i) + (i < 6 ? 0 : 1.5);
    const auto found = stream->push(scene.frame(i), scene.poses(i), time);
    for (const StreamPrediction& one : *found) ends.push_back(one.end);
    // No frame and no score from before the gap is in what comes after it.
    if (i == 9 && found->size() == 1) {
      check_alike(found->at(0).prediction, scene.predicted(*recognizer, 6, 10, std::nullopt));
      CHECK(found->at(0).scores == found->at(0).prediction.scores && found->at(0).changed);
    }
  }
  CHECK_EQUAL(ends.size(), 3u + 3u);
  CHECK(lines.size() == 1 && lines[0].find("begins anew") != std::string::npos);
}

// The fake's first class has the mean of the frames, normalised: light and dark pictures are two classes.
TEST(labels_are_steady_as_asked) {
  auto recognizer = opened(check::BundleFiles::kOneStream);
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  const auto labels = [&](double smoothing, double hysteresis) {
    StreamOptions options;
    options.window = options.stride = 1;
    options.smoothing = smoothing;
    options.hysteresis = hysteresis;
    auto stream = Stream::open(*recognizer, options);
    std::string text;
    double time = 0;
    for (const int level : {9, 9, 0, 9, 9, 0, 0, 0, 0}) {
      const std::vector<std::uint8_t> grey(std::size_t{3} * kPictureHeight * kPictureWidth, static_cast<std::uint8_t>(level));
      const auto found = stream->push(Frame(PixelFormat::rgb, kPictureHeight, kPictureWidth, {grey.data()}), {}, time += 0.1);
      if (!found || found->size() != 1 || !found->at(0).label) return std::string("none");
      text += std::to_string(found->at(0).label->index) + (found->at(0).changed ? "!" : "");
    }
    return text;
  };
  CHECK_EQUAL(labels(0, 0), "0!01!0!01!111");
  CHECK_EQUAL(labels(0.8, 0), "0!00000001!");
  CHECK_EQUAL(labels(0, 1.9), "0!01!0!01!111");  // by how much the two differ: 1.92 and 3.33
  CHECK_EQUAL(labels(0, 2), "0!00000000");
}

TEST(who_left_and_comes_back_begins_anew) {
  auto recognizer = opened();
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  StreamOptions options;
  options.window = options.stride = 1;
  options.each_person = true;
  options.smoothing = 0.9;
  auto stream = Stream::open(*recognizer, options);
  const Scene scene(5);
  for (std::size_t i = 0; stream && i < 5; ++i) {
    Poses poses = scene.poses(i);
    poses.keypoints.shape[0] = poses.scores.shape[0] = 1;
    poses.tracks = {i == 3 ? 8 : 7};  // another one in its place
    const auto found = stream->push(scene.frame(i), poses, 0.1 * static_cast<double>(i));
    if (!found || found->size() != 1) return check::report(__FILE__, __LINE__, "there is not one window");
    const bool is_new = i == 0 || i >= 3;
    CHECK((found->at(0).scores == found->at(0).prediction.scores) == is_new);
    CHECK(!is_new || found->at(0).changed);
  }
}

TEST(what_no_stream_has_is_an_error_and_the_stream_goes_on) {
  auto recognizer = opened();
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  const auto refused = [&](auto change) {
    StreamOptions options;
    change(options);
    return !Stream::open(*recognizer, options);
  };
  CHECK(refused([](StreamOptions& options) { options.window = -1; }));
  CHECK(refused([](StreamOptions& options) { options.window = 1 << 30; }));
  CHECK(refused([](StreamOptions& options) { options.stride = -2; }));
  CHECK(refused([](StreamOptions& options) { options.clips = 0; }));
  CHECK(refused([](StreamOptions& options) { options.frames_per_second = std::nan(""); }));
  CHECK(refused([](StreamOptions& options) { options.largest_gap = -1; }));
  CHECK(refused([](StreamOptions& options) { options.smoothing = 1; }));
  CHECK(refused([](StreamOptions& options) { options.hysteresis = std::nan(""); }));

  StreamOptions options;
  options.window = options.stride = 3;
  auto stream = Stream::open(*recognizer, options);
  if (!stream) return check::report(__FILE__, __LINE__, stream.error().text());
  const Scene scene(3);
  CHECK(stream->push(scene.frame(0), scene.poses(0), 1));
  CHECK(!stream->push(scene.frame(1), scene.poses(1), 1));
  CHECK(!stream->push(scene.frame(1), scene.poses(1), std::nan("")));
  CHECK(!stream->push(Frame(), scene.poses(1), 2));
  Poses poses = scene.poses(0);
  poses.tracks = {4, 4};
  CHECK(!stream->push(scene.frame(1), poses, 1.5));
  poses = scene.poses(0);
  poses.keypoints.data = reinterpret_cast<const float*>(reinterpret_cast<const char*>(poses.keypoints.data) + 2);
  CHECK(!stream->push(scene.frame(1), poses, 1.5));
  poses = scene.poses(0);
  poses.keypoints.shape = {std::int64_t{1} << 62, 2, 2};
  CHECK(!stream->push(scene.frame(1), poses, 1.5));
  CHECK(stream->push(scene.frame(1), scene.poses(1), 1.5));
  std::vector<float> shares = {0.1f, 0.2f, 0.3f, HUGE_VALF};
  const auto found = stream->push(scene.frame(2), {{shares.data(), {1, 2, 2}}, {}, {}}, 2);
  CHECK(found && found->size() == 1 && found->at(0).problem && !found->at(0).label);
  stream->restart();
  for (std::size_t i = 0; i < 3; ++i) {
    const auto again = stream->push(scene.frame(i), scene.poses(i), 0.1 * static_cast<double>(i));
    CHECK(again && again->size() == (i == 2 ? 1u : 0u));
    if (again && i == 2) CHECK(!again->at(0).problem && again->at(0).label);
  }
  Stream moved = *std::move(stream);
  CHECK(!stream->push(scene.frame(0), scene.poses(0), 3) && moved.push(scene.frame(0), scene.poses(0), 3));
  const auto nobody = Stream::open(Recognizer(*std::move(recognizer)), options);
  CHECK(nobody && !Stream::open(*recognizer, options));
}

TEST(an_error_of_the_runtime_is_the_windows) {
  auto recognizer = opened(check::BundleFiles::kSchema2, "throws");
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  StreamOptions options;
  options.window = 1;
  auto stream = Stream::open(*recognizer, options);
  const Scene scene(1);
  const auto found = stream->push(scene.frame(0), scene.poses(0), 0);
  CHECK(found && found->size() == 1 && found->at(0).problem && found->at(0).problem->message == "the fake has thrown");
}

// Run under the thread sanitizer: a thread a camera, and the pool's own.
TEST(a_pool_gives_every_camera_what_its_stream_gives) {
  for (const char* behaviour : {"fake", "takes two", "two at once"}) {
    auto recognizer = opened(check::BundleFiles::kSchema2, behaviour);
    if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
    PoolOptions options;
    options.stream.window = 5;
    options.stream.stride = 2;
    options.stream.each_person = true;
    options.stream.smoothing = 0.5;
    options.batch = 3;
    options.wait_ms = 5;
    std::mutex lock;
    std::map<std::int64_t, std::vector<StreamPrediction>> of;
    auto pool = Pool::open(*recognizer, options, [&](std::int64_t camera, const Result<StreamPrediction>& found) {
      const std::lock_guard<std::mutex> held(lock);
      if (found) of[camera].push_back(*found);
      throw std::runtime_error("an application's callback throws");
    });
    if (!pool) return check::report(__FILE__, __LINE__, pool.error().text());
    const Scene scene(15);
    std::vector<std::thread> threads;
    std::atomic<int> ready{0};
    for (std::int64_t camera = 0; camera < 4; ++camera) {
      threads.emplace_back([&, camera] {
        for (std::size_t i = 0; i < 15; ++i) {
          const auto windows = pool->push(camera, scene.frame(i), scene.poses(i), 0.1 * static_cast<double>(i));
          if (windows) ready += *windows;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    pool->finish();
    CHECK_EQUAL(ready.load(), 4 * 2 * 6);
    auto stream = Stream::open(*recognizer, options.stream);
    std::vector<StreamPrediction> wanted;
    for (std::size_t i = 0; stream && i < 15; ++i) {
      const auto found = stream->push(scene.frame(i), scene.poses(i), 0.1 * static_cast<double>(i));
      if (found) wanted.insert(wanted.end(), found->begin(), found->end());
    }
    const std::lock_guard<std::mutex> held(lock);
    for (const auto& [camera, found] : of) {
      CHECK_EQUAL(found.size(), wanted.size());
      for (std::size_t i = 0; i < std::min(found.size(), wanted.size()); ++i) {
        CHECK(found[i].track == wanted[i].track && found[i].end == wanted[i].end);
        check_alike(found[i].prediction, wanted[i].prediction);
        for (std::size_t k = 0; k < 2; ++k) CHECK_NEAR(found[i].scores.at(k), wanted[i].scores.at(k), 1e-5);
      }
    }
    pool->remove(0);
    CHECK(!pool->push(0, Frame(), {}, 0));
  }
}

TEST(a_window_that_waits_too_long_is_given_up) {
  auto recognizer = opened(check::BundleFiles::kSchema2, "fake slowly");
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  PoolOptions options;
  options.stream.window = options.stream.stride = 1;
  options.batch = 1;
  options.wait_ms = 0;
  options.give_up_ms = 12;  // the slow fake takes 5 for each
  std::atomic<int> computed{0}, given_up{0};
  double last = -1;
  auto pool = Pool::open(*recognizer, options, [&](std::int64_t, const Result<StreamPrediction>& found) {
    (found && !found->problem ? computed : given_up) += 1;
    CHECK(found && found->end > last);
    if (found) last = found->end;
  });
  if (!pool) return check::report(__FILE__, __LINE__, pool.error().text());
  const Scene scene(30);
  for (std::size_t i = 0; i < 30; ++i) CHECK(pool->push(7, scene.frame(i), scene.poses(i), static_cast<double>(i) / 10));
  pool->finish();
  CHECK(computed > 0 && given_up > 0 && computed + given_up == 30);
  CHECK(!Pool::open(*recognizer, options, nullptr));
  options.wait_ms = options.give_up_ms;  // would be given up while it waits for others
  CHECK(!Pool::open(*recognizer, options, [](std::int64_t, const Result<StreamPrediction>&) {}));
  options.wait_ms = 0;
  options.batch = 0;
  CHECK(!Pool::open(*recognizer, options, [](std::int64_t, const Result<StreamPrediction>&) {}));
}

}  // namespace
