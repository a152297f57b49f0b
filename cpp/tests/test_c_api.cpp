#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <string>

#include "bundle_files.hpp"
#include "check.hpp"
#include "x3ddeploy/x3ddeploy.h"

namespace {

namespace fs = std::filesystem;

// A bundle in a folder of its own, for as long as the test runs.
class NamedFolder {
 public:
  explicit NamedFolder(const std::string& behaviour) : path_(fs::temp_directory_path() / ("x3ddeploy_c_" + std::to_string(std::random_device()()))) {
    check::BundleFiles files;
    files.network = check::BundleFiles::kSchema2;
    files.contents["recognizer.onnx"] = behaviour;
    files.contents["labels.txt"] = "sit\nstand\n";
    fs::create_directories(path_);
    for (const auto& [name, content] : files.contents) std::ofstream(path_ / name, std::ios::binary) << content;
    std::ofstream(path_ / "manifest.json", std::ios::binary) << files.manifest();
  }
  ~NamedFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  std::string text() const { return path_.string(); }

 private:
  fs::path path_;
};

constexpr int kHeight = 40, kWidth = 60;

struct Filmed {
  std::vector<std::uint8_t> pixels = std::vector<std::uint8_t>(std::size_t{4} * kHeight * kWidth, 100);
  std::vector<float> keypoints = {10, 5, 30, 35, 20, 10, 45, 38};
  std::vector<float> scores = {1, 0.9f, 0.8f, 0.7f};

  x3d_frame frame() const {
    x3d_frame frame{};
    frame.size = sizeof frame;
    frame.format = X3D_BGR;
    frame.height = kHeight;
    frame.width = kWidth;
    frame.planes[0] = pixels.data();
    return frame;
  }
  x3d_poses poses() const {
    x3d_poses poses{};
    poses.size = sizeof poses;
    poses.persons = poses.joints = 2;
    poses.keypoints = keypoints.data();
    poses.scores = scores.data();
    return poses;
  }
};

void count(void* user, std::int64_t, const x3d_found* found) {
  if (found->label >= 0 && (std::string(found->name) == "sit" || std::string(found->name) == "stand")) {
    ++*static_cast<std::atomic<int>*>(user);
  }
}

TEST(c_callers_get_what_cpp_callers_get) {
  const NamedFolder folder("two at once");
  x3d_recognizer* const recognizer = x3d_open(folder.text().c_str(), nullptr);
  if (recognizer == nullptr) return check::report(__FILE__, __LINE__, x3d_error());
  CHECK_EQUAL(std::string(x3d_version()), x3ddeploy::version());
  CHECK_EQUAL(std::string(x3d_runtime(recognizer)), "fake 1.0 on cpu");
  CHECK_EQUAL(std::string(x3d_note(recognizer, 1)), "not built in: openvino");
  CHECK(x3d_note(recognizer, 2) == nullptr && x3d_label(recognizer, 2) == nullptr && x3d_classes(recognizer) == 2);
  CHECK_EQUAL(std::string(x3d_label(recognizer, 1)), "stand");

  const Filmed scene;
  const std::vector<x3d_frame> frames(3, scene.frame());
  std::vector<float> keypoints, confidence;
  for (std::size_t person = 0; person < 2; ++person) {
    for (int frame = 0; frame < 3; ++frame) {
      keypoints.insert(keypoints.end(), scene.keypoints.begin() + static_cast<std::ptrdiff_t>(4 * person), scene.keypoints.begin() + static_cast<std::ptrdiff_t>(4 * person + 4));
      confidence.insert(confidence.end(), 2, 0.9f);
    }
  }
  x3d_video video{};
  video.size = sizeof video;
  video.frames = frames.data();
  video.frame_count = frames.size();
  video.persons = video.joints = 2;
  video.pose_frames = 3;
  video.keypoints = keypoints.data();
  video.scores = confidence.data();
  float scores[2] = {0, 0};
  int seen = -2;
  CHECK_EQUAL(x3d_predict(recognizer, &video, 1, scores, 2, &seen), 0);
  CHECK(seen == 3 && std::abs(scores[0] + scores[1] - 1) < 1e-4f);
  CHECK_EQUAL(x3d_predict(recognizer, &video, 1, scores, 1, &seen), 2);
  CHECK(std::strstr(x3d_error(), "room for 1") != nullptr);
  CHECK(x3d_predict(recognizer, &video, -1, scores, 2, &seen) != 0);
  video.size = 3;
  CHECK_EQUAL(x3d_predict(recognizer, &video, 1, scores, 2, nullptr), 2);

  std::atomic<int> labels{0};
  x3d_stream_options options{};
  options.size = sizeof options;
  options.window = options.stride = 2;
  options.each_person = 1;
  x3d_stream* const stream = x3d_stream_open(recognizer, &options);
  x3d_pool_options together{};
  together.size = sizeof together;
  together.batch = 4;
  together.wait_ms = 1;
  x3d_pool* const pool = x3d_pool_open(recognizer, &options, &together, count, &labels);
  CHECK(stream != nullptr && pool != nullptr);
  x3d_close(recognizer);  // both keep what they need
  const x3d_frame frame = scene.frame();
  const x3d_poses poses = scene.poses();
  for (int i = 0; i < 6; ++i) {
    CHECK_EQUAL(x3d_stream_push(stream, &frame, &poses, 0.1 * i, count, &labels), 0);
    CHECK_EQUAL(x3d_pool_push(pool, i % 2, &frame, &poses, 0.1 * i), 0);
  }
  x3d_pool_finish(pool);
  CHECK_EQUAL(labels.load(), 3 * 2 + 2 * 1 * 2);
  x3d_stream_restart(stream);  // times may begin anew
  x3d_pool_remove(pool, 0);
  CHECK_EQUAL(x3d_stream_push(stream, &frame, &poses, 0, count, &labels), 0);
  CHECK(x3d_pool_push(pool, 0, &frame, &poses, 0) == 0 && x3d_pool_push(pool, 1, &frame, &poses, 0) != 0);
  x3d_stream_close(stream);
  x3d_pool_close(pool);
}

TEST(nothing_where_something_is_needed_is_an_error) {
  float score = 0;
  CHECK(x3d_open(nullptr, nullptr) == nullptr && std::strlen(x3d_error()) > 0);
  CHECK(x3d_open("/nowhere", nullptr) == nullptr && std::strstr(x3d_error(), "does not exist") != nullptr);
  x3d_options options{};
  options.size = sizeof options;
  options.runtime = "abacus";
  CHECK(x3d_open("/nowhere", &options) == nullptr && std::strstr(x3d_error(), "abacus") != nullptr);
  CHECK(x3d_predict(nullptr, nullptr, 1, &score, 1, nullptr) == 2 && x3d_classes(nullptr) == 0);
  CHECK(x3d_stream_open(nullptr, nullptr) == nullptr && x3d_pool_open(nullptr, nullptr, nullptr, count, nullptr) == nullptr);
  CHECK(x3d_stream_push(nullptr, nullptr, nullptr, 0, nullptr, nullptr) == 2 && x3d_pool_push(nullptr, 0, nullptr, nullptr, 0) == 2);
  x3d_close(nullptr);
  x3d_stream_restart(nullptr);
  x3d_stream_close(nullptr);
  x3d_pool_remove(nullptr, 0);
  x3d_pool_finish(nullptr);
  x3d_pool_close(nullptr);
}

// What an application was compiled with is an older or a newer header than the library's.
TEST(structures_of_other_headers_are_read_by_their_size) {
  const NamedFolder folder("fake");
  x3d_recognizer* const recognizer = x3d_open(folder.text().c_str(), nullptr);
  if (recognizer == nullptr) return check::report(__FILE__, __LINE__, x3d_error());
  const Filmed scene;
  struct Newer {
    x3d_frame frame;
    double more[3];
  };
  std::vector<Newer> frames(4, {scene.frame(), {1e300, 2, 3}});
  for (Newer& one : frames) one.frame.size = sizeof one;
  x3d_video video{};
  video.size = offsetof(x3d_video, coordinates);  // before it had them
  video.frames = &frames[0].frame;
  video.frame_count = frames.size();
  video.persons = video.joints = 2;
  video.pose_frames = 1;
  video.keypoints = scene.keypoints.data();
  video.scores = scene.scores.data();
  video.coordinates = 99;
  float scores[2];
  const auto said = [&] { return x3d_predict(recognizer, &video, 1, scores, 2, nullptr) == 0 ? std::string() : std::string(x3d_error()); };
  CHECK_EQUAL(said(), "");
  video.size = sizeof video;
  CHECK(said().find("(2, 1, 2, 99), and not (persons, frames, joints, 2)") != std::string::npos);
  video.coordinates = 0;
  video.keypoints_height = 7 * kHeight;  // of other pictures than the frames, and these are not known in part
  CHECK(said().find("keypoints are of pictures of 0 x 280") != std::string::npos);
  video.keypoints_height = 0;
  std::vector<char> bytes(64);
  video.scores = reinterpret_cast<const float*>(bytes.data() + 1);
  CHECK(said().find("do not lie at a multiple of 4 bytes") != std::string::npos);
  video.scores = scene.scores.data();
  // Sizes that nobody set.
  for (const std::size_t size : {std::size_t{0}, sizeof video - 1, std::size_t{1} << 20, ~std::size_t{0}}) {
    video.size = size;
    CHECK(said().find("which is not sizeof") != std::string::npos);
  }
  video.size = sizeof video;
  for (const std::size_t size : {std::size_t{0}, sizeof(Newer) + 1, ~std::size_t{0} - 7}) {
    frames[0].frame.size = size;
    CHECK(said().find("which is not sizeof") != std::string::npos);
  }
  frames[0].frame.size = sizeof(Newer);
  frames[2].frame.size = sizeof(x3d_frame);
  CHECK(said().find("frame 2 has another size") != std::string::npos);
  x3d_close(recognizer);
}

// Under the sanitizers: values at random, of which pointers alone are what they say.
TEST(whatever_is_pushed_ends_in_a_label_or_an_error) {
  const NamedFolder folder("fake");
  x3d_recognizer* const recognizer = x3d_open(folder.text().c_str(), nullptr);
  if (recognizer == nullptr) return check::report(__FILE__, __LINE__, x3d_error());
  std::mt19937 random(1);
  const auto one_of = [&](auto... values) {
    const double all[] = {static_cast<double>(values)...};
    return all[random() % std::size(all)];
  };
  const double nan = std::nan(""), huge = 1e300;
  const Filmed scene;
  std::atomic<int> labels{0};
  int errors = 0;
  for (int round = 0; round < 60; ++round) {
    x3d_stream_options options{};
    options.size = sizeof options;
    options.window = static_cast<int>(one_of(0, 1, 2, 5, -1, std::numeric_limits<int>::max()));
    options.stride = static_cast<int>(one_of(0, 1, 3, -7));
    options.each_person = static_cast<int>(one_of(0, 1));
    options.frames_per_second = one_of(0, 10, 25, nan, huge, -1);
    options.largest_gap = one_of(0, 0.5, -1, nan);
    options.smoothing = one_of(0, 0.5, 1, nan);
    options.hysteresis = one_of(0, 0.1, nan);
    x3d_stream* const stream = x3d_stream_open(recognizer, &options);
    x3d_pool_options together{};
    together.size = sizeof together;
    together.batch = static_cast<int>(one_of(1, 3, 0, -1));
    together.wait_ms = one_of(0, 1, -1, nan);
    together.give_up_ms = one_of(0, 0, 40, nan, -1);
    x3d_pool* const pool = x3d_pool_open(recognizer, &options, &together, count, &labels);
    errors += stream == nullptr ? 1 : 0;
    double time = 0;
    for (int i = 0; i < 40; ++i) {
      x3d_frame frame = scene.frame();
      frame.format = static_cast<x3d_format>(random() % 7);
      if (random() % 8 == 0) frame.height = static_cast<int>(one_of(0, -3, kHeight / 2, std::numeric_limits<int>::max()));
      if (random() % 8 == 0) frame.row_bytes[0] = static_cast<std::size_t>(one_of(1, 1e18));
      if (random() % 16 == 0) frame.planes[0] = nullptr;
      x3d_poses poses = scene.poses();
      poses.persons = static_cast<std::int64_t>(one_of(0, 1, 2, 2, 2, -1, 1e18));
      std::vector<float> keypoints = scene.keypoints;
      if (random() % 8 == 0) keypoints[random() % keypoints.size()] = static_cast<float>(one_of(nan, huge, -huge, 1e30, 0, -5));
      poses.keypoints = keypoints.data();
      const std::int64_t tracks[] = {static_cast<std::int64_t>(random() % 3), static_cast<std::int64_t>(random() % 3)};
      if (random() % 2 == 0 && poses.persons <= 2) poses.tracks = tracks;
      time += one_of(0.04, 0.04, 0.04, 0.1, 0.5, 3, 0, -1, nan);
      if (std::isnan(time) && random() % 2 == 0) time = i;
      errors += x3d_stream_push(stream, &frame, &poses, time, count, &labels) == 0 ? 0 : 1;
      errors += x3d_pool_push(pool, i % 3, &frame, &poses, time) == 0 ? 0 : 1;
    }
    x3d_stream_close(stream);
    x3d_pool_close(pool);
  }
  x3d_close(recognizer);
  CHECK(labels > 0 && errors > 0);
}

}  // namespace
