// Whatever an application does with streams, pools and single calls through the C interface, with whatever numbers, ends in
// scores or in an error. The bytes say what is done; pictures and keypoints have the sizes that they are said to have, or
// sizes that must be refused before anything is read.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "bundle_files.hpp"
#include "x3ddeploy/x3ddeploy.h"

namespace {

void demand(bool holds) {
  if (!holds) std::abort();
}

// Values out of the bytes; zeros behind their end.
class Script {
 public:
  Script(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  bool left() const { return at_ < size_; }
  int byte() { return left() ? data_[at_++] : 0; }
  int below(int limit) { return byte() % limit; }
  double real() {
    constexpr double kOdd[] = {0, -1, 1e300, -1e300, NAN, INFINITY, 0.5, 1e-30};
    const int choice = byte();
    return choice < 8 ? kOdd[choice] : (choice - 128) / 16.0;
  }
  // Few, or as many as nobody has.
  std::int64_t count(int most) {
    constexpr std::int64_t kOdd[] = {-1, std::int64_t{1} << 40, std::int64_t{1} << 62, INT64_MIN};
    const int choice = byte();
    return choice < 10 ? kOdd[choice % 4] : choice % (most + 1);
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

x3d_recognizer* recognizer() {
  static x3d_recognizer* const opened = [] {
    const auto folder = std::filesystem::temp_directory_path() / ("x3ddeploy_fuzz_" + std::to_string(std::random_device()()));
    std::filesystem::create_directories(folder);
    check::BundleFiles files;
    files.network = check::BundleFiles::kSchema2;
    std::map<std::string, std::string> contents;
    for (const auto& file : files.embedded(contents)) {
      std::ofstream(folder / file.name, std::ios::binary).write(static_cast<const char*>(file.data), static_cast<std::streamsize>(file.size));
    }
    x3d_recognizer* const loaded = x3d_open(folder.u8string().c_str(), nullptr);
    std::filesystem::remove_all(folder);
    return loaded;
  }();
  demand(opened != nullptr);
  return opened;
}

struct GivenFrame {
  explicit GivenFrame(Script& bytes) {
    constexpr int kOdd[] = {-1, 0, 1 << 15, INT32_MAX, INT32_MIN};
    const auto side = [&] {
      const int choice = bytes.byte();
      return choice < 5 ? kOdd[choice] : 1 + choice % 40;
    };
    frame.size = sizeof frame;
    frame.format = bytes.below(9);
    frame.height = side();
    frame.width = side();
    constexpr std::size_t kPadded = 200;  // four bytes a pixel and more
    pixels.assign(3 * 40 * kPadded, static_cast<std::uint8_t>(bytes.byte()));
    constexpr std::size_t kRows[] = {0, 0, 0, kPadded, 1, std::size_t{1} << 40};
    for (std::size_t& row : frame.row_bytes) row = kRows[bytes.below(6)];
    if (bytes.below(20) != 0) frame.planes[0] = pixels.data();
  }

  x3d_frame frame{};
  std::vector<std::uint8_t> pixels;
};

struct GivenPoses {
  explicit GivenPoses(Script& bytes) {
    poses.size = sizeof poses;
    poses.persons = bytes.count(4);
    poses.joints = bytes.below(8) == 0 ? bytes.count(4) : 2;
    for (int i = 0; i < 4 * 4 * 2; ++i) keypoints.push_back(static_cast<float>(bytes.below(4) == 0 ? bytes.real() : bytes.below(40)));
    for (int i = 0; i < 4 * 4; ++i) scores.push_back(bytes.below(8) == 0 ? static_cast<float>(bytes.real()) : 0.5f);
    for (int i = 0; i < 4; ++i) tracks.push_back(bytes.below(6));
    if (bytes.below(20) != 0) poses.keypoints = keypoints.data();
    if (bytes.below(2) != 0) poses.scores = scores.data();
    // As many as there are persons; others are refused.
    if (poses.persons >= 0 && poses.persons <= 4 && bytes.below(2) != 0) poses.tracks = tracks.data();
  }

  x3d_poses poses{};
  std::vector<float> keypoints;
  std::vector<float> scores;
  std::vector<std::int64_t> tracks;
};

x3d_stream_options options_of(Script& bytes) {
  x3d_stream_options options{};
  options.size = sizeof options;
  options.window = bytes.below(8) - 1;
  options.stride = bytes.below(6) - 1;
  options.clips = bytes.below(4) - 1;
  options.each_person = bytes.below(2);
  options.frames_per_second = bytes.below(2) == 0 ? 0 : bytes.real();
  options.largest_gap = bytes.real();
  options.smoothing = bytes.below(2) == 0 ? 0.5 : bytes.real();
  options.hysteresis = bytes.below(2) == 0 ? 0.1 : bytes.real();
  return options;
}

void check_found(void*, std::int64_t, const x3d_found* one) {
  demand(one->size == sizeof *one && one->label < 2 && (one->problem == nullptr || *one->problem != 0));
  demand((one->label < 0) == (one->name == nullptr));
  demand(one->problem != nullptr || one->classes == 2);
}

void check_told(int code) {
  if (code != 0) demand(*x3d_error() != 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Script bytes(data, size);
  const x3d_stream_options options = options_of(bytes);
  x3d_stream* const stream = x3d_stream_open(recognizer(), &options);
  x3d_pool_options together{};
  together.size = sizeof together;
  together.batch = bytes.below(5);
  together.wait_ms = bytes.below(4) - 1;
  if (bytes.below(4) == 0) together.give_up_ms = bytes.real();
  x3d_pool* const pool = x3d_pool_open(recognizer(), &options, &together, check_found, nullptr);
  double time = 0;
  while (bytes.left()) {
    const GivenFrame given(bytes);
    const GivenPoses seen(bytes);
    time += bytes.below(10) == 0 ? bytes.real() : 0.04 * bytes.below(3);
    switch (bytes.below(9)) {
      case 0: x3d_stream_restart(stream); break;
      case 1: x3d_pool_remove(pool, bytes.below(3)); break;
      case 2:
      case 3:
      case 4: check_told(x3d_stream_push(stream, &given.frame, &seen.poses, time, check_found, nullptr)); break;
      case 5:
      case 6: check_told(x3d_pool_push(pool, bytes.below(3), &given.frame, &seen.poses, time)); break;
      default: {
        const std::vector<x3d_frame> frames(static_cast<std::size_t>(bytes.below(4)), given.frame);
        x3d_video video{};
        video.size = sizeof video;
        video.frames = frames.data();
        video.frame_count = frames.size();
        video.persons = bytes.below(3);
        video.pose_frames = bytes.below(4) == 0 ? bytes.count(2) : 2;
        video.joints = 2;
        video.keypoints = seen.poses.keypoints;
        video.scores = seen.scores.data();
        if (bytes.below(8) == 0) video.coordinates = bytes.below(5) - 1;
        if (bytes.below(8) == 0) video.keypoints_height = video.keypoints_width = static_cast<int>(bytes.count(40));
        if (bytes.below(16) == 0) video.size = static_cast<std::size_t>(bytes.below(40)) * 8;
        float scores[2] = {-1, -1};
        check_told(x3d_predict(recognizer(), &video, bytes.below(4), scores, static_cast<std::size_t>(bytes.below(4)), nullptr));
      }
    }
  }
  x3d_pool_finish(pool);
  x3d_pool_close(pool);
  x3d_stream_close(stream);
  return 0;
}
