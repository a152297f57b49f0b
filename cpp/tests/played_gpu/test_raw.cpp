// Videos that the played GPU prepares: the predictions of the CPU's preparation, from bytes.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <thread>

#include "engine_files.hpp"
#include "x3ddeploy/stream.hpp"
#include "x3ddeploy/x3ddeploy.h"

namespace {

using namespace x3ddeploy;
using check::opened;

constexpr std::size_t kFrameBytes = 3 * 4 * 4;

check::BundleFiles raw_bundle(std::vector<std::string> front = {"preprocess_rgb", "preprocess_pose"}) {
  front.insert(front.end(), {"rgb_backbone", "pose_backbone", "head"});
  return check::bundle_with_engines("9.0", true, front);
}

check::BundleFiles host_bundle() { return raw_bundle({}); }

// A clip of the network's size, noise with so many persons walking through it.
struct Clip {
  explicit Clip(std::int64_t persons, unsigned seed = 1, std::size_t frames = 2, std::int64_t poses = 3)
      : pixels(frames * kFrameBytes), keypoints(static_cast<std::size_t>(persons * poses) * 4), scores(keypoints.size() / 2) {
    const auto next = [&] { return (seed = seed * 1103515245u + 12345u) >> 16; };
    for (auto& value : pixels) value = static_cast<std::uint8_t>(next());
    for (auto& value : keypoints) value = static_cast<float>(next() % 400) / 100;
    for (auto& value : scores) value = static_cast<float>(next() % 100 + 1) / 100;
    for (std::size_t frame = 0; frame < frames; ++frame) video.frames.emplace_back(pixels.data() + frame * kFrameBytes);
    video.height = video.width = 4;
    video.keypoints = {keypoints.data(), {persons, poses, 2, 2}};
    video.keypoint_scores = {scores.data(), {persons, poses, 2}};
  }
  Clip(const Clip&) = delete;

  std::vector<std::uint8_t> pixels;
  std::vector<float> keypoints, scores;
  Video video;
};

// Taken as it is: of the network's length and size.
std::vector<Video> cropped(const Clip& clip, std::size_t count = 1) { return std::vector<Video>(count, clip.video); }

void check_same(const Prediction& there, const Prediction& here) {
  CHECK_EQUAL(there.scores.size(), here.scores.size());
  for (std::size_t i = 0; i < here.scores.size(); ++i) {
    CHECK(std::fabs(there.scores[i] - here.scores[i]) <= 1e-6f * std::max(1.0f, std::fabs(here.scores[i])));
  }
  CHECK(there.frames_with_persons == here.frames_with_persons);
}

void check_same(const Result<std::vector<Prediction>>& there, const Result<std::vector<Prediction>>& here) {
  if (!there || !here) return check::report(__FILE__, __LINE__, (there ? here : there).error().text());
  CHECK_EQUAL(there->size(), here->size());
  for (std::size_t i = 0; i < here->size(); ++i) check_same(there->at(i), here->at(i));
}

TEST(frames_go_up_as_bytes_and_come_back_as_scores) {
  auto host = opened(host_bundle()), recognizer = opened(raw_bundle());
  if (!host || !recognizer) return check::report(__FILE__, __LINE__, "not opened");
  CHECK(recognizer->prepares_on_device() && !host->prepares_on_device());
  CHECK_EQUAL(recognizer->notes().at(0), "videos are prepared on the GPU: frames go up as bytes");
  for (const std::int64_t persons : {1, 2}) {
    const Clip first(persons, 3), second(1, 4);
    for (const bool both : {false, true}) {
      std::vector<Video> videos = {first.video};
      if (both) videos.push_back(second.video);
      const auto expected = host->predict(videos);
      for (int round = 0; round < 3; ++round) {  // plain, recorded, replayed
        played::gpu() = {};
        check_same(recognizer->predict(videos), expected);
        CHECK_EQUAL(played::gpu().copies_to_device, 3);
        CHECK_EQUAL(played::gpu().copies_to_host, 3);  // what the network gives, and nothing on the way to it
        const std::size_t joints = static_cast<std::size_t>(persons) * 3 * 2;
        CHECK_EQUAL(played::gpu().bytes_to_device, videos.size() * (2 * kFrameBytes + joints * 3 * sizeof(float)));
        CHECK_EQUAL(played::gpu().launched_graphs, round == 0 ? 0 : 1);
      }
    }
  }
}

TEST(a_videos_clips_are_those_of_the_host_however_many_and_whoever_is_in_them) {
  auto host = opened(host_bundle()), recognizer = opened(raw_bundle());
  if (!host || !recognizer) return check::report(__FILE__, __LINE__, "not opened");
  for (const std::int64_t persons : {0, 1, 3, 4}) {
    for (const int clips : {1, 3, 6}) {  // more than the engines take at once
      Clip clip(persons, 7, 5, 9);
      if (persons > 1) std::fill_n(clip.scores.begin(), 6, 0.0f);
      const auto there = recognizer->predict(clip.video, clips), here = host->predict(clip.video, clips);
      if (!there || !here) return check::report(__FILE__, __LINE__, (there ? here : there).error().text());
      check_same(*there, *here);
      CHECK_EQUAL(recognizer->top(*there, 2).empty(), persons == 0);
    }
  }
}

TEST(only_who_is_seen_at_once_needs_a_place) {
  auto host = opened(host_bundle()), recognizer = opened(raw_bundle());
  if (!host || !recognizer) return check::report(__FILE__, __LINE__, "not opened");
  Clip relay(6, 5);
  for (std::size_t person = 0; person < 6; ++person) {
    for (std::size_t frame = 0; frame < 3; ++frame) {
      if (frame == person % 3) continue;
      relay.scores[(person * 3 + frame) * 2] = relay.scores[(person * 3 + frame) * 2 + 1] = 0;
    }
  }
  played::gpu() = {};
  check_same(recognizer->predict(cropped(relay)), host->predict(cropped(relay)));
  const Clip crowd(5);
  const auto refused = recognizer->predict(cropped(crowd));
  CHECK(!refused && refused.error().message == "5 persons at once, and the engines that draw them take at most 4");
  CHECK(refused.error().kind == ErrorKind::usage && refused.error().hint.find("--max-shapes") != std::string::npos);
  check_same(recognizer->predict(cropped(relay)), host->predict(cropped(relay)));
}

TEST(joints_that_are_left_out_are_not_drawn_on_the_gpu_either) {
  Options options;
  options.min_keypoint_score = 0.4f;
  auto host = opened(host_bundle(), options), recognizer = opened(raw_bundle(), options);
  if (!host || !recognizer) return check::report(__FILE__, __LINE__, "not opened");
  Clip clip(2, 9);
  clip.keypoints[0] = std::numeric_limits<float>::infinity();
  clip.keypoints[5] = std::numeric_limits<float>::quiet_NaN();
  const auto there = recognizer->predict(clip.video), here = host->predict(clip.video);
  if (!there || !here) return check::report(__FILE__, __LINE__, (there ? here : there).error().text());
  check_same(*there, *here);
}

TEST(ready_tensors_and_videos_take_turns_on_the_same_engines) {
  auto host = opened(host_bundle()), recognizer = opened(raw_bundle());
  if (!host || !recognizer) return check::report(__FILE__, __LINE__, "not opened");
  const Clip clip(2, 11);
  const auto prepared = recognizer->prepare(cropped(clip));
  if (!prepared) return check::report(__FILE__, __LINE__, prepared.error().text());
  CHECK_EQUAL(prepared->imgs.size(), 96u);
  const auto expected = host->predict(prepared->view());
  for (int round = 0; round < 3; ++round) {
    check_same(recognizer->predict(prepared->view()), expected);
    check_same(recognizer->predict(cropped(clip)), expected);
  }
}

TEST(what_fails_in_front_of_the_network_is_an_error_and_the_next_call_goes_well) {
  auto host = opened(host_bundle());
  if (!host) return check::report(__FILE__, __LINE__, host.error().text());
  const Clip clip(1, 13);
  const auto expected = host->predict(cropped(clip));
  for (const char* part : {"preprocess_rgb", "preprocess_pose", "pose_backbone"}) {
    auto recognizer = opened(raw_bundle());
    if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
    for (int round = 0; round < 2; ++round) {  // launched, and while a graph is recorded
      played::gpu().failing_part = part;
      const auto failed = recognizer->predict(cropped(clip));
      CHECK(!failed && failed.error().message == std::string(part) + " fails: played failure");
      CHECK_EQUAL(played::gpu().pending_work, 0);
      played::gpu().failing_part = "";
      check_same(recognizer->predict(cropped(clip)), expected);
    }
    played::gpu().uncapturable_part = part;
    for (int round = 0; round < 3; ++round) {
      check_same(recognizer->predict(cropped(clip, 2)), host->predict(cropped(clip, 2)));
    }
    CHECK(!recognizer->uses_cuda_graph());
  }
}

TEST(a_profile_that_cannot_be_shared_by_numbers_of_persons_says_so) {
  auto recognizer = opened(raw_bundle());
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  played::gpu().shares_profiles = false;  // 8.6, and engines that were not built for it
  const Clip one(1), two(2);
  CHECK(recognizer->predict(cropped(one)));
  const auto refused = recognizer->predict(cropped(two));
  CHECK(!refused && refused.error().message.find("belongs to another number of clips or persons") != std::string::npos);
  CHECK(recognizer->predict(cropped(one)));
}

TEST(without_an_engine_that_fits_the_cpu_prepares_and_a_note_says_why) {
  const auto note = [](const check::BundleFiles& files) {
    auto recognizer = opened(files);
    if (!recognizer) return recognizer.error().text();
    const Clip clip(1);
    CHECK(!recognizer->prepares_on_device() && recognizer->predict(cropped(clip)));
    return recognizer->notes().at(0);
  };
  CHECK(note(raw_bundle({"preprocess_rgb"})).find("videos are prepared on the CPU: the embedded bundle has no fp32 engine of preprocess_pose (build it here: x3ddeploy build-trt") == 0);
  check::BundleFiles stale = raw_bundle();
  stale.contents["preprocess_rgb.onnx"] = "another";
  CHECK(note(stale).find("no fp32 engine of preprocess_rgb in the embedded bundle fits this machine") != std::string::npos);
  check::BundleFiles strange = raw_bundle();
  strange.replaced["\"frames\": [\"N\", 2"] = "\"depth\": [\"N\", 2";
  CHECK(note(strange).find("preprocess_rgb takes 'depth'") != std::string::npos);
  check::BundleFiles damaged = raw_bundle();
  damaged.contents["engines/played/preprocess_rgb.fp32.plan"] = "no plan";
  CHECK(note(damaged).find("preprocess_rgb cannot be loaded: magic tag does not match") != std::string::npos);
}

TEST(an_application_may_leave_the_engines_of_the_preprocessing_out_and_not_alter_them) {
  std::map<std::string, std::string> held;
  std::vector<EmbeddedFile> files = raw_bundle().embedded(held);
  const auto plan = std::find_if(files.begin(), files.end(), [](const EmbeddedFile& file) { return file.name == "engines/played/preprocess_pose.fp32.plan"; });
  std::string other = held.at(plan->name);
  other.back() = '8';
  plan->data = other.data();
  played::gpu() = {};
  const auto altered = Recognizer::open(files);
  CHECK(!altered && altered.error().text().find("preprocess_pose.fp32.plan: its sha256 differs") != std::string::npos);
  files.erase(plan);
  const auto recognizer = Recognizer::open(files);
  if (!recognizer) return check::report(__FILE__, __LINE__, recognizer.error().text());
  CHECK(!recognizer->prepares_on_device());
  CHECK_EQUAL(recognizer->notes().at(0), "videos are prepared on the CPU: engines/played/preprocess_pose.fp32.plan: missing");
}

TEST(streams_and_pools_send_bytes_up_too) {
  auto host = opened(host_bundle()), recognizer = opened(raw_bundle());
  if (!host || !recognizer) return check::report(__FILE__, __LINE__, "not opened");
  StreamOptions options;
  options.window = 3, options.stride = 1, options.largest_gap = 0;
  PoolOptions pool_options;
  pool_options.stream = options, pool_options.wait_ms = 1e4, pool_options.batch = 4;
  std::map<std::int64_t, std::vector<StreamPrediction>> there, here;
  const auto into = [](auto& found) {
    return [&found](std::int64_t camera, Result<StreamPrediction> one) { found[camera].push_back(*one); };
  };
  {
    auto stream = Stream::open(*recognizer, options), expected = Stream::open(*host, options);
    std::mutex turn;
    auto pool = Pool::open(*recognizer, pool_options, [&](std::int64_t camera, Result<StreamPrediction> one) {
      const std::lock_guard<std::mutex> held(turn);
      into(there)(camera, std::move(one));
    });
    if (!stream || !expected || !pool) return check::report(__FILE__, __LINE__, "not opened");
    played::gpu() = {};
    for (unsigned frame = 0; frame < 5; ++frame) {
      const Clip clip(frame % 3, 20 + frame, 1, 1);
      const auto persons = static_cast<std::int64_t>(frame % 3);
      const Poses poses = {{clip.keypoints.data(), {persons, 2, 2}}, {clip.scores.data(), {persons, 2}}, {}};
      const Frame picture(PixelFormat::rgb, 4, 4, {clip.pixels.data()});
      const auto one = stream->push(picture, poses, frame), same = expected->push(picture, poses, frame);
      if (!one || !same) return check::report(__FILE__, __LINE__, (one ? same : one).error().text());
      for (std::size_t i = 0; i < one->size(); ++i) check_same(one->at(i).prediction, same->at(i).prediction);
      for (const StreamPrediction& found : *same) into(here)(0, found), into(here)(1, found);
      for (const std::int64_t camera : {0, 1}) CHECK(pool->push(camera, picture, poses, frame));
    }
    pool->finish();
  }
  CHECK_EQUAL(here[0].size(), 3u);
  for (const std::int64_t camera : {0, 1}) {
    CHECK_EQUAL(there[camera].size(), here[camera].size());
    for (std::size_t i = 0; i < std::min(there[camera].size(), here[camera].size()); ++i) check_same(there[camera][i].prediction, here[camera][i].prediction);
  }
}

TEST(requests_prepare_side_by_side) {
  auto host = opened(host_bundle());
  Options options;
  options.requests = 3, options.warm_up = true;
  auto recognizer = opened(raw_bundle(), options);
  if (!host || !recognizer) return check::report(__FILE__, __LINE__, "not opened");
  played::gpu().awaited_runs = 3;
  constexpr int kRounds = 4;
  std::vector<std::vector<Result<std::vector<Prediction>>>> found(6);
  std::vector<std::thread> callers;
  for (unsigned i = 0; i < found.size(); ++i) {
    callers.emplace_back([&, i] {
      for (int round = 0; round < kRounds; ++round) {
        const Clip clip(1 + (static_cast<int>(i) + round) % 3, i);
        found[i].push_back(recognizer->predict(cropped(clip)));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(played::gpu().met);
  for (unsigned i = 0; i < found.size(); ++i) {
    for (int round = 0; round < kRounds; ++round) {
      const Clip clip(1 + (static_cast<int>(i) + round) % 3, i);
      check_same(found[i].at(static_cast<std::size_t>(round)), host->predict(cropped(clip)));
    }
  }
}

TEST(the_c_interface_sends_bytes_up_too) {
  auto host = opened(host_bundle());
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("x3ddeploy_raw_" + std::to_string(std::rand()));
  std::map<std::string, std::string> held;
  for (const EmbeddedFile& file : raw_bundle().embedded(held)) {
    std::filesystem::create_directories((folder / file.name).parent_path());
    std::ofstream(folder / file.name, std::ios::binary).write(static_cast<const char*>(file.data), static_cast<std::streamsize>(file.size));
  }
  played::gpu() = {};
  x3d_recognizer* const recognizer = x3d_open(folder.string().c_str(), nullptr);
  if (recognizer == nullptr) return check::report(__FILE__, __LINE__, x3d_error());
  CHECK_EQUAL(std::string(x3d_note(recognizer, 0)), "videos are prepared on the GPU: frames go up as bytes");
  Clip clip(2, 17);
  x3d_frame frames[2] = {};
  for (std::size_t i = 0; i < 2; ++i) frames[i] = {sizeof(x3d_frame), X3D_RGB, 4, 4, {clip.pixels.data() + i * kFrameBytes, nullptr, nullptr}, {}};
  const x3d_video video = {sizeof(x3d_video), frames, 2, 4, 4, 2, 3, 2, clip.keypoints.data(), clip.scores.data()};
  float scores[2] = {};
  int seen = 0;
  CHECK_EQUAL(x3d_predict(recognizer, &video, 1, scores, 2, &seen), 0);
  CHECK_EQUAL(played::gpu().bytes_to_device, 2 * kFrameBytes + 2 * 3 * 2 * 3 * sizeof(float));
  const auto expected = host->predict(clip.video);
  CHECK(expected && std::fabs(expected->scores[0] - scores[0]) < 1e-4f && expected->frames_with_persons == seen);
  x3d_close(recognizer);
  std::filesystem::remove_all(folder);
}

}  // namespace
