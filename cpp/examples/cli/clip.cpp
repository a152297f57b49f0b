#include "clip.hpp"

#include <algorithm>
#include <optional>

namespace cli {
namespace {

using x3ddeploy::Error;
using x3ddeploy::ErrorKind;
using x3ddeploy::Result;

Error unfit(const std::string& message) {
  return {ErrorKind::failed, message, "raw clips hold frames, keypoints, keypoint_scores; see --help", {}};
}

std::int64_t elements(const std::vector<std::int64_t>& shape, std::size_t from) {
  std::int64_t count = 1;
  for (std::size_t axis = from; axis < shape.size(); ++axis) count *= shape[axis];
  return count;
}

// The last `axes` axes of a float array, at index `clip` of the one before them, if there is one.
Result<x3ddeploy::View<float>> clip_of(const Arrays& arrays, const std::string& name, std::size_t axes,
                                       std::size_t clip) {
  const auto found = arrays.find(name);
  if (found == arrays.end() || found->second.is_bytes()) return unfit("the clip has no floating " + name);
  const std::vector<std::int64_t>& shape = found->second.shape;
  if (shape.size() == axes) return found->second.view();
  if (shape.size() != axes + 1 || clip >= static_cast<std::size_t>(shape[0])) {
    return unfit(name + " has " + std::to_string(shape.size()) + " axes, and not " + std::to_string(axes));
  }
  return x3ddeploy::View<float>{found->second.floats.data() + static_cast<std::int64_t>(clip) * elements(shape, 1),
                                {shape.begin() + 1, shape.end()}};
}

std::optional<Error> add_frames(const Arrays& arrays, std::size_t clip, x3ddeploy::Video& video) {
  const auto frames = arrays.find("frames");
  if (frames == arrays.end() || !frames->second.is_bytes()) return unfit("the clip has no uint8 frames");
  std::vector<std::int64_t> shape = frames->second.shape;
  const std::uint8_t* first = frames->second.bytes.data();
  if (shape.size() == 5 && clip < static_cast<std::size_t>(shape[0])) {
    first += static_cast<std::int64_t>(clip) * elements(shape, 1);
    shape.erase(shape.begin());
  }
  if (shape.size() != 4 || shape[3] != 3) return unfit("frames are not (T, H, W, 3)");
  video.height = static_cast<int>(shape[1]);
  video.width = static_cast<int>(shape[2]);
  for (std::int64_t frame = 0; frame < shape[0]; ++frame) video.frames.push_back(first + frame * elements(shape, 1));
  return std::nullopt;
}

// Of keypoints alone the size of the picture has to be known: `frame_size`, height and width, or that of resized frames.
std::optional<Error> add_picture(const Arrays& arrays, const x3ddeploy::Contract& contract, x3ddeploy::Video& video) {
  video.height = contract.rgb_height;
  video.width = contract.rgb_width;
  const auto size = arrays.find("frame_size");
  if (size == arrays.end()) return std::nullopt;
  const std::vector<float>& sides = size->second.floats;
  const auto is_side = [](float side) { return side >= 1 && side <= 1 << 16; };
  if (sides.size() != 2 || !std::all_of(sides.begin(), sides.end(), is_side)) return unfit("frame_size is not height and width");
  video.height = static_cast<int>(sides[0]);
  video.width = static_cast<int>(sides[1]);
  return std::nullopt;
}

}  // namespace

bool is_ready(const Arrays& arrays, const x3ddeploy::Contract& contract) {
  const std::vector<std::string> raw = raw_names(contract);
  return std::all_of(raw.begin(), raw.end(), [&](const std::string& name) { return arrays.count(name) == 0; });
}

x3ddeploy::Feeds feeds_of(const Arrays& arrays, const x3ddeploy::Contract& contract) {
  x3ddeploy::Feeds feeds;
  for (const x3ddeploy::Input& input : contract.inputs) {
    const auto found = arrays.find(input.name);
    if (found != arrays.end() && !found->second.is_bytes()) feeds[input.name] = found->second.view();
  }
  return feeds;
}

std::vector<std::string> raw_names(const x3ddeploy::Contract& contract) {
  std::vector<std::string> names;
  if (contract.rgb_frames > 0) names.emplace_back("frames");
  if (contract.joints > 0 || contract.crops_to_persons) names.emplace_back("keypoints");
  if (contract.pose_frames > 0) names.emplace_back("keypoint_scores");
  return names;
}

Result<x3ddeploy::Video> video_of(const Arrays& arrays, const x3ddeploy::Contract& contract, std::size_t clip) {
  x3ddeploy::Video video;
  const std::vector<std::string> wanted = raw_names(contract);
  const auto is_wanted = [&](const char* name) { return std::find(wanted.begin(), wanted.end(), name) != wanted.end(); };
  if (is_wanted("frames")) {
    if (const auto error = add_frames(arrays, clip, video)) return *error;
  } else {
    if (const auto error = add_picture(arrays, contract, video)) return *error;
  }
  if (is_wanted("keypoints")) {
    Result<x3ddeploy::View<float>> keypoints = clip_of(arrays, "keypoints", 4, clip);
    if (!keypoints) return keypoints.error();
    video.keypoints = std::move(*keypoints);
  }
  if (!is_wanted("keypoint_scores") && (contract.pose_frames > 0 || arrays.count("keypoint_scores") == 0)) return video;
  // The preprocessing graph takes scores with an axis of one behind them, videos without.
  const auto scores = arrays.find("keypoint_scores");
  const bool column = scores != arrays.end() && scores->second.shape.size() >= 4 && scores->second.shape.back() == 1;
  Result<x3ddeploy::View<float>> peaks = clip_of(arrays, "keypoint_scores", column ? 4 : 3, clip);
  if (!peaks) return peaks.error();
  if (column) peaks->shape.pop_back();
  video.keypoint_scores = std::move(*peaks);
  return video;
}

Result<Arrays> read_clip(const Arguments& arguments) {
  Result<Arrays> arrays = read_arrays(arguments.clip);
  if (!arrays || arguments.frames_file.empty()) return arrays;
  const Result<std::string> raw = read_file(arguments.frames_file);
  if (!raw) return raw.error();
  const std::size_t frame =
      std::size_t{3} * static_cast<std::size_t>(arguments.width) * static_cast<std::size_t>(arguments.height);
  if (raw->empty() || raw->size() % frame != 0) {
    return unfit(arguments.frames_file + " has " + std::to_string(raw->size()) + " bytes, and a frame " +
                 std::to_string(frame));
  }
  Array& frames = (*arrays)["frames"];
  frames.bytes.assign(raw->begin(), raw->end());
  frames.shape = {static_cast<std::int64_t>(raw->size() / frame), arguments.height, arguments.width, 3};
  return arrays;
}

}  // namespace cli
