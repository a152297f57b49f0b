#include "preparation.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "backend.hpp"
#include "parallel.hpp"
#include "people.hpp"
#include "skeletons.hpp"

namespace x3ddeploy::detail {
namespace {

// Larger than any camera's, video's or call's, and small enough for products to stay inside 64 bits.
constexpr int kLargestSide = 1 << 14;
constexpr std::size_t kLargestRow = std::size_t{1} << 20;
constexpr std::int64_t kLargestKeypoints = std::int64_t{1} << 32;
constexpr std::int64_t kMostFrames = std::int64_t{1} << 26;
constexpr double kMostPreparedBytes = 8e9;
constexpr std::size_t kMostKeptBytes = std::size_t{1} << 29;  // of a call's clips, for the next; ten of 16 x 224 x 224 take 200 MB
constexpr double kTurned = 0.02;  // how far the sides' ratio of a turned picture may be off

Error wrong(std::vector<std::string> problems) {
  return {ErrorKind::failed, "the video does not fit the network", "see the contract, or `x3ddeploy inspect`",
          std::move(problems)};
}

std::string size_text(int width, int height) { return std::to_string(width) + " x " + std::to_string(height) + " pixels"; }

// The video with what it leaves to its frames, and its frames to it, filled in.
Video with_sizes(Video video) {
  for (const Frame& frame : video.frames) {
    if (video.height == 0) video.height = frame.height;
    if (video.width == 0) video.width = frame.width;
  }
  for (Frame& frame : video.frames) {
    if (frame.height == 0 && frame.width == 0) {
      frame.format = video.format;
      frame.height = video.height;
      frame.width = video.width;
      if (frame.row_bytes[0] == 0) frame.row_bytes[0] = video.row_bytes;
    }
    if (problem_of(frame).empty()) frame = completed(frame);
  }
  return video;
}

// False where an axis is negative or there are more values than can be.
bool is_shape(const Shape& shape) {
  std::int64_t values = 1;
  for (const std::int64_t axis : shape) {
    if (axis < 0 || (axis != 0 && values > kLargestKeypoints / axis)) return false;
    values *= axis;
  }
  return true;
}

// Keypoints of pictures that were turned by a quarter are of no use; those of pictures that were scaled are scaled along.
bool is_turned(const Video& video) {
  const double ratio = static_cast<double>(video.keypoints_height) / video.keypoints_width;
  const double turned = static_cast<double>(video.width) / video.height;
  return std::abs(ratio / turned - 1) < kTurned && std::abs(ratio * turned - 1) > kTurned;
}

void add_frame_problems(const Video& video, const Contract& contract, bool pictures_elsewhere, std::vector<std::string>& problems) {
  if (contract.rgb_frames > 0 && video.frames.empty()) problems.emplace_back("there are no frames");
  if (static_cast<std::int64_t>(video.frames.size()) > kMostFrames) problems.emplace_back("there are too many frames");
  const bool needs_size = contract.rgb_frames > 0 || contract.pose_frames > 0 || !video.frames.empty();
  if (!needs_size && video.height == 0 && video.width == 0) return;  // skeletons of pictures whose size is not known
  if (video.height < 1 || video.width < 1 || video.height > kLargestSide || video.width > kLargestSide) {
    problems.push_back("frames are " + std::to_string(video.height) + " x " + std::to_string(video.width) + " pixels");
    return;
  }
  for (std::size_t i = 0; !pictures_elsewhere && i < video.frames.size(); ++i) {
    const Frame& frame = video.frames[i];
    std::string problem = problem_of(frame);
    if (problem.empty() && (frame.height != video.height || frame.width != video.width)) {
      problem = "is of " + size_text(frame.width, frame.height) + ", and the video of " + size_text(video.width, video.height);
    }
    if (!problem.empty()) return problems.push_back("frame " + std::to_string(i) + " " + problem);
  }
}

// What is wrong with a completed video whatever is done with it; empty when all is well.
std::vector<std::string> problems_of(const Video& video, const Contract& contract, bool pictures_elsewhere = false) {
  std::vector<std::string> problems;
  if (!contract.foreign_step.empty()) {
    problems.push_back("the library cannot do " + contract.foreign_step + ": give ready tensors");
  }
  add_frame_problems(video, contract, pictures_elsewhere, problems);
  if (!takes_keypoints(contract)) return problems;
  const Shape& points = video.keypoints.shape;
  const bool is_keypoints = points.size() == 4 && points[3] == coordinates_of(contract) && points[1] > 0 && points[2] > 0 && is_shape(points) &&
                            points[1] <= kMostFrames;
  if (!is_keypoints) {
    problems.push_back("keypoints are " + shape_text(points) + ", and not (persons, frames, joints, " + std::to_string(coordinates_of(contract)) + ")");
  } else if (contract.joints > 0 && points[2] != contract.joints) {
    problems.push_back("the video has " + std::to_string(points[2]) + " joints, and the network takes " +
                       std::to_string(contract.joints));
  } else if ((video.keypoint_scores.data != nullptr || (contract.use_score && contract.pose_frames > 0)) &&
             video.keypoint_scores.shape != Shape(points.begin(), points.end() - 1)) {
    problems.push_back("keypoint_scores are " + shape_text(video.keypoint_scores.shape) + ", and keypoints " +
                       shape_text(points));
  }
  const bool persons = is_keypoints && points[0] > 0;
  const bool scores = contract.use_score && contract.pose_frames > 0;
  if (persons && (video.keypoints.data == nullptr || (scores && video.keypoint_scores.data == nullptr))) {
    problems.emplace_back("keypoints or their scores are a null pointer");
  }
  if (!is_aligned(video.keypoints) || !is_aligned(video.keypoint_scores)) {
    problems.emplace_back("keypoints or their scores do not lie at a multiple of 4 bytes");
  }
  if (video.keypoints.memory == Memory::device || video.keypoint_scores.memory == Memory::device) {
    problems.emplace_back("keypoints are in device memory, and are drawn from host memory");
  }
  if (video.keypoints_height < 0 || video.keypoints_width < 0 || (video.keypoints_height == 0) != (video.keypoints_width == 0)) {
    problems.push_back("keypoints are of pictures of " + size_text(video.keypoints_width, video.keypoints_height));
  } else if (video.keypoints_height > 0 && video.height > 0 && video.width > 0 && is_turned(video)) {
    problems.push_back("keypoints are of pictures of " + size_text(video.keypoints_width, video.keypoints_height) +
                       ", and the video is shown with " + size_text(video.width, video.height) + ": turned by a quarter");
  }
  return problems;
}

std::size_t area(int height, int width) { return static_cast<std::size_t>(height) * static_cast<std::size_t>(width); }

std::size_t elements(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::size_t{1}, [](std::size_t product, std::int64_t axis) {
    return product * static_cast<std::size_t>(axis);
  });
}

// What is in them is what was in the memory.
Result<Clips> empty_clips(std::int64_t clips, const Contract& contract, const Preparing& preparing) {
  Clips result = preparing.memory == nullptr ? Clips() : preparing.memory->take();
  result.nobody = false;
  result.raw = preparing.raw ? clips : 0;
  const double rgb = 3.0 * contract.rgb_frames * contract.rgb_height * contract.rgb_width;
  const double pose = 1.0 * static_cast<double>(channels_of(contract)) * contract.pose_frames * contract.pose_height * contract.pose_width;
  if (static_cast<double>(clips) * (rgb + pose) * sizeof(float) > kMostPreparedBytes) {
    return Error{ErrorKind::failed, std::to_string(clips) + " clips of this network take more than 8 GB", "give fewer at a time", {}};
  }
  if (preparing.raw) {
    result.frames.resize(static_cast<std::size_t>(clips) * elements({contract.rgb_frames, contract.rgb_height, contract.rgb_width, 3}));
    result.persons.assign(contract.pose_frames > 0 ? static_cast<std::size_t>(clips) : 0, {});
    return result;
  }
  if (contract.rgb_frames > 0) {
    result.imgs_shape = {clips, 3, contract.rgb_frames, contract.rgb_height, contract.rgb_width};
    if (!contract.channels_first) std::swap(result.imgs_shape[1], result.imgs_shape[2]);
    result.imgs.resize(elements(result.imgs_shape));
  }
  if (contract.pose_frames > 0) {
    result.heatmap_imgs_shape = {clips, channels_of(contract), contract.pose_frames, contract.pose_height,
                                 contract.pose_width};
    result.heatmap_imgs.resize(elements(result.heatmap_imgs_shape));
  }
  return result;
}

// Where frame `frame` of clip `clip` goes, its red plane; green and blue lie `plane_stride` behind each other.
float* frame_of(Clips& result, std::size_t clip, std::size_t frame, const Contract& contract) {
  const std::size_t plane = area(contract.rgb_height, contract.rgb_width);
  const std::size_t planes = contract.channels_first ? 1 : 3;  // from one frame to the next
  return result.imgs.data() + (clip * 3 * static_cast<std::size_t>(contract.rgb_frames) + planes * frame) * plane;
}

std::size_t plane_stride(const Contract& contract) {
  const auto planes = static_cast<std::size_t>(contract.channels_first ? contract.rgb_frames : 1);
  return planes * area(contract.rgb_height, contract.rgb_width);
}

void draw(const float* keypoints, const float* scores, std::int64_t persons, std::size_t clip, const Contract& contract,
          Clips& result) {
  if (result.raw > 0) {
    result.persons[clip] = persons_of(keypoints, scores, persons, contract);
    return;
  }
  const std::size_t clip_size =
      elements({channels_of(contract), contract.pose_frames, contract.pose_height, contract.pose_width});
  draw_heatmaps(keypoints, scores, persons, contract, result.heatmap_imgs.data() + clip * clip_size);
}

// Frame `frame` of clip `clip`: its bytes, or its planes, normalised.
void write_frame(const Frame& seen, std::size_t clip, std::size_t frame, const Contract& contract, Clips& result) {
  if (result.raw == 0) return normalise_frame(seen, contract, frame_of(result, clip, frame, contract), plane_stride(contract));
  const std::size_t row_bytes = std::size_t{3} * static_cast<std::size_t>(contract.rgb_width);
  std::uint8_t* target = result.frames.data() + (clip * static_cast<std::size_t>(contract.rgb_frames) + frame) * row_bytes * static_cast<std::size_t>(contract.rgb_height);
  for (int row = 0; row < seen.height; ++row, target += row_bytes) read_row(seen, row, 0, seen.width, target);
}

// Coordinates or scores of the frames `indices` (clips x length): `width` values a joint. The result is ordered by clip,
// person, frame, joint.
std::vector<float> gathered(const View<float>& source, std::size_t width, const std::vector<std::int64_t>& indices,
                            std::int64_t length) {
  const auto persons = static_cast<std::size_t>(source.shape[0]), frames = static_cast<std::size_t>(source.shape[1]);
  const std::size_t frame_size = static_cast<std::size_t>(source.shape[2]) * width;
  std::vector<float> result;
  result.reserve(persons * indices.size() * frame_size);
  for (std::size_t start = 0; start < indices.size(); start += static_cast<std::size_t>(length)) {
    for (std::size_t person = 0; person < persons; ++person) {
      for (std::size_t i = start; i < start + static_cast<std::size_t>(length); ++i) {
        const float* frame = source.data + (person * frames + static_cast<std::size_t>(indices[i])) * frame_size;
        result.insert(result.end(), frame, frame + frame_size);
      }
    }
  }
  return result;
}

// From pixels of the pictures that they were found in to pixels of the frames.
void scale_to_frames(const Video& video, std::vector<float>& keypoints) {
  if (video.keypoints_height == 0 || (video.keypoints_height == video.height && video.keypoints_width == video.width)) return;
  const float factors[2] = {static_cast<float>(static_cast<double>(video.width) / video.keypoints_width),
                            static_cast<float>(static_cast<double>(video.height) / video.keypoints_height)};
  for (std::size_t i = 0; i < keypoints.size(); ++i) keypoints[i] *= factors[i % 2];
}

// The joints of the clips of a video, in pixels of what the heatmaps see, and the part of the frames that persons are in.
struct Joints {
  Box about;
  bool seen = false;  // where nobody is, nothing is drawn: by their scores alone, joints at 0, 0 would light the corner
  std::vector<float> keypoints;
  std::vector<float> scores;
};

View2D heatmaps_view(const Contract& contract) {
  if (contract.steps != nullptr) return contract.steps->heatmaps;
  View2D view = frames_view(contract);
  view.sampler.clip_len = contract.pose_frames;
  return view;
}

Result<Joints> joints_of(const Video& video, int clips, const Contract& contract,
                         const std::optional<float>& min_score) {
  Joints joints;
  joints.about = {0, 0, video.width, video.height};
  if (!takes_keypoints(contract)) return joints;
  const People people = look_at(video, min_score);
  if (!people.problem.empty()) return wrong({people.problem});
  joints.seen = people.seen;
  const View2D view = heatmaps_view(contract);
  // Only cropped by, the joints of all frames count.
  std::vector<std::int64_t> frames(static_cast<std::size_t>(video.keypoints.shape[1]));
  std::iota(frames.begin(), frames.end(), std::int64_t{0});
  if (contract.pose_frames > 0) {
    const Result<Sampler> sampler = sampler_of(view, contract.pose_frames, clips);
    if (!sampler) return sampler.error();
    frames = sampler->draw(video.keypoints.shape[1]);
  }
  const std::int64_t length = contract.pose_frames > 0 ? contract.pose_frames : video.keypoints.shape[1];
  std::vector<float>& keypoints = joints.keypoints = gathered(video.keypoints, 2, frames, length);
  if (video.keypoint_scores.data != nullptr) joints.scores = gathered(video.keypoint_scores, 1, frames, length);
  std::vector<std::size_t> left_out;  // joints that neither widen the crop nor are drawn
  for (std::size_t joint = 0; joint < keypoints.size() / 2; ++joint) {
    float &x = keypoints[2 * joint], &y = keypoints[2 * joint + 1];
    if (is_left_out(x, y, joints.scores.empty() ? 1.0f : joints.scores[joint], min_score)) {
      x = y = 0;
      left_out.push_back(joint);
    }
  }
  std::replace_if(keypoints.begin(), keypoints.end(), [](float value) { return std::isnan(value); }, 0.0f);
  scale_to_frames(video, keypoints);
  if (contract.crops_to_persons) {
    // Clips of one video share their crop: MMCompact's box is about the joints of all of them.
    const Result<Box> box = crop_about(keypoints, video.height, video.width);
    if (!box) return box.error();
    joints.about = *box;
  }
  if (contract.pose_frames == 0) return joints;
  const Box seen = view.compact ? joints.about : Box{0, 0, video.width, video.height};
  const auto [height, width] = view.resizing.size(seen.height(), seen.width());
  move_keypoints(keypoints, seen, height, width);
  const auto corners = view.cropping.corners(height, width);
  if (!corners) return corners.error();
  for (std::size_t i = 0; view.cropping.height > 0 && i < keypoints.size(); ++i) {
    keypoints[i] -= static_cast<float>(i % 2 == 0 ? corners->front().first : corners->front().second);
  }
  for (const std::size_t joint : left_out) keypoints[2 * joint] = keypoints[2 * joint + 1] = HUGE_VALF;
  return joints;
}

// Every view of a picture, normalised into its places: `row` is the first clip's of the first crop.
void write_views(const std::vector<std::uint8_t>& picture, int picture_width, const std::vector<std::pair<int, int>>& corners,
                 const Cropping& cropping, const Contract& contract, const std::vector<std::size_t>& places, std::size_t clips,
                 Clips& result) {
  const auto length = static_cast<std::size_t>(contract.rgb_frames);
  const std::size_t row_bytes = std::size_t{3} * static_cast<std::size_t>(picture_width);
  std::vector<std::uint8_t> mirrored;
  std::size_t view = 0;
  const auto write = [&](const Frame& seen) {
    const float* first = nullptr;
    for (const std::size_t place : places) {
      const std::size_t clip = view * clips + place / length, frame = place % length;
      if (first == nullptr) write_frame(seen, clip, frame, contract, result);
      if (result.raw > 0) continue;
      float* target = frame_of(result, clip, frame, contract);
      if (first == nullptr) {
        first = target;
        continue;
      }
      for (std::size_t plane = 0; plane < 3 * plane_stride(contract); plane += plane_stride(contract)) {
        std::copy_n(first + plane, area(contract.rgb_height, contract.rgb_width), target + plane);
      }
    }
    ++view;
  };
  for (const auto& [left, top] : corners) {
    const std::uint8_t* first = picture.data() + static_cast<std::size_t>(top) * row_bytes + std::size_t{3} * static_cast<std::size_t>(left);
    const Frame part(PixelFormat::rgb, contract.rgb_height, contract.rgb_width, {first}, {row_bytes});
    if (!cropping.flipped) write(part);
    if (!cropping.mirrored && !cropping.flipped) continue;
    mirrored.resize(std::size_t{3} * area(contract.rgb_height, contract.rgb_width));
    std::uint8_t* target = mirrored.data();
    for (int y = 0; y < contract.rgb_height; ++y) {
      const std::uint8_t* row = first + static_cast<std::size_t>(y) * row_bytes;
      for (int x = contract.rgb_width - 1; x >= 0; --x, target += 3) std::copy_n(row + 3 * x, 3, target);
    }
    write(completed(Frame(PixelFormat::rgb, contract.rgb_height, contract.rgb_width, {mirrored.data()})));
  }
}

std::optional<Error> write_frames(const Video& video, int clips, const Box& about, const Contract& contract,
                                  const Preparing& preparing, Clips& result) {
  const View2D view = frames_view(contract);
  const Result<Sampler> sampler = sampler_of(view, contract.rgb_frames, clips);
  if (!sampler) return sampler.error();
  const Box box = view.compact ? about : Box{0, 0, video.width, video.height};
  const std::pair<int, int> size = view.resizing.size(box.height(), box.width());
  const auto corners = view.cropping.corners(size.first, size.second);
  if (!corners) return corners.error();
  std::map<std::int64_t, std::vector<std::size_t>> by_frame;  // frame of the video -> its places in the clips
  const Indices drawn = sampler->draw(static_cast<std::int64_t>(video.frames.size()));
  for (std::size_t i = 0; i < drawn.size(); ++i) by_frame[drawn[i]].push_back(i);
  const std::vector<std::pair<std::int64_t, std::vector<std::size_t>>> places(by_frame.begin(), by_frame.end());
  parallel_for(places.size(), preparing.threads, [&](std::size_t i) {
    const auto frame = static_cast<std::size_t>(places[i].first);
    std::vector<std::uint8_t> picture(std::size_t{3} * area(size.first, size.second));
    if (preparing.picture != nullptr) {
      preparing.picture(frame, box, size.first, size.second, picture.data());
    } else {
      crop_and_resize(video.frames[frame], box, size.first, size.second, picture.data());
    }
    write_views(picture, size.second, *corners, view.cropping, contract, places[i].second, static_cast<std::size_t>(clips), result);
  });
  return std::nullopt;
}

void write_heatmaps(const Video& video, int clips, const Joints& joints, const Contract& contract, const Preparing& preparing,
                    Clips& result) {
  const std::int64_t persons = video.keypoints.shape[0];
  const std::size_t clip_scores = elements({persons, contract.pose_frames, contract.joints});
  const std::size_t clip_size = result.heatmap_imgs.size() / static_cast<std::size_t>(result.count());
  parallel_for(static_cast<std::size_t>(clips), preparing.threads, [&](std::size_t clip) {
    const float* clip_peaks = contract.use_score ? joints.scores.data() + clip * clip_scores : nullptr;
    draw(joints.keypoints.data() + 2 * clip * clip_scores, clip_peaks, persons, clip, contract, result);
    if (steps_of(contract).twin.empty()) return;
    const float* drawn = result.heatmap_imgs.data() + clip * clip_size;
    draw_twin(drawn, contract, result.heatmap_imgs.data() + (static_cast<std::size_t>(clips) + clip) * clip_size);
  });
}

// Skeletons of the network's own steps; in space nothing can be said of a picture.
Result<Clips> prepare_skeletons(const Video& video, int clips, const Contract& contract, const std::optional<float>& min_score) {
  const Steps& steps = steps_of(contract);
  Clips result;
  const std::size_t values = elements(video.keypoints.shape);
  if (steps.in_space) {
    const float* first = video.keypoints.data;
    const bool infinite = std::any_of(first, first + values, [](float value) { return std::isinf(value); });
    if (infinite && !min_score) return wrong({"the video has infinite keypoints"});
    result.nobody = std::none_of(first, first + values, [](float value) { return std::isfinite(value) && value != 0; });
  } else if (video.height > 0 && video.width > 0) {
    const People people = look_at(video, min_score);
    if (!people.problem.empty()) return wrong({people.problem});
    result.nobody = !people.seen;
  }
  Result<std::vector<float>> skeletons = skeletons_of(video, clips, steps, min_score);
  if (!skeletons) return skeletons.error();
  result.keypoint = *std::move(skeletons);
  result.keypoint_shape = steps.skeleton_shape;
  result.keypoint_shape.insert(result.keypoint_shape.begin(), clips);
  return result;
}

}  // namespace

bool takes_keypoints(const Contract& contract) {
  return contract.pose_frames > 0 || contract.crops_to_persons || !steps_of(contract).skeleton.empty();
}

std::int64_t coordinates_of(const Contract& contract) { return steps_of(contract).in_space ? 3 : 2; }

View2D frames_view(const Contract& contract) {
  if (contract.steps != nullptr) return contract.steps->frames;
  View2D view;
  view.sampler.clip_len = contract.rgb_frames;
  view.compact = contract.crops_to_persons;
  view.resizing.height = contract.rgb_height;
  view.resizing.width = contract.rgb_width;
  return view;
}

Result<Sampler> sampler_of(const View2D& view, std::int64_t length, std::int64_t clips) {
  Sampler sampler = view.sampler;
  const std::int64_t own = sampler.frames() / length;
  if (clips == own) return sampler;
  if (sampler.clip_len == 1 && length > 1) {
    return Error{ErrorKind::usage, "the network takes " + std::to_string(length) + " frames from all over the video, so there are not " +
                 std::to_string(clips) + " clips of it", "take the contract's clips, " + std::to_string(own), {}};
  }
  sampler.num_clips = clips;
  sampler.num_sample_positions = 1;
  sampler.twice_sample = false;
  return sampler;
}

std::string problem_of(const Frame& frame) {
  if (layout_of(frame.format).planes == 0) return "is of no known format";
  if (frame.planes[0] == nullptr) return "is a null pointer";
  if (frame.height < 1 || frame.width < 1 || frame.height > kLargestSide || frame.width > kLargestSide) {
    return "is of " + size_text(frame.width, frame.height);
  }
  for (int plane = 0; plane < layout_of(frame.format).planes; ++plane) {
    const std::size_t given = frame.row_bytes[static_cast<std::size_t>(plane)];
    const std::size_t needed = plane_size(frame.format, plane, frame.height, frame.width).row_bytes;
    if (given != 0 && (given < needed || given > kLargestRow)) {
      return "has row_bytes of " + std::to_string(given) + " in a plane whose rows take " + std::to_string(needed);
    }
  }
  return "";
}

std::int64_t Clips::count() const {
  if (raw > 0) return raw;
  const Shape& shape = !imgs_shape.empty() ? imgs_shape : !heatmap_imgs_shape.empty() ? heatmap_imgs_shape : keypoint_shape;
  return shape.empty() ? 0 : shape[0];
}

Clips ClipMemory::take() {
  const std::lock_guard<std::mutex> held(lock_);
  if (kept_.empty()) return {};
  Clips clips = std::move(kept_.back());
  kept_.pop_back();
  return clips;
}

void ClipMemory::give(Clips clips) noexcept {
  const std::lock_guard<std::mutex> held(lock_);
  if ((clips.imgs.capacity() + clips.heatmap_imgs.capacity()) * sizeof(float) + clips.frames.capacity() > kMostKeptBytes) return;
  if (kept_.size() < kept_.capacity()) kept_.push_back(std::move(clips));
}

Result<Clips> prepare_video(const Video& given, int clips, const Contract& contract, const Preparing& preparing) {
  const Video video = with_sizes(given);
  std::vector<std::string> problems = problems_of(video, contract, preparing.picture != nullptr);
  if (clips < 1 || clips > kMostClips) problems.push_back(std::to_string(clips) + " clips were asked for");
  if (!problems.empty()) return wrong(std::move(problems));
  if (!steps_of(contract).skeleton.empty()) return prepare_skeletons(video, clips, contract, preparing.min_score);
  Result<Clips> result = empty_clips(std::int64_t{clips} * contract.views, contract, preparing);
  if (!result) return result;
  const Result<Joints> joints = joints_of(video, clips, contract, preparing.min_score);
  if (!joints) return joints.error();
  result->nobody = takes_keypoints(contract) && !joints->seen;
  if (contract.rgb_frames > 0) {
    if (const auto error = write_frames(video, clips, joints->about, contract, preparing, *result)) return *error;
  }
  if (contract.pose_frames > 0 && joints->seen) {
    write_heatmaps(video, clips, *joints, contract, preparing, *result);
  } else {
    std::fill(result->persons.begin(), result->persons.end(), persons_of(nullptr, nullptr, 0, contract));
    std::fill(result->heatmap_imgs.begin(), result->heatmap_imgs.end(), 0.0f);
  }
  return result;
}

Clips black_clip(const Contract& contract) {
  Clips clip;
  clip.raw = 1;
  clip.frames.resize(elements({contract.rgb_frames, contract.rgb_height, contract.rgb_width, 3}));
  if (contract.pose_frames > 0) clip.persons = {persons_of(nullptr, nullptr, 0, contract)};
  return clip;
}

// A clip of each.
static Result<Clips> prepare_all_skeletons(const std::vector<Video>& videos, const Contract& contract) {
  Clips all;
  for (const Video& video : videos) {
    const Result<Clips> one = prepare_video(video, 1, contract);
    if (!one) return one;
    all.keypoint.insert(all.keypoint.end(), one->keypoint.begin(), one->keypoint.end());
    all.keypoint_shape = one->keypoint_shape;
  }
  all.keypoint_shape[0] = static_cast<std::int64_t>(videos.size());
  return all;
}

Result<Clips> prepare_cropped(const std::vector<Video>& given, const Contract& contract, const Preparing& preparing) {
  if (given.empty() || given.size() > kMostClips) return wrong({"there are " + std::to_string(given.size()) + " clips"});
  std::vector<Video> clips;
  for (const Video& clip : given) clips.push_back(with_sizes(clip));
  if (!steps_of(contract).skeleton.empty()) return prepare_all_skeletons(clips, contract);
  Contract cropped = contract;  // what stands in the pipeline before frames are normalised and joints are drawn is done
  cropped.foreign_step.clear();
  cropped.crops_to_persons = false;
  std::vector<std::string> problems;
  for (std::size_t clip = 0; clip < clips.size(); ++clip) {
    const Video& video = clips[clip];
    const auto report = [&](const std::string& what) {
      problems.push_back((clips.size() == 1 ? "" : "clip " + std::to_string(clip) + ": ") + what);
    };
    for (const std::string& problem : problems_of(video, cropped)) report(problem);
    const auto length = static_cast<std::int64_t>(video.frames.size());
    const bool frames = contract.rgb_frames > 0, heatmaps = contract.pose_frames > 0;
    if (frames && (length != contract.rgb_frames || video.height != contract.rgb_height || video.width != contract.rgb_width)) {
      report("frames are " + shape_text({length, video.height, video.width, 3}) + ", and the network takes " +
             shape_text({contract.rgb_frames, contract.rgb_height, contract.rgb_width, 3}));
    }
    if (heatmaps && video.keypoints.shape.size() == 4 && video.keypoints.shape[1] != contract.pose_frames) {
      report("keypoints are of " + std::to_string(video.keypoints.shape[1]) + " frames, and the network takes " +
             std::to_string(contract.pose_frames));
    }
  }
  for (std::size_t clip = 0; takes_keypoints(cropped) && problems.empty() && clip < clips.size(); ++clip) {
    const People people = look_at(clips[clip], std::nullopt);
    if (!people.problem.empty()) problems.push_back("clip " + std::to_string(clip) + ": " + people.problem);
  }
  if (!problems.empty()) return wrong(std::move(problems));
  Result<Clips> result = empty_clips(static_cast<std::int64_t>(clips.size()), contract, preparing);
  if (!result) return result;
  const auto length = static_cast<std::size_t>(contract.rgb_frames);
  parallel_for(clips.size() * length, preparing.threads, [&](std::size_t i) {
    write_frame(clips[i / length].frames[i % length], i / length, i % length, contract, *result);
  });
  parallel_for(contract.pose_frames == 0 ? 0 : clips.size(), preparing.threads, [&](std::size_t clip) {
    const Video& video = clips[clip];
    draw(video.keypoints.data, video.keypoint_scores.data, video.keypoints.shape[0], clip, contract, *result);
  });
  return result;
}

}  // namespace x3ddeploy::detail
