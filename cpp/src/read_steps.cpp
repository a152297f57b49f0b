// A pipeline as its manifest has it, in the bounds of x3ddeploy/modalities/view.py, heatmaps.py and skeletons.py. What is not
// understood is named: a network fed with what it was not trained on looks like an answer all the same.
#include <algorithm>
#include <set>
#include <tuple>

#include "steps.hpp"

namespace x3ddeploy::detail {
namespace {

constexpr std::int64_t kMost = 1 << 16;

// The parameters of a step: each is asked for once, and what nobody asked for is not understood.
class Parameters {
 public:
  Parameters(std::string type, const Place& place) : type_(std::move(type)), place_(place) {}

  bool has(const char* name) {
    known_.insert(name);
    return place_.has(name) && !place_[name].is_null();
  }
  std::int64_t count(const char* name, std::int64_t usual, std::int64_t least = 1, std::int64_t most = kMost) {
    if (!has(name)) return usual;
    const std::int64_t value = place_[name].integer();
    if (value < least || value > most) refuse(name);
    return std::clamp(value, least, most);
  }
  bool flag(const char* name, bool usual) { return has(name) ? place_[name].boolean() : usual; }
  double number(const char* name, double usual) { return has(name) ? place_[name].number() : usual; }
  std::string text(const char* name, const std::string& usual, const std::set<std::string>& known = {}) {
    if (!has(name)) return usual;
    const std::string value = place_[name].string();
    if (!known.empty() && known.count(value) == 0) refuse(name);
    return value;
  }
  std::vector<std::int64_t> counts(const char* name, std::vector<std::int64_t> usual) {
    if (!has(name)) return usual;
    std::vector<std::int64_t> values;
    place_[name].each_element([&](const Place& element) { values.push_back(element.integer()); });
    return values;
  }
  std::vector<std::string> names(const char* name, std::vector<std::string> usual) {
    if (!has(name)) return usual;
    std::vector<std::string> values;
    place_[name].each_element([&](const Place& element) { values.push_back(element.string()); });
    if (!values.empty()) return values;
    refuse(name);
    return usual;
  }
  const Place& place() const { return place_; }
  void refuse(const std::string& name) { problem_ = problem_.empty() ? type_ + "." + name : problem_; }
  // What is not understood of the step; empty where all is.
  std::string problem() {
    place_.each_member([&](const std::string& name, const Place&) {
      if (known_.count(name) == 0) refuse(name);
    });
    return problem_;
  }

 private:
  std::string type_;
  Place place_;
  std::set<std::string> known_;
  std::string problem_;
};

void read_sampler(const std::string& type, std::int64_t length, Parameters& known, Sampler& sampler) {
  sampler.type = type;
  sampler.clip_len = known.count("clip_len", length);
  sampler.num_clips = known.count("num_clips", 1);
  if (known.has("test_mode") ? !known.flag("test_mode", true) : type != "UniformSampleFrames") known.refuse("test_mode");
  if (known.flag("temporal_jitter", false)) known.refuse("temporal_jitter");
  known.has("keep_tail_frames");
  if (type == "UniformSampleFrames") sampler.seed = static_cast<std::uint32_t>(known.count("seed", 255, 0, 0xffffffffLL));
  if (type == "SampleFrames" || type == "DenseSampleFrames") {
    sampler.frame_interval = known.count("frame_interval", 1);
    sampler.repeat_last = known.text("out_of_bound_opt", "loop", {"loop", "repeat_last"}) == "repeat_last";
  }
  if (type == "SampleFrames") {
    sampler.twice_sample = known.flag("twice_sample", false);
    if (sampler.twice_sample && sampler.clip_len > 1) known.refuse("twice_sample");
    if (known.has("target_fps")) known.refuse("target_fps");  // a video does not say its frames a second here
  }
  if (type == "DenseSampleFrames") {
    sampler.sample_range = known.count("sample_range", 64);
    sampler.num_sample_positions = known.count("num_sample_positions", 10);
  }
  if (sampler.frames() > kMost || sampler.frames() % length != 0) known.refuse("num_clips");
  if (sampler.frames() / length > 1 && sampler.clip_len > 1 && sampler.clip_len != length) known.refuse("clip_len");
}

void read_compact(Parameters& known, View2D& view) {
  view.compact = true;
  if (known.number("hw_ratio", 1) != 1) known.refuse("hw_ratio");
  if (!known.flag("allow_imgpad", true)) known.refuse("allow_imgpad");
  if (known.number("padding", 0.25) != 0.25) known.refuse("padding");
  if (known.number("threshold", 10) != 10) known.refuse("threshold");
}

void read_resize(Parameters& known, View2D& view) {
  Resizing& resizing = view.resizing;
  resizing.keep_ratio = known.flag("keep_ratio", true);
  if (known.text("interpolation", "bilinear") != "bilinear") known.refuse("interpolation");
  if (known.flag("lazy", false)) known.refuse("lazy");
  if (!known.has("scale")) return known.refuse("scale");
  const Place scale = known.place()["scale"];
  if (scale.is_number()) {
    resizing.factor = scale.number();
    if (!resizing.keep_ratio || !(resizing.factor > 0 && resizing.factor < kMost)) known.refuse("scale");
    return;
  }
  const std::vector<std::int64_t> sides = known.counts("scale", {});
  if (sides.size() != 2) return known.refuse("scale");
  const bool open = resizing.keep_ratio && (sides[0] == -1) != (sides[1] == -1);
  for (const std::int64_t side : sides) {
    if ((side < 1 && !(open && side == -1)) || side > 1 << 14) return known.refuse("scale");
  }
  resizing.width = static_cast<int>(sides[0]);
  resizing.height = static_cast<int>(sides[1]);
}

void read_crop(const std::string& type, Parameters& known, Cropping& cropping) {
  if (known.flag("lazy", false)) known.refuse("lazy");
  cropping.crops = type == "CenterCrop" ? 1 : type == "ThreeCrop" ? 3 : 5;
  cropping.mirrored = type == "TenCrop";
  if (!known.has("crop_size")) return known.refuse("crop_size");
  std::vector<std::int64_t> sides;
  if (known.place()["crop_size"].is_number()) {
    sides.assign(2, known.count("crop_size", 0, 1, 1 << 14));
  } else {
    sides = known.counts("crop_size", {});
  }
  if (sides.size() != 2 || sides[0] < 1 || sides[1] < 1 || sides[0] > 1 << 14 || sides[1] > 1 << 14) return known.refuse("crop_size");
  cropping.width = static_cast<int>(sides[0]);
  cropping.height = static_cast<int>(sides[1]);
}

void read_flip(Parameters& known, Cropping& cropping) {
  const double ratio = known.number("flip_ratio", 0.5);
  if (ratio != 0 && ratio != 1) known.refuse("flip_ratio");
  if (known.text("direction", "horizontal") != "horizontal") known.refuse("direction");
  if (known.flag("lazy", false)) known.refuse("lazy");
  cropping.flipped = ratio == 1;
}

const std::vector<std::set<std::string>>& order_of(bool heatmaps) {
  static const std::vector<std::set<std::string>> kFrames = {
      {"UniformSampleFrames", "SampleFrames", "DenseSampleFrames", "UniformSample"}, {"MMCompact", "PoseCompact"}, {"Resize"},
      {"CenterCrop", "ThreeCrop", "TenCrop"}, {"Flip"}, {"FormatShape"}, {"Normalize"}};
  static const std::vector<std::set<std::string>> kHeatmaps = {kFrames[0], kFrames[1], kFrames[2], kFrames[3], kFrames[4],
                                                               {"GeneratePoseTarget"}};
  return heatmaps ? kHeatmaps : kFrames;
}

std::pair<int, int> pair_of(const std::vector<std::int64_t>& values, Parameters& known, const char* name) {
  if (values.size() != 2 || values[0] < 0 || values[1] < 0 || values[0] > 1000 || values[1] > 1000) {
    known.refuse(name);
    return {0, 0};
  }
  return {static_cast<int>(values[0]), static_cast<int>(values[1])};
}

}  // namespace

std::string read_view(const Place& pipeline, bool heatmaps, std::int64_t length, View2D& view) {
  std::string problem;
  std::size_t reached = 0;
  view.sampler.clip_len = length;
  pipeline.each_element([&](const Place& step) {
    const std::string type = step["type"].string();
    const auto& order = order_of(heatmaps);
    const auto group = std::find_if(order.begin(), order.end(), [&](const auto& names) { return names.count(type) != 0; });
    const auto place = static_cast<std::size_t>(group - order.begin());
    if (!problem.empty()) return;
    if (group == order.end() || place < reached) {
      problem = type;
      return;
    }
    reached = place + 1;
    Parameters known(type, step["parameters"]);
    if (place == 0) read_sampler(type, length, known, view.sampler);
    if (place == 1) read_compact(known, view);
    if (place == 2) read_resize(known, view);
    if (place == 3) read_crop(type, known, view.cropping);
    if (place == 4) read_flip(known, view.cropping);
    if (type == "FormatShape") {
      known.text("input_format", "NCTHW", {"NCTHW", "NCHW"});
      if (known.flag("collapse", false)) known.refuse("collapse");
    }
    if (place <= 4 || type == "FormatShape") problem = known.problem();
  });
  if (problem.empty() && heatmaps && (view.cropping.count() > 1 || view.cropping.flipped)) problem = "several crops of keypoints";
  const bool open = view.resizing.keep_ratio && view.cropping.height == 0;
  if (problem.empty() && open) problem = "Resize to a size that the video decides";
  return problem;
}

std::string read_drawing(const Place& place, std::int64_t channels, Steps& steps, std::int64_t& joints) {
  Parameters known("GeneratePoseTarget", place);
  for (const char* read_elsewhere : {"sigma", "scaling", "use_score"}) known.has(read_elsewhere);
  steps.draws_joints = known.flag("with_kp", true);
  const bool limbs = known.flag("with_limb", false);
  static const std::vector<std::pair<int, int>> kLimbs = {{0, 1}, {0, 2}, {1, 3}, {2, 4}, {0, 5}, {5, 7}, {7, 9}, {0, 6}, {6, 8},
                                                          {8, 10}, {5, 11}, {11, 13}, {13, 15}, {6, 12}, {12, 14}, {14, 16}, {11, 12}};
  if (known.has("skeletons")) {
    place["skeletons"].each_element([&](const Place& limb) {
      std::vector<std::int64_t> ends;
      limb.each_element([&](const Place& end) { ends.push_back(end.integer()); });
      steps.limbs.push_back(pair_of(ends, known, "skeletons"));
    });
  } else {
    steps.limbs = kLimbs;
  }
  if (!limbs) steps.limbs.clear();
  int named = 0;
  for (const auto& [first, second] : steps.limbs) named = std::max({named, first + 1, second + 1});
  joints = steps.draws_joints ? channels - static_cast<std::int64_t>(steps.limbs.size()) : named;
  if (joints < 1 || named > joints || channels != (steps.draws_joints ? joints : 0) + static_cast<std::int64_t>(steps.limbs.size())) {
    known.refuse("skeletons");
  }
  const bool is_double = known.flag("double", false);
  const std::vector<std::int64_t> left_joints = known.counts("left_kp", {1, 3, 5, 7, 9, 11, 13, 15});
  const std::vector<std::int64_t> right_joints = known.counts("right_kp", {2, 4, 6, 8, 10, 12, 14, 16});
  const std::vector<std::int64_t> left_limbs = known.counts("left_limb", {0, 2, 4, 5, 6, 10, 11, 12});
  const std::vector<std::int64_t> right_limbs = known.counts("right_limb", {1, 3, 7, 8, 9, 13, 14, 15});
  if (is_double) {
    const auto &left = steps.draws_joints ? left_joints : left_limbs, &right = steps.draws_joints ? right_joints : right_limbs;
    for (std::int64_t channel = 0; channel < channels; ++channel) steps.twin.push_back(static_cast<int>(channel));
    for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      if (std::min(left[i], right[i]) < 0 || std::max(left[i], right[i]) >= channels) {
        known.refuse(steps.draws_joints ? "left_kp" : "left_limb");
        continue;
      }
      steps.twin[static_cast<std::size_t>(left[i])] = static_cast<int>(right[i]);
      steps.twin[static_cast<std::size_t>(right[i])] = static_cast<int>(left[i]);
    }
  }
  return known.problem();
}

std::string read_skeleton(const Place& pipeline, const Shape& clip, Steps& steps) {
  const std::set<std::string> datasets = {"nturgb+d", "openpose", "coco"};
  std::string problem;
  std::size_t features = 1;
  bool ntu = false;
  pipeline.each_element([&](const Place& place) {
    SkeletonStep step;
    step.type = place["type"].string();
    Parameters known(step.type, place["parameters"]);
    if (step.type == "PreNormalize2D") {
      const std::vector<std::int64_t> sides = known.counts("img_shape", {1080, 1920});
      if (sides.size() != 2 || std::min(sides[0], sides[1]) < 1 || std::max(sides[0], sides[1]) > kMost) {
        known.refuse("img_shape");
      } else {
        step.height = static_cast<int>(sides[0]);
        step.width = static_cast<int>(sides[1]);
      }
    } else if (step.type == "PreNormalize3D") {
      steps.in_space = true;
      std::tie(step.zaxis[0], step.zaxis[1]) = pair_of(known.counts("zaxis", {0, 1}), known, "zaxis");
      std::tie(step.xaxis[0], step.xaxis[1]) = pair_of(known.counts("xaxis", {8, 4}), known, "xaxis");
      step.align_spine = known.flag("align_spine", true);
      step.align_shoulder = known.flag("align_shoulder", true);
      step.align_center = known.flag("align_center", true);
    } else if (step.type == "JointToBone" || step.type == "ToMotion") {
      step.dataset = known.text("dataset", "nturgb+d", datasets);
      if (step.type == "ToMotion") step.source = known.text("source", "keypoint");
      step.target = known.text("target", step.type == "ToMotion" ? "motion" : "keypoint");
      ntu = ntu || (step.type == "JointToBone" && step.dataset == "nturgb+d");
    } else if (step.type == "MergeSkeFeat" || step.type == "GenSkeFeat") {
      const bool merges = step.type == "MergeSkeFeat";
      step.features = known.names(merges ? "feat_list" : "feats", {merges ? "keypoint" : "j"});
      if (merges) step.target = known.text("target", "keypoint");
      if (!merges) {
        step.dataset = known.text("dataset", "nturgb+d", datasets);
        ntu = ntu || step.dataset == "nturgb+d";
        for (const std::string& name : step.features) {
          if (name != "j" && name != "b" && name != "jm" && name != "bm") known.refuse("feats");
        }
      }
      if (const std::int64_t axis = known.count("axis", -1, -1, 3); axis != -1 && axis != 3) known.refuse("axis");
      features = step.features.size();
    } else if (step.type == "UniformSampleFrames") {
      Sampler sampler;
      read_sampler(step.type, clip[1], known, sampler);
      step.length = sampler.clip_len;
      step.seed = sampler.seed;
      steps.frames.sampler.num_clips = sampler.num_clips;
      if (step.length != clip[1]) known.refuse("clip_len");
    } else if (step.type == "PadTo") {
      step.length = known.count("length", 0);
      step.mode = known.text("mode", "loop", {"loop", "zero"});
      if (step.length != clip[1]) known.refuse("length");
    } else if (step.type == "FormatGCNInput") {
      step.persons = known.count("num_person", 2, 1, 64);
      step.mode = known.text("mode", "zero", {"zero", "loop"});
      if (step.persons != clip[0]) known.refuse("num_person");
    } else if (step.type != "PoseDecode") {
      known.refuse("the step itself");
    }
    if (problem.empty()) problem = known.problem();
    steps.skeleton.push_back(std::move(step));
  });
  const auto values = clip[3] / static_cast<std::int64_t>(features);
  if (problem.empty() && (values * static_cast<std::int64_t>(features) != clip[3] || (values != 2 && values != 3))) {
    problem = std::to_string(features) + " features in " + std::to_string(clip[3]) + " channels";
  }
  steps.in_space = steps.in_space || (ntu && values == 3);
  steps.scored = values == 3 && !steps.in_space;
  steps.skeleton_shape = clip;
  return problem;
}

}  // namespace x3ddeploy::detail
