#include "preprocess.hpp"

#include <limits>
#include <numeric>
#include <stdexcept>

#include "check.hpp"
#include "people.hpp"
#include "preparation.hpp"

namespace {

using namespace x3ddeploy;
using namespace x3ddeploy::detail;
using Indices = std::vector<std::int64_t>;

Contract small_contract() {
  Contract contract;
  contract.classes = 2;
  contract.joints = 1;
  contract.rgb_frames = 2;
  contract.rgb_height = contract.rgb_width = 4;
  contract.mean = {1, 2, 3};
  contract.std = {2, 4, 8};
  contract.pose_frames = 2;
  contract.pose_height = 6;
  contract.pose_width = 5;
  contract.sigma = 0.6;
  contract.scaling = 0.5;
  return contract;
}

// Expected values: MMAction2 1.2.0's UniformSampleFrames through x3ddeploy.data.sampling.
TEST(frames_are_drawn_as_mmaction_draws_them) {
  CHECK((uniform_indices(3, 5, 2) == Indices{0, 1, 2, 0, 1, 1, 2, 0, 1, 2}));
  CHECK((uniform_indices(9, 5, 2) == Indices{1, 2, 4, 5, 7, 0, 2, 4, 6, 8}));
  CHECK((uniform_indices(23, 5, 2) == Indices{3, 5, 12, 14, 18, 1, 5, 11, 17, 19}));
  CHECK((uniform_indices(5, 5, 1) == Indices{0, 1, 2, 3, 4}));
  CHECK((uniform_indices(1, 3, 1) == Indices{0, 0, 0}));
}

TEST(the_crop_is_square_about_the_joints_and_a_quarter_larger) {
  const auto box = crop_about({10, 20, 30, 60, 0, 0}, 100, 100);
  CHECK(box && box->left == -5 && box->top == 15 && box->right == 45 && box->bottom == 65);
  const auto whole = crop_about({10, 20, 12, 22}, 48, 64);
  CHECK(whole && whole->left == 0 && whole->top == 0 && whole->right == 64 && whole->bottom == 48);
  CHECK(crop_about({}, 48, 64));
  CHECK(!crop_about({-1e5f, 1, 1e5f, 100}, 48, 64));
  CHECK(!crop_about({3e9f, 1, 3.0001e9f, 100}, 48, 64));
}

TEST(an_unscaled_crop_keeps_every_pixel_and_is_black_outside) {
  std::vector<std::uint8_t> pixels(3 * 4 * 5);
  std::iota(pixels.begin(), pixels.end(), std::uint8_t{1});
  const Frame image = completed(Frame(PixelFormat::rgb, 4, 5, {pixels.data()}));
  std::vector<std::uint8_t> result(3 * 6 * 6);
  crop_and_resize(image, {-1, -1, 5, 5}, 6, 6, result.data());
  for (int y = 0; y < 6; ++y) {
    for (int x = 0; x < 6; ++x) {
      const bool inside = y >= 1 && y <= 4 && x >= 1;
      const int wanted = inside ? pixels[static_cast<std::size_t>(15 * (y - 1) + 3 * (x - 1))] : 0;
      CHECK_EQUAL(static_cast<int>(result[static_cast<std::size_t>(3 * (6 * y + x))]), wanted);
    }
  }
  crop_and_resize(image, {100, -50, 120, -40}, 6, 6, result.data());
  CHECK(std::all_of(result.begin(), result.end(), [](std::uint8_t value) { return value == 0; }));
}

TEST(planes_are_normalised_by_channel_whatever_the_rows_stride) {
  std::vector<std::uint8_t> pixels(2 * 10, 99);
  for (int i = 0; i < 6; ++i)
    pixels[static_cast<std::size_t>(i)] = pixels[static_cast<std::size_t>(10 + i)] = static_cast<std::uint8_t>(10 * i);
  std::vector<float> planes(3 * 4);
  normalise_frame(Frame(PixelFormat::rgb, 2, 2, {pixels.data()}, {10}), small_contract(), planes.data(), 4);
  CHECK((planes ==
         std::vector<float>{-0.5f, 14.5f, -0.5f, 14.5f, 2.0f, 9.5f, 2.0f, 9.5f, 2.125f, 5.875f, 2.125f, 5.875f}));
}

TEST(a_keypoint_draws_its_gaussian_and_a_broken_one_nothing) {
  const Contract contract = small_contract();
  const float nan = std::nanf(""), inf = HUGE_VALF;
  // Two persons in two frames; the second person draws nothing.
  const float keypoints[] = {4, 6, 1e30f, 4, nan, 4, 4, inf}, scores[] = {0.5f, 1, 1, 1};
  std::vector<float> maps(2 * 6 * 5);
  draw_heatmaps(keypoints, scores, 2, contract, maps.data());
  for (int y = 0; y < 6; ++y) {
    for (int x = 0; x < 5; ++x) {
      const bool reached = y >= 1 && y <= 4 && x <= 3;  // the window: from trunc(2 - 1.8) and trunc(3 - 1.8) on
      const double wanted = reached ? 0.5 * std::exp(-((x - 2) * (x - 2) + (y - 3) * (y - 3)) / 0.72) : 0.0;
      CHECK_NEAR(maps[static_cast<std::size_t>(5 * y + x)], wanted, 1e-6);
      CHECK_EQUAL(maps[static_cast<std::size_t>(30 + 5 * y + x)], 0.0f);
    }
  }
}

TEST(a_score_below_the_least_draws_nothing) {
  Contract contract = small_contract();
  const float keypoints[] = {4, 6, 4, 6}, scores[] = {0.5e-4f, std::nanf("")};
  std::vector<float> maps(2 * 6 * 5, 1.0f);
  draw_heatmaps(keypoints, scores, 1, contract, maps.data());
  CHECK(std::all_of(maps.begin(), maps.end(), [](float value) { return value == 0; }));
  contract.use_score = false;
  draw_heatmaps(keypoints, nullptr, 1, contract, maps.data());
  CHECK_EQUAL(maps[5 * 3 + 2], 1.0f);
}

Video small_video(const std::vector<std::uint8_t>& pixels, const std::vector<float>& keypoints,
                  const std::vector<float>& scores) {
  Video video;
  video.frames = {pixels.data(), pixels.data()};
  video.height = video.width = 4;
  video.keypoints = {keypoints.data(), {1, 2, 1, 2}};
  video.keypoint_scores = {scores.data(), {1, 2, 1}};
  return video;
}

// Two frames of one joint in pictures of 4 x 4 pixels.
People looked_at(const std::vector<float>& keypoints, const std::vector<float>& scores,
                 const std::optional<float>& least = std::nullopt) {
  static const std::vector<std::uint8_t> pixels(48);
  return look_at(small_video(pixels, keypoints, scores), least);
}

TEST(keypoints_that_are_no_skeleton_are_refused) {
  const float nan = std::nanf(""), inf = HUGE_VALF;
  const auto good = looked_at({3, 2, 2, 3}, {1, 0.5f});
  CHECK(good.seen && good.problem.empty());
  for (const auto& nobody : {looked_at({0, 0, 0, 0}, {1, 1}), looked_at({nan, 2, 2, nan}, {1, 1}),
                             looked_at({3, 2, 2, 3}, {0, nan}), looked_at({9, 2, 2, 3}, {0.5f, 0})}) {
    CHECK(!nobody.seen);
  }
  CHECK(!looked_at({0.5f, 0.2f, 1, 0.7f}, {1, 1}).problem.empty());
  CHECK(!looked_at({3, 2, 9, 3}, {0.4f, 0.5f}).problem.empty());
  CHECK(looked_at({3, 2, 9, 3}, {0.5f, 0.4f}).problem.empty());
  CHECK(!looked_at({3, 2, inf, 3}, {1, 0}).problem.empty());
  CHECK(looked_at({3, 2, inf, 3}, {1, 1}, 0.0f).problem.empty());
  CHECK(looked_at({3, 2, 2, 3}, {1.5f, -0.5f}).problem.empty());
  CHECK(!looked_at({3, 2, 2, 3}, {1.51f, 1}).problem.empty());
  CHECK(!looked_at({3, 2, 2, 3}, {1, -0.51f}).problem.empty());
}

TEST(a_doubtful_joint_decides_nothing_where_it_is_asked_for) {
  const Contract contract = small_contract();
  std::vector<std::uint8_t> pixels(48);
  std::iota(pixels.begin(), pixels.end(), std::uint8_t{1});
  const std::vector<float> scores = {1, 0}, lost = {3, 2, 0, 0};
  const auto expected = prepare_video(small_video(pixels, lost, scores), 1, contract);
  for (const float far : {900.0f, HUGE_VALF, std::nanf("")}) {
    const std::vector<float> keypoints = {3, 2, far, far};
    const auto prepared = prepare_video(small_video(pixels, keypoints, scores), 1, contract, {0.3f});
    CHECK(prepared && expected && prepared->imgs == expected->imgs);
    CHECK(prepared && expected && prepared->heatmap_imgs == expected->heatmap_imgs);
  }
}

TEST(numbers_that_no_video_has_are_refused) {
  const Contract contract = small_contract();
  const std::vector<std::uint8_t> pixels(48);
  const std::vector<float> keypoints = {3, 2, 2, 3}, scores = {1, 1};
  const Video good = small_video(pixels, keypoints, scores);
  CHECK(prepare_video(good, 1, contract));
  constexpr std::int64_t kHuge = std::int64_t{1} << 62;
  using Shape = std::vector<std::int64_t>;
  for (const Shape& shape : {Shape{1, kHuge, 1, 2}, Shape{kHuge, 2, 1, 2}, Shape{kHuge, kHuge, 1, 2}, Shape{-1, 2, 1, 2},
                             Shape{1, -2, 1, 2}, Shape{std::int64_t{1} << 31, std::int64_t{1} << 31, 1, 2}}) {
    Video video = good;
    video.keypoints.shape = shape;
    video.keypoint_scores.shape = {shape[0], shape[1], shape[2]};
    CHECK(!prepare_video(video, 1, contract));
  }
  for (const int clips : {-1, 0, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()}) {
    CHECK(!prepare_video(good, clips, contract));
  }
  Contract large = contract;
  large.rgb_frames = large.rgb_height = large.rgb_width = 1024;
  CHECK(!prepare_video(good, 4, large));
  Video wide = good;
  wide.height = wide.width = 1 << 30;
  CHECK(!prepare_video(wide, 1, contract));
  Contract cropping = contract;  // crops by joints, draws none
  cropping.crops_to_persons = true;
  cropping.pose_frames = 0;
  Video no_joints = good;
  no_joints.keypoints.shape = {1, 2, -1, 2};
  no_joints.keypoint_scores = {};
  CHECK(!prepare_video(no_joints, 1, cropping));
}

TEST(keypoints_of_a_smaller_picture_are_scaled_and_of_a_turned_one_refused) {
  const Contract contract = small_contract();
  std::vector<std::uint8_t> pixels(48);
  std::iota(pixels.begin(), pixels.end(), std::uint8_t{1});
  const std::vector<float> scores = {1, 1}, full = {3, 2, 2, 3}, half = {1.5f, 1, 1, 1.5f};
  Video video = small_video(pixels, half, scores);
  video.keypoints_height = video.keypoints_width = 2;
  const auto expected = prepare_video(small_video(pixels, full, scores), 1, contract);
  const auto scaled = prepare_video(video, 1, contract);
  CHECK(scaled && expected && scaled->heatmap_imgs == expected->heatmap_imgs && scaled->imgs == expected->imgs);
  video.keypoints_width = 0;
  CHECK(!prepare_video(video, 1, contract));
  const std::vector<std::uint8_t> wide(3 * 8 * 4);
  video.frames.assign(2, wide.data());
  video.width = 8;
  video.keypoints_height = 16;
  video.keypoints_width = 8;
  CHECK(!prepare_video(video, 1, contract));
}

TEST(threads_prepare_what_one_thread_does) {
  Contract contract = small_contract();
  contract.crops_to_persons = true;
  std::vector<std::uint8_t> pixels(5 * 3 * 40 * 50);
  std::vector<float> keypoints(2 * 5 * 2), scores(2 * 5, 0.9f);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 7919 >> 3);
  for (std::size_t i = 0; i < keypoints.size(); ++i) keypoints[i] = 5.0f + static_cast<float>(i * 13 % 30);
  Video video;
  for (std::size_t i = 0; i < 5; ++i) video.frames.emplace_back(pixels.data() + i * 3 * 40 * 50);
  video.height = 40;
  video.width = 50;
  video.keypoints = {keypoints.data(), {2, 5, 1, 2}};
  video.keypoint_scores = {scores.data(), {2, 5, 1}};
  const auto one = prepare_video(video, 3, contract), four = prepare_video(video, 3, contract, {std::nullopt, 4});
  CHECK(one && four && one->imgs == four->imgs && one->heatmap_imgs == four->heatmap_imgs);
  Preparing failing;
  failing.threads = 3;
  failing.picture = [](std::size_t, const Box&, int, int, std::uint8_t*) { throw std::runtime_error("a picture is lost"); };
  bool thrown = false;
  try {
    static_cast<void>(prepare_video(video, 3, contract, failing));
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  CHECK(thrown);
}

TEST(videos_that_do_not_fit_are_refused_with_every_reason) {
  const Contract contract = small_contract();
  const std::vector<std::uint8_t> pixels(48);
  const std::vector<float> keypoints(4), scores(2);
  const Video good = small_video(pixels, keypoints, scores);
  CHECK(prepare_video(good, 3, contract) && prepare_cropped({good, good}, contract));

  const auto problems = [&](const Video& video) {
    const auto result = prepare_video(video, 1, contract);
    return result ? std::size_t{0} : result.error().details.size();
  };
  Video video = good;
  video.frames.clear();
  video.height = 0;
  video.keypoints.shape = {1, 2, 17, 2};
  CHECK_EQUAL(problems(video), 3u);
  video = good;
  video.frames[1] = nullptr;
  CHECK_EQUAL(problems(video), 1u);
  video = good;
  video.row_bytes = 11;
  CHECK_EQUAL(problems(video), 1u);
  video = good;
  video.keypoint_scores.shape = {2, 1, 1};
  CHECK_EQUAL(problems(video), 1u);
  video = good;
  video.keypoints.data = nullptr;
  CHECK_EQUAL(problems(video), 1u);
  video = good;
  video.keypoints.shape = {1, 0, 1, 2};
  CHECK(problems(video) > 0);
  video = good;
  video.keypoints = {nullptr, {0, 2, 1, 2}};
  video.keypoint_scores = {nullptr, {0, 2, 1}};
  CHECK_EQUAL(problems(video), 0u);  // nobody is in the picture
  CHECK(!prepare_video(good, 0, contract) && !prepare_video(good, -1, contract));
  const std::vector<float> infinite = {HUGE_VALF, 1, 1, 1};
  CHECK_EQUAL(problems(small_video(pixels, infinite, scores)), 1u);

  video = good;
  video.frames.resize(1);
  video.keypoints.shape[1] = video.keypoint_scores.shape[1] = 1;
  const auto cropped = prepare_cropped({good, video}, contract);
  CHECK(!cropped && cropped.error().details.size() == 2);
  CHECK(!prepare_cropped({}, contract));
}

}  // namespace
