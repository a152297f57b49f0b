// x3ddeploy/modalities/skeleton_steps.py: MMAction2's transforms of skeletons, in their order. Sums are in float64.
#include "skeletons.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <map>

#include "preprocess.hpp"

namespace x3ddeploy::detail {
namespace {

using Bones = std::vector<std::pair<int, int>>;

// Joint -> the joint that its bone begins at; a joint that is its own has no bone.
const Bones& bones_of(const std::string& dataset) {
  static const Bones kNtu = {{0, 1}, {1, 20}, {2, 20}, {3, 2}, {4, 20}, {5, 4}, {6, 5}, {7, 6}, {8, 20},
                             {9, 8}, {10, 9}, {11, 10}, {12, 0}, {13, 12}, {14, 13}, {15, 14}, {16, 0}, {17, 16},
                             {18, 17}, {19, 18}, {21, 22}, {20, 20}, {22, 7}, {23, 24}, {24, 11}};
  static const Bones kOpenpose = {{0, 0}, {1, 0}, {2, 1}, {3, 2}, {4, 3}, {5, 1}, {6, 5}, {7, 6}, {8, 2},
                                  {9, 8}, {10, 9}, {11, 5}, {12, 11}, {13, 12}, {14, 0}, {15, 0}, {16, 14}, {17, 15}};
  static const Bones kCoco = {{0, 0}, {1, 0}, {2, 0}, {3, 1}, {4, 2}, {5, 0}, {6, 0}, {7, 5}, {8, 6},
                              {9, 7}, {10, 8}, {11, 0}, {12, 0}, {13, 11}, {14, 12}, {15, 13}, {16, 14}};
  return dataset == "coco" ? kCoco : dataset == "openpose" ? kOpenpose : kNtu;
}

// In these the third coordinate is a keypoint's score.
bool is_scored(const std::string& dataset) { return dataset != "nturgb+d"; }

// (persons, frames, joints, channels).
struct Array {
  std::size_t persons = 0, frames = 0, joints = 0, channels = 0;
  std::vector<double> values;

  static Array of(std::size_t persons, std::size_t frames, std::size_t joints, std::size_t channels) {
    return {persons, frames, joints, channels, std::vector<double>(persons * frames * joints * channels)};
  }
  double* at(std::size_t person, std::size_t frame, std::size_t joint) {
    return values.data() + ((person * frames + frame) * joints + joint) * channels;
  }
  const double* at(std::size_t person, std::size_t frame, std::size_t joint) const {
    return values.data() + ((person * frames + frame) * joints + joint) * channels;
  }
  // Calls `visit(person, frame, joint)`.
  template <class F>
  void each(F visit) const {
    for (std::size_t person = 0; person < persons; ++person) {
      for (std::size_t frame = 0; frame < frames; ++frame) {
        for (std::size_t joint = 0; joint < joints; ++joint) visit(person, frame, joint);
      }
    }
  }
};

struct Skeleton {
  std::map<std::string, Array> arrays;
  std::int64_t clips = 1;
  int height = 0;  // of the picture; 0 where it is not known
  int width = 0;
  Indices drawn;  // empty until they are
};

Error unfit(const std::string& what, const std::string& hint = "") { return {ErrorKind::failed, what, hint, {}}; }

Result<Array*> array_of(Skeleton& skeleton, const std::string& name) {
  const auto found = skeleton.arrays.find(name);
  if (found == skeleton.arrays.end()) return unfit("a step of the pipeline reads '" + name + "', which no step before it made");
  return &found->second;
}

Array picked(const Array& from, const std::vector<std::size_t>& persons, const std::vector<std::size_t>& frames) {
  Array result = Array::of(persons.size(), frames.size(), from.joints, from.channels);
  result.each([&](std::size_t person, std::size_t frame, std::size_t joint) {
    const double* joint_values = from.at(persons[person], frames[frame], joint);
    std::copy(joint_values, joint_values + from.channels, result.at(person, frame, joint));
  });
  return result;
}

std::vector<std::size_t> up_to(std::size_t count) {
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < count; ++i) all.push_back(i);
  return all;
}

Array beside(const std::vector<const Array*>& arrays) {
  const Array& first = *arrays.front();
  std::size_t channels = 0;
  for (const Array* array : arrays) channels += array->channels;
  Array result = Array::of(first.persons, first.frames, first.joints, channels);
  result.each([&](std::size_t person, std::size_t frame, std::size_t joint) {
    double* target = result.at(person, frame, joint);
    for (const Array* array : arrays) target = std::copy_n(array->at(person, frame, joint), array->channels, target);
  });
  return result;
}

void join_scores(Skeleton& skeleton) {
  const auto scores = skeleton.arrays.find("keypoint_score");
  if (scores == skeleton.arrays.end()) return;
  skeleton.arrays["keypoint"] = beside({&skeleton.arrays["keypoint"], &scores->second});
  skeleton.arrays.erase("keypoint_score");
}

using Vector = std::array<double, 3>;

Vector cross(const Vector& a, const Vector& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}
double dot(const Vector& a, const Vector& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
double size_of(const Vector& a) { return std::abs(a[0]) + std::abs(a[1]) + std::abs(a[2]); }

// All joints, turned as `direction` is turned onto an axis (Euler and Rodrigues); as they are where it is too short to say.
void turn(Array& keypoint, const Vector& direction, const Vector& onto) {
  double angle = 0;
  if (size_of(direction) >= 1e-6) {
    angle = std::acos(std::clamp(dot(direction, onto) / std::sqrt(dot(direction, direction)), -1.0, 1.0));
  }
  Vector axis = cross(direction, onto);
  if (size_of(axis) < 1e-6 || std::abs(angle) < 1e-6) return;
  const double length = std::sqrt(dot(axis, axis));
  const double a = std::cos(angle / 2);
  const double b = -axis[0] / length * std::sin(angle / 2), c = -axis[1] / length * std::sin(angle / 2),
               d = -axis[2] / length * std::sin(angle / 2);
  const Vector rows[3] = {{a * a + b * b - c * c - d * d, 2 * (b * c + a * d), 2 * (b * d - a * c)},
                          {2 * (b * c - a * d), a * a + c * c - b * b - d * d, 2 * (c * d + a * b)},
                          {2 * (b * d + a * c), 2 * (c * d - a * b), a * a + d * d - b * b - c * c}};
  keypoint.each([&](std::size_t person, std::size_t frame, std::size_t joint) {
    double* values = keypoint.at(person, frame, joint);
    const Vector before = {values[0], values[1], values[2]};
    for (std::size_t i = 0; i < 3; ++i) values[i] = dot(rows[i], before);
  });
}

std::optional<Error> pre_normalise_2d(const SkeletonStep& step, Skeleton& skeleton) {
  Array& keypoint = skeleton.arrays["keypoint"];
  const double half_width = (skeleton.width > 0 ? skeleton.width : step.width) / 2.0;
  const double half_height = (skeleton.height > 0 ? skeleton.height : step.height) / 2.0;
  keypoint.each([&](std::size_t person, std::size_t frame, std::size_t joint) {
    double* values = keypoint.at(person, frame, joint);
    values[0] = (values[0] - half_width) / half_width;
    values[1] = (values[1] - half_height) / half_height;
  });
  return std::nullopt;
}

std::optional<Error> pre_normalise_3d(const SkeletonStep& step, Skeleton& skeleton) {
  Array& keypoint = skeleton.arrays["keypoint"];
  const int last = std::max({step.zaxis[0], step.zaxis[1], step.xaxis[0], step.xaxis[1]});
  if (keypoint.channels != 3 || static_cast<std::size_t>(last) >= keypoint.joints) {
    return unfit("skeletons of " + std::to_string(keypoint.joints) + " joints in " + std::to_string(keypoint.channels) + " coordinates cannot be turned upright");
  }
  double sum = 0;
  for (const double value : keypoint.values) sum += value;
  if (sum == 0) return std::nullopt;
  if (keypoint.persons != 1 && keypoint.persons != 2) {
    return unfit("there are " + std::to_string(keypoint.persons) + " skeletons, and the network was trained with one or two", "leave the two that matter");
  }
  std::vector<std::vector<std::size_t>> found(keypoint.persons);
  for (std::size_t person = 0; person < keypoint.persons; ++person) {
    for (std::size_t frame = 0; frame < keypoint.frames; ++frame) {
      const double* values = keypoint.at(person, frame, 0);
      if (std::any_of(values, values + keypoint.joints * 3, [](double value) { return std::abs(value) > 1e-8; })) found[person].push_back(frame);
    }
  }
  // The person in more frames comes first; empty frames go.
  const bool swapped = keypoint.persons == 2 && found[0].size() < found[1].size();
  std::vector<std::size_t> order = up_to(keypoint.persons);
  if (swapped) std::reverse(order.begin(), order.end());
  keypoint = picked(keypoint, order, found[swapped ? 1 : 0]);
  if (keypoint.frames == 0) return unfit("no skeleton has a joint away from the origin");
  const auto vector_of = [&](int joint) {
    const double* values = keypoint.at(0, 0, static_cast<std::size_t>(joint));
    return Vector{values[0], values[1], values[2]};
  };
  const auto between = [&](int from, int to) {
    const Vector a = vector_of(from), b = vector_of(to);
    return Vector{b[0] - a[0], b[1] - a[1], b[2] - a[2]};
  };
  if (step.align_center) {
    const Vector centre = vector_of(keypoint.joints == 25 ? 1 : static_cast<int>(keypoint.joints) - 1);
    keypoint.each([&](std::size_t person, std::size_t frame, std::size_t joint) {
      double* values = keypoint.at(person, frame, joint);
      const bool there = values[0] != 0 || values[1] != 0 || values[2] != 0;
      for (std::size_t i = 0; i < 3; ++i) values[i] = there ? values[i] - centre[i] : 0;
    });
  }
  if (step.align_spine) turn(keypoint, between(step.zaxis[0], step.zaxis[1]), {0, 0, 1});
  if (step.align_shoulder) turn(keypoint, between(step.xaxis[1], step.xaxis[0]), {1, 0, 0});
  return std::nullopt;
}

std::optional<Error> joint_to_bone(const SkeletonStep& step, const std::string& target, Skeleton& skeleton) {
  const Array& keypoint = skeleton.arrays["keypoint"];
  const Bones& bones = bones_of(step.dataset);
  if (keypoint.joints < bones.size()) {
    return unfit("skeletons of " + std::to_string(keypoint.joints) + " joints, and " + step.dataset + " has " + std::to_string(bones.size()));
  }
  Array bone = Array::of(keypoint.persons, keypoint.frames, keypoint.joints, keypoint.channels);
  for (std::size_t person = 0; person < keypoint.persons; ++person) {
    for (std::size_t frame = 0; frame < keypoint.frames; ++frame) {
      for (const auto& [end, start] : bones) {
        const double* from = keypoint.at(person, frame, static_cast<std::size_t>(start));
        const double* to = keypoint.at(person, frame, static_cast<std::size_t>(end));
        double* values = bone.at(person, frame, static_cast<std::size_t>(end));
        for (std::size_t i = 0; i < keypoint.channels; ++i) values[i] = to[i] - from[i];
        if (keypoint.channels == 3 && is_scored(step.dataset)) values[2] = (to[2] + from[2]) / 2;
      }
    }
  }
  skeleton.arrays[target] = std::move(bone);
  return std::nullopt;
}

std::optional<Error> to_motion(const SkeletonStep& step, const std::string& source, const std::string& target, Skeleton& skeleton) {
  const Result<Array*> found = array_of(skeleton, source);
  if (!found) return found.error();
  const Array& data = **found;
  Array motion = Array::of(data.persons, data.frames, data.joints, data.channels);
  motion.each([&](std::size_t person, std::size_t frame, std::size_t joint) {
    if (frame + 1 == data.frames) return;
    const double *now = data.at(person, frame, joint), *next = data.at(person, frame + 1, joint);
    double* values = motion.at(person, frame, joint);
    for (std::size_t i = 0; i < data.channels; ++i) values[i] = next[i] - now[i];
    if (data.channels == 3 && is_scored(step.dataset)) values[2] = (next[2] + now[2]) / 2;
  });
  skeleton.arrays[target] = std::move(motion);
  return std::nullopt;
}

std::optional<Error> merge(const SkeletonStep& step, const std::string& target, Skeleton& skeleton) {
  std::vector<const Array*> arrays;
  for (const std::string& name : step.features) {
    const Result<Array*> found = array_of(skeleton, name);
    if (!found) return found.error();
    arrays.push_back(*found);
  }
  Array merged = beside(arrays);
  for (const std::string& name : step.features) skeleton.arrays.erase(name);
  skeleton.arrays[target] = std::move(merged);
  return std::nullopt;
}

std::optional<Error> features(const SkeletonStep& step, Skeleton& skeleton) {
  const auto wanted = [&](const char* name) { return std::find(step.features.begin(), step.features.end(), name) != step.features.end(); };
  join_scores(skeleton);
  if (wanted("b") || wanted("bm")) {
    if (const auto error = joint_to_bone(step, "b", skeleton)) return error;
  }
  skeleton.arrays["j"] = std::move(skeleton.arrays["keypoint"]);
  for (const std::string name : {"j", "b"}) {
    if (!wanted((name + "m").c_str())) continue;
    if (const auto error = to_motion(step, name, name + "m", skeleton)) return error;
  }
  if (const auto error = merge(step, "merged", skeleton)) return error;
  Array merged = std::move(skeleton.arrays["merged"]);
  skeleton.arrays.clear();
  skeleton.arrays["keypoint"] = std::move(merged);
  return std::nullopt;
}

std::optional<Error> pad(const SkeletonStep& step, Skeleton& skeleton) {
  Array& keypoint = skeleton.arrays["keypoint"];
  const std::size_t frames = keypoint.frames;
  if (static_cast<std::int64_t>(frames) > step.length) {
    return unfit(std::to_string(frames) + " frames, and the network takes at most " + std::to_string(step.length), "cut the video");
  }
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < static_cast<std::size_t>(step.length); ++i) order.push_back(i % frames);
  keypoint = picked(keypoint, up_to(keypoint.persons), order);
  if (step.mode != "zero") return std::nullopt;
  keypoint.each([&](std::size_t person, std::size_t frame, std::size_t joint) {
    if (frame >= frames) std::fill_n(keypoint.at(person, frame, joint), keypoint.channels, 0.0);
  });
  return std::nullopt;
}

void decode(Skeleton& skeleton) {
  for (const char* name : {"keypoint", "keypoint_score"}) {
    const auto found = skeleton.arrays.find(name);
    if (found == skeleton.arrays.end()) continue;
    const Array& array = found->second;
    std::vector<std::size_t> frames = up_to(array.frames);
    if (!skeleton.drawn.empty()) frames.assign(skeleton.drawn.begin(), skeleton.drawn.end());
    found->second = picked(array, up_to(array.persons), frames);
    // What comes after it is float32.
    for (double& value : found->second.values) value = static_cast<double>(static_cast<float>(value));
  }
}

// To as many persons as the network takes: absent ones are zeros, or (loop) the only one again.
void format(const SkeletonStep& step, Skeleton& skeleton) {
  join_scores(skeleton);
  const Array& keypoint = skeleton.arrays["keypoint"];
  Array result = Array::of(static_cast<std::size_t>(step.persons), keypoint.frames, keypoint.joints, keypoint.channels);
  result.each([&](std::size_t person, std::size_t frame, std::size_t joint) {
    const bool again = step.mode == "loop" && keypoint.persons == 1;
    if (person >= keypoint.persons && !again) return;
    std::copy_n(keypoint.at(again ? 0 : person, frame, joint), keypoint.channels, result.at(person, frame, joint));
  });
  skeleton.arrays["keypoint"] = std::move(result);
}

std::optional<Error> apply(const SkeletonStep& step, Skeleton& skeleton) {
  if (skeleton.arrays.count("keypoint") == 0) return unfit(step.type + " finds no keypoints");
  if (step.type == "PreNormalize2D") return pre_normalise_2d(step, skeleton);
  if (step.type == "PreNormalize3D") return pre_normalise_3d(step, skeleton);
  if (step.type == "JointToBone") return joint_to_bone(step, step.target, skeleton);
  if (step.type == "ToMotion") return to_motion(step, step.source, step.target, skeleton);
  if (step.type == "MergeSkeFeat") return merge(step, step.target, skeleton);
  if (step.type == "GenSkeFeat") return features(step, skeleton);
  if (step.type == "PadTo") return pad(step, skeleton);
  if (step.type == "PoseDecode") decode(skeleton);
  if (step.type == "FormatGCNInput") format(step, skeleton);
  if (step.type == "UniformSampleFrames") {
    const auto frames = static_cast<std::int64_t>(skeleton.arrays["keypoint"].frames);
    skeleton.drawn = uniform_indices(frames, static_cast<int>(step.length), static_cast<int>(skeleton.clips), step.seed);
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<float>> skeletons_of(const Video& video, std::int64_t clips, const Steps& steps, const std::optional<float>& min_score) {
  const Shape& shape = video.keypoints.shape;
  Skeleton skeleton;
  skeleton.clips = clips;
  skeleton.height = video.keypoints_height > 0 ? video.keypoints_height : video.height;
  skeleton.width = video.keypoints_width > 0 ? video.keypoints_width : video.width;
  const auto axis = [&](std::size_t i) { return static_cast<std::size_t>(shape[i]); };
  Array keypoint = Array::of(axis(0), axis(1), axis(2), axis(3)), scores = Array::of(axis(0), axis(1), axis(2), 1);
  for (std::size_t i = 0; i < scores.values.size(); ++i) {
    const float* joint = video.keypoints.data + i * keypoint.channels;
    const float score = video.keypoint_scores.data == nullptr ? 1.0f : video.keypoint_scores.data[i];
    bool lost = std::any_of(joint, joint + keypoint.channels, [](float value) { return !std::isfinite(value); });
    if (min_score && !(std::isfinite(score) && score > 0 && score >= *min_score)) lost = true;
    if (lost) continue;
    std::copy_n(joint, keypoint.channels, keypoint.values.begin() + static_cast<std::ptrdiff_t>(i * keypoint.channels));
    scores.values[i] = std::isfinite(score) ? static_cast<double>(score) : 0;
  }
  if (keypoint.persons == 0) {  // nobody: one skeleton of zeros, as an estimator writes it
    keypoint = Array::of(1, axis(1), axis(2), axis(3));
    scores = Array::of(1, axis(1), axis(2), 1);
  }
  skeleton.arrays["keypoint"] = std::move(keypoint);
  if (steps.scored) skeleton.arrays["keypoint_score"] = std::move(scores);
  for (const SkeletonStep& step : steps.skeleton) {
    if (const auto error = apply(step, skeleton)) return *error;
  }
  const Array& made = skeleton.arrays["keypoint"];
  const Shape& wanted = steps.skeleton_shape;
  const auto is = [](std::size_t size, std::int64_t needed) { return static_cast<std::int64_t>(size) == needed; };
  const std::int64_t drawn = skeleton.drawn.empty() ? 1 : clips;
  if (drawn != clips || !is(made.persons, wanted[0]) || !is(made.frames, drawn * wanted[1]) || !is(made.joints, wanted[2]) || !is(made.channels, wanted[3])) {
    return unfit("the pipeline makes skeletons of another shape than the network takes");
  }
  // (persons, clips * frames, ...) to (clips, persons, frames, ...).
  std::vector<float> result;
  result.reserve(made.values.size());
  const std::size_t clip_size = static_cast<std::size_t>(wanted[1]) * made.joints * made.channels;
  for (std::size_t clip = 0; clip < static_cast<std::size_t>(clips); ++clip) {
    for (std::size_t person = 0; person < made.persons; ++person) {
      const double* from = made.at(person, clip * static_cast<std::size_t>(wanted[1]), 0);
      for (std::size_t i = 0; i < clip_size; ++i) result.push_back(static_cast<float>(from[i]));
    }
  }
  return result;
}

}  // namespace x3ddeploy::detail
