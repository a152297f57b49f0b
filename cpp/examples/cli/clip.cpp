#include "clip.hpp"

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

}  // namespace

bool is_ready(const Arrays& arrays) { return arrays.count("frames") == 0; }

x3ddeploy::Tensors tensors_of(const Arrays& arrays) {
  const auto view = [&](const char* name) {
    const auto found = arrays.find(name);
    return found == arrays.end() || found->second.is_bytes() ? x3ddeploy::View<float>() : found->second.view();
  };
  return {view("imgs"), view("heatmap_imgs")};
}

Result<x3ddeploy::Video> video_of(const Arrays& arrays, std::size_t clip) {
  const auto frames = arrays.find("frames");
  if (frames == arrays.end() || !frames->second.is_bytes()) return unfit("the clip has no uint8 frames");
  std::vector<std::int64_t> shape = frames->second.shape;
  const std::uint8_t* first = frames->second.bytes.data();
  if (shape.size() == 5 && clip < static_cast<std::size_t>(shape[0])) {
    first += static_cast<std::int64_t>(clip) * elements(shape, 1);
    shape.erase(shape.begin());
  }
  if (shape.size() != 4 || shape[3] != 3) return unfit("frames are not (T, H, W, 3)");
  Result<x3ddeploy::View<float>> keypoints = clip_of(arrays, "keypoints", 4, clip);
  if (!keypoints) return keypoints.error();
  // The preprocessing graph takes scores with an axis of one behind them, videos without.
  const auto scores = arrays.find("keypoint_scores");
  const bool column = scores != arrays.end() && scores->second.shape.size() >= 4 && scores->second.shape.back() == 1;
  Result<x3ddeploy::View<float>> peaks = clip_of(arrays, "keypoint_scores", column ? 4 : 3, clip);
  if (!peaks) return peaks.error();
  if (column) peaks->shape.pop_back();
  x3ddeploy::Video video;
  video.height = static_cast<int>(shape[1]);
  video.width = static_cast<int>(shape[2]);
  for (std::int64_t frame = 0; frame < shape[0]; ++frame) video.frames.push_back(first + frame * elements(shape, 1));
  video.keypoints = std::move(*keypoints);
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
