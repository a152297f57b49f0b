#include "contract.hpp"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <iterator>
#include <map>
#include <memory>
#include <set>

#include "steps.hpp"

namespace x3ddeploy::detail {
namespace {

// Of x3ddeploy/contract.py.
constexpr std::int64_t kLargestClip = std::int64_t{1} << 31;

int size(const Place& place) {
  const std::int64_t value = place.integer();
  if (value < 1 || value > kLargestSize) {
    place.fail("invalid model specification: " + std::to_string(value));
    return 1;
  }
  return static_cast<int>(value);
}

double number(const Place& place) { return place.number(); }

double positive(const Place& place) {
  const double value = place.number();
  if (!(value > 0)) place.fail("invalid model specification: not a positive number");
  return value;
}

std::array<float, 3> three(const Place& place, double (*read)(const Place&)) {
  std::array<float, 3> values{};
  std::size_t count = 0;
  place.each_element([&](const Place& element) {
    if (count < values.size()) values[count] = static_cast<float>(read(element));
    ++count;
  });
  if (count != values.size()) place.fail("Expected `array` of length 3, got " + std::to_string(count));
  return values;
}

std::string one_of(const Place& place, std::initializer_list<const char*> known, const std::string& what) {
  const std::string value = place.string();
  if (std::find(known.begin(), known.end(), value) == known.end()) {
    place.fail("invalid model specification: " + what + " '" + value + "'");
  }
  return value;
}

std::string average(const Place& place) { return one_of(place, {"prob", "score", "none"}, "average_clips"); }

Shape shape(const Place& place) {
  Shape sizes;
  place.each_element([&](const Place& axis) {
    if (sizes.empty() && axis.is_string()) {
      if (axis.string() != "N") axis.fail("an axis of clips is called N");
      sizes.push_back(kDynamic);
    } else {
      sizes.push_back(size(axis));
    }
  });
  std::int64_t values = 1;
  for (const std::int64_t axis : sizes) {
    values = values > kLargestClip ? values : values * (axis == kDynamic ? 1 : axis);
  }
  if (sizes.size() < 2 || values > kLargestClip) place.fail("a shape that no tensor has");
  return sizes;
}

std::vector<std::string> names(const Place& place) {
  std::vector<std::string> result;
  place.each_element([&](const Place& name) { result.push_back(name.string()); });
  return result;
}

void weights(const Place& place, std::vector<std::pair<std::string, double>>& result) {
  double sum = 0;
  bool usable = true;
  place.each_member([&](const std::string& logits, const Place& weight) {
    const double value = weight.number();
    usable = usable && value >= 0;
    sum += value;
    result.emplace_back(logits, value);
  });
  if (!usable || !(sum > 0)) place.fail("weights that cannot be weights");
}

// What the network's own step says, behind those that every view has.
void read_last_steps(const Place& pipeline, InputKind kind, std::int64_t channels, Contract& contract, Steps& steps) {
  bool draws = false;
  pipeline.each_element([&](const Place& step) {
    const std::string type = step["type"].string();
    const Place known = step["parameters"];
    if (type == "Normalize" && kind == InputKind::frames) {
      contract.mean = three(known["mean"], number);
      contract.std = three(known["std"], positive);
    } else if (type == "GeneratePoseTarget" && kind == InputKind::heatmaps) {
      draws = true;
      contract.sigma = known.has("sigma") ? positive(known["sigma"]) : 0.6;
      contract.scaling = known.has("scaling") ? positive(known["scaling"]) : 1;
      contract.use_score = !known.has("use_score") || known["use_score"].boolean();
      std::int64_t joints = 0;
      const std::string problem = read_drawing(known, channels, steps, joints);
      if (!problem.empty()) contract.foreign_step = problem;
      contract.joints = static_cast<int>(std::clamp<std::int64_t>(joints, 1, kLargestSize));
    }
  });
  if (kind == InputKind::heatmaps && !draws) contract.foreign_step = "a pipeline without GeneratePoseTarget";
}

// Whether channels come before frames: FormatShape says so; of three frames a shape does not tell.
bool is_channels_first(const Place& pipeline, const Shape& sizes) {
  bool first = sizes[1] == 3;
  pipeline.each_element([&](const Place& step) {
    const Place known = step["parameters"];
    if (step["type"].string() == "FormatShape" && known.has("input_format")) first = known["input_format"].string() == "NCTHW";
  });
  return first;
}

void read_frames(const Place& place, const Shape& sizes, Contract& contract, Steps& steps) {
  contract.channels_first = sizes.size() == 5 && is_channels_first(place["pipeline"], sizes);
  if (sizes.size() != 5 || sizes[contract.channels_first ? 1 : 2] != 3) return place["shape"].fail("no clip of frames");
  contract.rgb_frames = static_cast<int>(sizes[contract.channels_first ? 2 : 1]);
  contract.rgb_height = static_cast<int>(sizes[3]);
  contract.rgb_width = static_cast<int>(sizes[4]);
  contract.std = {1, 1, 1};
  View2D& view = steps.frames;
  view.resizing.height = contract.rgb_height;  // where the pipeline has no Resize
  view.resizing.width = contract.rgb_width;
  const std::string problem = read_view(place["pipeline"], false, contract.rgb_frames, view);
  if (!problem.empty()) contract.foreign_step = problem;
  read_last_steps(place["pipeline"], InputKind::frames, 3, contract, steps);
  const Cropping& cropping = view.cropping;
  const int height = cropping.height > 0 ? cropping.height : view.resizing.height;
  const int width = cropping.height > 0 ? cropping.width : view.resizing.width;
  if (problem.empty() && (height != contract.rgb_height || width != contract.rgb_width)) {
    contract.foreign_step = "steps that give pictures of another size than the network takes";
  }
  contract.crops_to_persons = view.compact;
  contract.clips = static_cast<int>(view.sampler.frames() / contract.rgb_frames);
  contract.views = cropping.count();
}

void read_heatmaps(const Place& place, const Shape& sizes, bool with_frames, Contract& contract, Steps& steps) {
  if (sizes.size() != 5) return place["shape"].fail("no clip of heatmaps");
  contract.joints = static_cast<int>(sizes[1]);
  contract.pose_frames = static_cast<int>(sizes[2]);
  contract.pose_height = static_cast<int>(sizes[3]);
  contract.pose_width = static_cast<int>(sizes[4]);
  View2D& view = steps.heatmaps;
  if (with_frames) view.resizing = steps.frames.resizing;
  const std::string problem = read_view(place["pipeline"], true, contract.pose_frames, view);
  if (!problem.empty()) contract.foreign_step = problem;
  read_last_steps(place["pipeline"], InputKind::heatmaps, sizes[1], contract, steps);
  const int clips = static_cast<int>(view.sampler.frames() / contract.pose_frames), views = steps.twin.empty() ? 1 : 2;
  if (with_frames && (clips != contract.clips || views != contract.views)) {
    contract.foreign_step = "frames and heatmaps of different views";
  }
  contract.clips = clips;
  contract.views = views;
  contract.crops_to_persons = contract.crops_to_persons || view.compact;
  if (!with_frames) {  // what is seen in the end, in whose pixels ready joints are
    const bool cut = view.cropping.height > 0;
    contract.rgb_height = cut ? view.cropping.height : view.resizing.height;
    contract.rgb_width = cut ? view.cropping.width : view.resizing.width;
  }
}

void read_skeletons(const Place& place, const Shape& sizes, Contract& contract, Steps& steps) {
  if (sizes.size() != 5) return place["shape"].fail("no clip of skeletons");
  const std::string problem = read_skeleton(place["pipeline"], {sizes.begin() + 1, sizes.end()}, steps);
  if (!problem.empty()) contract.foreign_step = problem;
  contract.joints = static_cast<int>(sizes[3]);
  contract.clips = static_cast<int>(steps.frames.sampler.num_clips);
}

Input read_input(const std::string& name, const Place& place) {
  Input input;
  input.name = name;
  input.shape = shape(place["shape"]);
  const std::string kind = one_of(place["kind"], {"frames", "heatmaps", "skeleton"}, "kind");
  input.kind = kind == "frames" ? InputKind::frames : kind == "heatmaps" ? InputKind::heatmaps : InputKind::skeleton;
  if (const std::string dtype = place["dtype"].string(); dtype != "float32") place["dtype"].fail("'" + dtype + "'");
  return input;
}

// Tensors that a part takes and nothing gives, outputs that are not described, batches of two sizes.
void check_tensors(const Place& manifest, const Network& network, const std::map<std::string, Shape>& outputs) {
  std::set<std::string> given;
  for (const Input& input : network.contract.inputs) given.insert(input.name);
  for (const Part& part : network.parts) given.insert(part.outputs.begin(), part.outputs.end());
  for (const Part& part : network.parts) {
    for (const std::string& tensor : part.inputs) {
      if (given.count(tensor) == 0) manifest.fail(part.name + " takes '" + tensor + "', which nothing gives");
    }
    for (const std::string& tensor : part.outputs) {
      if (outputs.count(tensor) == 0) manifest.fail(part.name + " gives '" + tensor + "', which is not described");
    }
  }
  std::set<std::int64_t> batches;
  for (const Input& input : network.contract.inputs) batches.insert(input.shape.empty() ? 0 : input.shape[0]);
  for (const auto& [name, sizes] : outputs) batches.insert(sizes.empty() ? 0 : sizes[0]);
  if (batches.size() > 1) manifest.fail("tensors of different numbers of clips");
}

// The whole's outputs in its order, the number of classes, and what the logits of the deployed score say.
void read_outputs(const Place& manifest, Network& network, const std::map<std::string, Shape>& shapes) {
  Contract& contract = network.contract;
  const auto whole = std::find_if(network.parts.begin(), network.parts.end(),
                                  [](const Part& part) { return part.name == kWhole; });
  if (contract.inputs.empty() || whole == network.parts.end()) {
    return manifest.fail(std::string("at least one input and the part '") + kWhole + "' are needed");
  }
  for (const std::string& tensor : whole->inputs) {
    const auto is_it = [&](const Input& input) { return input.name == tensor; };
    if (std::none_of(contract.inputs.begin(), contract.inputs.end(), is_it)) {
      manifest.fail(std::string(kWhole) + " takes more than the network's inputs");
    }
  }
  for (const std::string& tensor : whole->outputs) {
    const auto found = shapes.find(tensor);
    if (found == shapes.end()) continue;  // reported already
    const Place place = manifest["outputs"][tensor];
    const std::string kind = place["kind"].string();
    Output output = {tensor, OutputKind::features, found->second, Activation::none};
    if (kind == "logits") output.kind = OutputKind::logits;
    if (kind == "scores") output.kind = OutputKind::scores;
    if (output.kind == OutputKind::logits) {
      const Place activation = place["activation"];
      const bool sigmoid = !activation.is_null() && activation.string() == "sigmoid";
      output.activation = sigmoid ? Activation::sigmoid : Activation::softmax;
    }
    if (output.kind != OutputKind::features && output.shape.size() != 2) place["shape"].fail("no row of classes");
    contract.outputs.push_back(std::move(output));
  }
  for (const auto& [name, weight] : contract.weights) {
    const auto is_it = [&, &logits = name](const Output& output) {
      return output.name == logits && output.kind == OutputKind::logits;
    };
    const auto found = std::find_if(contract.outputs.begin(), contract.outputs.end(), is_it);
    if (found == contract.outputs.end() || found->shape.size() != 2) {
      manifest["scores"].fail("a score of '" + name + "', which is no logits");
      continue;
    }
    contract.classes = static_cast<int>(found->shape[1]);
    contract.average_clips = average(manifest["outputs"][name]["average"]);
  }
  for (const Output& output : contract.outputs) {
    if (output.kind == OutputKind::scores && output.shape.size() == 2 && output.shape[1] != contract.classes) {
      manifest["outputs"][output.name].fail("scores of another number of classes than the logits");
    }
  }
}

void make_waves(const Place& manifest, Network& network) {
  std::set<std::string> known;
  for (const Input& input : network.contract.inputs) known.insert(input.name);
  std::vector<Part> waiting;
  for (const Part& part : network.parts) {
    if (part.name != kWhole) waiting.push_back(part);
  }
  if (waiting.empty()) waiting = network.parts;
  while (!waiting.empty()) {
    const auto is_ready = [&](const Part& part) {
      return std::all_of(part.inputs.begin(), part.inputs.end(), [&](const auto& name) { return known.count(name) != 0; });
    };
    const auto rest = std::stable_partition(waiting.begin(), waiting.end(), is_ready);
    if (rest == waiting.begin()) return manifest.fail("the parts of the network wait for each other");
    for (auto part = waiting.begin(); part != rest; ++part) known.insert(part->outputs.begin(), part->outputs.end());
    network.waves.emplace_back(std::make_move_iterator(waiting.begin()), std::make_move_iterator(rest));
    waiting.erase(waiting.begin(), rest);
  }
}

// The fields that embedders of two-stream networks know by name.
void name_streams(Contract& contract) {
  for (std::size_t i = 0; i < contract.fusion.size() && contract.weights.size() == contract.fusion.size(); ++i) {
    contract.fusion[i] = contract.weights[i].second;
  }
  for (const Output& output : contract.outputs) {
    if (output.name == "rgb_coarse_logits" && output.shape.size() == 2) {
      contract.coarse_classes = static_cast<int>(output.shape[1]);
    }
  }
}

}  // namespace

Network network_of_schema_2(const Place& manifest) {
  Network network;
  Contract& contract = network.contract;
  contract.family = manifest["family"].string();
  const auto steps = std::make_shared<Steps>();
  std::map<InputKind, int> count;
  manifest["inputs"].each_member([&](const std::string& name, const Place& place) {
    contract.inputs.push_back(read_input(name, place));
    const Input& input = contract.inputs.back();
    const bool is_first = ++count[input.kind] == 1;
    if (input.kind == InputKind::frames && is_first) read_frames(place, input.shape, contract, *steps);
    if (input.kind == InputKind::skeleton && is_first) read_skeletons(place, input.shape, contract, *steps);
    if (!is_first) contract.foreign_step = "several inputs of one kind";
  });
  bool drawn = false;
  manifest["inputs"].each_member([&](const std::string&, const Place& place) {
    if (place["kind"].string() != "heatmaps" || drawn) return;
    drawn = true;
    read_heatmaps(place, shape(place["shape"]), count[InputKind::frames] > 0, contract, *steps);
  });
  if (count[InputKind::skeleton] > 0 && count.size() > 1) contract.foreign_step = "skeletons beside other inputs";
  contract.steps = steps;
  manifest["parts"].each_member([&](const std::string& name, const Place& place) {
    network.parts.push_back({name, names(place["inputs"]), names(place["outputs"])});
  });
  std::map<std::string, Shape> outputs;
  manifest["outputs"].each_member([&](const std::string& name, const Place& place) {
    outputs[name] = shape(place["shape"]);
    one_of(place["kind"], {"features", "logits", "scores"}, "kind");
    const bool activated = place.has("activation") && !place["activation"].is_null();
    if (activated) one_of(place["activation"], {"softmax", "sigmoid"}, "activation");
    if (place.has("average")) average(place["average"]);
  });
  manifest["scores"].each_member([&](const std::string&, const Place& score) {
    std::vector<std::pair<std::string, double>> shares;
    weights(score["weights"], shares);
    for (const auto& [logits, share] : shares) {
      const Place output = manifest["outputs"][logits];
      if (output["kind"].string() != "logits") score.fail("a score of '" + logits + "', which is no logits");
    }
  });
  weights(manifest["scores"][manifest["deployed"].string()]["weights"], contract.weights);
  check_tensors(manifest, network, outputs);
  read_outputs(manifest, network, outputs);
  make_waves(manifest, network);
  if (!contract.inputs.empty() && !contract.inputs[0].shape.empty() && contract.inputs[0].shape[0] != kDynamic) {
    contract.batch = static_cast<int>(contract.inputs[0].shape[0]);
  }
  name_streams(contract);
  return network;
}

Network network_of_schema_1(const Place& manifest) {
  const Place spec = manifest["spec"], head = spec["head"], rgb = spec["rgb_input"], pose = spec["pose_input"];
  Network network;
  Contract& contract = network.contract;
  contract.family = "two_stream_x3d";
  contract.classes = size(head["classes"]);
  contract.coarse_classes = head["coarse_classes"].integer() == 0 ? 0 : size(head["coarse_classes"]);
  contract.joints = size(spec["pose"]["in_channels"]);
  contract.rgb_frames = size(rgb["frames"]);
  contract.rgb_height = size(rgb["height"]);
  contract.rgb_width = size(rgb["width"]);
  contract.mean = three(rgb["mean"], number);
  contract.std = three(rgb["std"], positive);
  contract.pose_frames = size(pose["frames"]);
  contract.pose_height = size(pose["height"]);
  contract.pose_width = size(pose["width"]);
  contract.sigma = positive(pose["sigma"]);
  contract.scaling = positive(pose["scaling"]);
  contract.use_score = pose["use_score"].boolean();
  contract.crops_to_persons = true;
  const auto steps = std::make_shared<Steps>();
  for (View2D* view : {&steps->frames, &steps->heatmaps}) {
    view->compact = true;
    view->resizing.height = contract.rgb_height;
    view->resizing.width = contract.rgb_width;
  }
  steps->frames.sampler.clip_len = contract.rgb_frames;
  steps->heatmaps.sampler.clip_len = contract.pose_frames;
  contract.steps = steps;
  contract.average_clips = average(head["average_clips"]);
  std::vector<double> fusion;
  manifest["fusion"].each_element([&](const Place& weight) { fusion.push_back(weight.number()); });
  if (fusion.size() != 2) {
    manifest["fusion"].fail("Expected `array` of length 2, got " + std::to_string(fusion.size()));
    return network;
  }
  if (!(fusion[0] >= 0 && fusion[1] >= 0 && fusion[0] + fusion[1] > 0)) {
    manifest["fusion"].fail("weights that cannot be weights");
  }
  contract.weights = {{"rgb_logits", fusion[0]}, {"pose_logits", fusion[1]}};
  if (manifest["batch"].integer_or_null()) contract.batch = size(manifest["batch"]);

  const std::int64_t clips = contract.batch ? *contract.batch : kDynamic;
  contract.inputs = {
      {"imgs", InputKind::frames, {clips, 3, contract.rgb_frames, contract.rgb_height, contract.rgb_width}},
      {"heatmap_imgs",
       InputKind::heatmaps,
       {clips, contract.joints, contract.pose_frames, contract.pose_height, contract.pose_width}}};
  const auto logits = [&](const std::string& name, int classes) {
    if (classes > 0) contract.outputs.push_back({name, OutputKind::logits, {clips, classes}, Activation::softmax});
  };
  for (const std::string stream : {"rgb", "pose"}) {
    logits(stream + "_logits", contract.classes);
    logits(stream + "_coarse_logits", contract.coarse_classes);
  }
  contract.outputs.push_back({"scores", OutputKind::scores, {clips, contract.classes}, Activation::none});
  std::vector<std::string> given;
  for (const Output& output : contract.outputs) given.push_back(output.name);
  network.parts = {{"rgb_backbone", {"imgs"}, {"rgb_feat"}},
                   {"pose_backbone", {"heatmap_imgs"}, {"pose_feat"}},
                   {"head", {"rgb_feat", "pose_feat"}, given},
                   {kWhole, {"imgs", "heatmap_imgs"}, given}};
  make_waves(manifest, network);
  name_streams(contract);
  return network;
}

}  // namespace x3ddeploy::detail
