#include "windows.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <limits>

#include "backend.hpp"

namespace x3ddeploy::detail {
namespace {

constexpr int kLongestWindow = 1 << 14;
constexpr std::int64_t kMostPersons = 1 << 10;
constexpr double kMostFramesPerSecond = 1000;
// Pictures that show all persons at once; a track of this number is looked up elsewhere.
constexpr std::int64_t kEverybody = std::numeric_limits<std::int64_t>::min();

using Clock = std::chrono::steady_clock;

Error refused(const std::string& message, const std::string& hint) { return {ErrorKind::usage, message, hint, {}}; }

}  // namespace

Result<StreamOptions> checked(StreamOptions options, const Contract& contract) {
  if (!contract.foreign_step.empty()) {
    return Error{ErrorKind::failed, "the library cannot do " + contract.foreign_step, "give ready tensors to predict", {}};
  }
  const Shape& skeleton = steps_of(contract).skeleton_shape;
  if (options.window == 0) options.window = std::max(contract.rgb_frames, contract.pose_frames);
  if (options.window == 0 && skeleton.size() == 4) options.window = static_cast<int>(skeleton[1]);
  if (options.window < 1 || options.window > kLongestWindow) {
    return refused("a window is " + std::to_string(options.window) + " frames", "0 takes what the network takes");
  }
  if (options.stride == 0) options.stride = std::max(1, options.window / 2);
  if (options.stride < 1 || options.stride > kLongestWindow) {
    return refused("the stride is " + std::to_string(options.stride) + " frames", "0 is half a window");
  }
  if (options.clips < 1 || options.clips > kMostClips) return refused("clips is " + std::to_string(options.clips), "1 will do");
  if (!(options.frames_per_second >= 0 && options.frames_per_second <= kMostFramesPerSecond)) {
    return refused("frames_per_second is not from 0 to 1000", "0 takes every frame as it comes");
  }
  if (!(options.largest_gap >= 0)) return refused("largest_gap is no time", "0 for no limit");
  if (!(options.smoothing >= 0 && options.smoothing < 1)) return refused("smoothing is not from 0 and under 1", "0 for none");
  if (!(options.hysteresis >= 0)) return refused("hysteresis is negative or no number", "0 for none");
  if (options.each_person && !takes_keypoints(contract)) {
    return refused("each_person is asked for, and the network takes no keypoints", "leave it out");
  }
  return options;
}

Windows::Windows(const Contract& contract, StreamOptions options, Preparing preparing,
                 std::function<void(const std::string&)> log)
    : contract_(contract), options_(options), preparing_(std::move(preparing)), log_(std::move(log)) {
  if (contract.rgb_frames == 0) return;
  const Result<Sampler> sampler = sampler_of(frames_view(contract), contract.rgb_frames, options.clips);
  if (!sampler) return;  // the windows say it
  const Indices drawn = sampler->draw(options.window);
  drawn_.insert(drawn.begin(), drawn.end());
}

void Windows::restart() {
  moments_.clear();
  ++window_;
  count_ = 0;
  last_time_.reset();
}

std::vector<std::string> Windows::problems_of(const Frame& frame, const Poses& poses, double time) const {
  std::vector<std::string> problems;
  if (!std::isfinite(time)) {
    problems.emplace_back("its time is no number");
  } else if (last_time_ && time <= *last_time_) {
    problems.push_back("its time is " + std::to_string(time) + ", and the frame before had " + std::to_string(*last_time_));
  }
  Frame sized = frame;
  const std::uint8_t stand_in = 0;
  if (contract_.rgb_frames == 0 && frame.planes[0] == nullptr) sized.planes[0] = &stand_in;
  if (const std::string problem = problem_of(sized); !problem.empty()) problems.push_back("it " + problem);
  if (!takes_keypoints(contract_)) return problems;
  const Shape& shape = poses.keypoints.shape;
  const bool nobody = poses.keypoints.data == nullptr && (shape.empty() || shape[0] == 0);
  if (nobody) return problems;
  if (shape.size() != 3 || shape[2] != coordinates_of(contract_) || shape[0] < 0 || shape[0] > kMostPersons || shape[1] < 1 || shape[1] > kMostPersons ||
      poses.keypoints.data == nullptr) {
    problems.push_back("keypoints are " + shape_text(shape) + ", and not (persons, joints, " + std::to_string(coordinates_of(contract_)) + ")");
    return problems;
  }
  if (contract_.joints > 0 && shape[1] != contract_.joints) {
    problems.push_back("a person has " + std::to_string(shape[1]) + " joints, and the network takes " + std::to_string(contract_.joints));
  }
  if (poses.scores.data != nullptr && poses.scores.shape != Shape{shape[0], shape[1]}) {
    problems.push_back("scores are " + shape_text(poses.scores.shape) + ", and keypoints " + shape_text(shape));
  }
  if (poses.keypoints.memory == Memory::device || poses.scores.memory == Memory::device) {
    problems.emplace_back("keypoints are in device memory");
  }
  if (!is_aligned(poses.keypoints) || !is_aligned(poses.scores)) problems.emplace_back("keypoints or their scores do not lie at a multiple of 4 bytes");
  const std::set<std::int64_t> tracks(poses.tracks.begin(), poses.tracks.end());
  if (!poses.tracks.empty() && (poses.tracks.size() != static_cast<std::size_t>(shape[0]) || tracks.size() != poses.tracks.size())) {
    problems.push_back(std::to_string(tracks.size()) + " different tracks for " + std::to_string(shape[0]) + " persons");
  }
  return problems;
}

std::int64_t Windows::moments_at(double time) const {
  if (options_.frames_per_second == 0 || count_ == 0) return 1;
  const double reached = std::floor((time - first_time_) * options_.frames_per_second + 0.5);  // the last moment's number
  // After more than a window none of it is left, however many there were.
  const double most = static_cast<double>(count_) + options_.window;
  return std::max<std::int64_t>(0, static_cast<std::int64_t>(std::min(reached, most)) + 1 - count_);
}

bool Windows::is_drawn(std::int64_t moment) const {
  // The windows that it is in begin at multiples of the stride.
  for (std::int64_t start = moment / options_.stride * options_.stride; start >= 0 && start > moment - options_.window;
       start -= options_.stride) {
    if (drawn_.count(moment - start) != 0) return true;
  }
  return false;
}

std::shared_ptr<Windows::Kept> Windows::keep(const Frame& given) const {
  const Frame frame = completed(given);
  auto kept = std::make_shared<Kept>();
  const View2D view = frames_view(contract_);
  if (!view.compact) {
    const auto [height, width] = view.resizing.size(frame.height, frame.width);
    kept->bytes.resize(std::size_t{3} * static_cast<std::size_t>(height) * static_cast<std::size_t>(width));
    crop_and_resize(frame, {0, 0, frame.width, frame.height}, height, width, kept->bytes.data());
    return kept;
  }
  kept->frame = Frame(frame.format, frame.height, frame.width, {});
  std::size_t size = 0;
  const int planes = layout_of(frame.format).planes;
  for (int plane = 0; plane < planes; ++plane) {
    const PlaneSize needed = plane_size(frame.format, plane, frame.height, frame.width);
    size += needed.rows * needed.row_bytes;
  }
  kept->bytes.reserve(size);
  for (int plane = 0; plane < planes; ++plane) {
    const PlaneSize needed = plane_size(frame.format, plane, frame.height, frame.width);
    const std::uint8_t* row = frame.planes[static_cast<std::size_t>(plane)];
    for (std::size_t i = 0; i < needed.rows; ++i, row += frame.row_bytes[static_cast<std::size_t>(plane)]) {
      kept->bytes.insert(kept->bytes.end(), row, row + needed.row_bytes);
    }
  }
  kept->frame.planes[0] = kept->bytes.data();
  kept->frame = completed(kept->frame);
  return kept;
}

std::vector<Windows::Person> Windows::persons_of(const Poses& poses) const {
  std::vector<Person> persons;
  const auto count = static_cast<std::size_t>(poses.keypoints.data == nullptr ? 0 : poses.keypoints.shape.at(0));
  for (std::size_t i = 0; i < count && takes_keypoints(contract_); ++i) {
    const auto joints = static_cast<std::size_t>(poses.keypoints.shape.at(1));
    const std::size_t values = joints * static_cast<std::size_t>(coordinates_of(contract_));
    const float* keypoints = poses.keypoints.data + values * i;
    Person person;
    person.track = poses.tracks.empty() ? static_cast<std::int64_t>(i) : poses.tracks[i];
    person.keypoints.assign(keypoints, keypoints + values);
    if (poses.scores.data == nullptr) {
      person.scores.assign(joints, 1.0f);
    } else {
      person.scores.assign(poses.scores.data + joints * i, poses.scores.data + joints * (i + 1));
    }
    persons.push_back(std::move(person));
  }
  return persons;
}

void Windows::resize(Kept& kept, std::int64_t whom, const Box& box, int height, int width, std::uint8_t* picture) const {
  if (!frames_view(contract_).compact) {
    std::copy(kept.bytes.begin(), kept.bytes.end(), picture);
    return;
  }
  const std::lock_guard<std::mutex> lock(kept.lock);
  Kept::Resized& last = kept.resized[whom];
  const bool same = !last.picture.empty() && last.box.left == box.left && last.box.top == box.top &&
                    last.box.right == box.right && last.box.bottom == box.bottom;
  if (!same) {
    last.box = box;
    last.picture.resize(std::size_t{3} * static_cast<std::size_t>(height) * static_cast<std::size_t>(width));
    crop_and_resize(kept.frame, box, height, width, last.picture.data());
  }
  std::copy(last.picture.begin(), last.picture.end(), picture);
}

ReadyWindow Windows::window_of(std::optional<std::int64_t> track) const {
  const Clock::time_point begin = Clock::now();
  ReadyWindow window;
  window.track = track;
  window.start = moments_.front().time;
  window.end = moments_.back().time;
  window.number = window_;
  Result<Clips> clips = clips_of(track);
  if (clips) {
    window.clips = *std::move(clips);
    window.nobody = window.clips.nobody;
  } else {
    window.problem = std::move(clips.error());
  }
  window.prepare_ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  return window;
}

// The moments that there are, as a video.
Result<Clips> Windows::clips_of(std::optional<std::int64_t> track) const {
  std::map<std::int64_t, std::size_t> places;  // track -> its place among the persons
  std::size_t joints = static_cast<std::size_t>(std::max(contract_.joints, 1));
  for (const Moment& moment : moments_) {
    for (const Person& person : *moment.persons) {
      if (!track || person.track == *track) places.emplace(person.track, places.size());
      joints = person.scores.size();
    }
  }
  const std::size_t frames = moments_.size();
  const auto coordinates = static_cast<std::size_t>(coordinates_of(contract_));
  std::vector<float> keypoints(places.size() * frames * joints * coordinates), scores(places.size() * frames * joints);
  for (std::size_t frame = 0; frame < frames; ++frame) {
    for (const Person& person : *moments_[frame].persons) {
      const auto place = places.find(person.track);
      if (place == places.end()) continue;
      if (person.scores.size() != joints) return refused("persons of one window have different numbers of joints", "");
      const std::size_t at = (place->second * frames + frame) * joints;
      std::copy(person.keypoints.begin(), person.keypoints.end(), keypoints.begin() + static_cast<std::ptrdiff_t>(coordinates * at));
      std::copy(person.scores.begin(), person.scores.end(), scores.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }
  const auto persons = static_cast<std::int64_t>(places.size()), length = static_cast<std::int64_t>(frames);
  Video video;
  video.frames.resize(frames);
  video.height = height_;
  video.width = width_;
  video.keypoints = {keypoints.data(), {persons, length, static_cast<std::int64_t>(joints), coordinates_of(contract_)}};
  video.keypoint_scores = {scores.data(), {persons, length, static_cast<std::int64_t>(joints)}};
  Preparing preparing = preparing_;
  preparing.picture = [&](std::size_t frame, const Box& box, int height, int width, std::uint8_t* picture) {
    resize(*moments_[frame].kept, track.value_or(kEverybody), box, height, width, picture);
  };
  return prepare_video(video, options_.clips, contract_, preparing);
}

Result<std::vector<ReadyWindow>> Windows::push(const Frame& frame, const Poses& poses, double time) {
  std::vector<std::string> problems = problems_of(frame, poses, time);
  if (!problems.empty()) {
    return Error{ErrorKind::failed, "a frame of the stream cannot be taken", "the stream goes on with the next; where a clock began anew, restart it", std::move(problems)};
  }
  if (last_time_ && options_.largest_gap > 0 && time - *last_time_ > options_.largest_gap) {
    log_("the window begins anew: there was no frame for " + std::to_string(time - *last_time_) + " s");
    restart();
  } else if (last_time_ && (frame.height != height_ || frame.width != width_)) {
    log_("the window begins anew: frames are now of " + std::to_string(frame.width) + " x " + std::to_string(frame.height) + " pixels");
    restart();
  } else if (last_time_ && moments_at(time) > options_.window) {
    log_("the window begins anew: no frame of it is left");
    restart();
  }
  if (count_ == 0) first_time_ = time;
  height_ = frame.height;
  width_ = frame.width;
  last_time_ = time;
  std::vector<ReadyWindow> ready;
  std::shared_ptr<Kept> kept;
  std::shared_ptr<const std::vector<Person>> persons;
  for (std::int64_t left = moments_at(time); left > 0; --left, ++count_) {
    if (persons == nullptr) persons = std::make_shared<std::vector<Person>>(persons_of(poses));
    const bool drawn = is_drawn(count_);
    if (drawn && kept == nullptr) kept = keep(frame);
    const double at = options_.frames_per_second == 0 ? time : first_time_ + static_cast<double>(count_) / options_.frames_per_second;
    moments_.push_back({at, drawn ? kept : nullptr, persons});
    if (moments_.size() > static_cast<std::size_t>(options_.window)) moments_.pop_front();
    const std::int64_t start = count_ + 1 - options_.window;
    if (start < 0 || start % options_.stride != 0) continue;
    std::set<std::optional<std::int64_t>> whom;
    for (const Moment& moment : moments_) {
      for (const Person& person : *moment.persons) whom.insert(person.track);
    }
    if (!options_.each_person) whom = {std::nullopt};
    ++window_;
    for (const std::optional<std::int64_t>& track : whom) ready.push_back(window_of(track));
  }
  return ready;
}

StreamPrediction Labeller::label(const ReadyWindow& window, Result<Prediction> prediction, const Contract& contract) {
  StreamPrediction found;
  found.track = window.track;
  found.start = window.start;
  found.end = window.end;
  if (prediction) {
    found.prediction = *std::move(prediction);
    found.prediction.stages.prepare_ms = window.prepare_ms;
    if (window.nobody) found.prediction.frames_with_persons = 0;
    found.scores = found.prediction.scores;
  } else {
    found.problem = std::move(prediction.error());
  }
  // What was before a gap, or of somebody who has left, does not count.
  for (auto state = states_.begin(); state != states_.end();) {
    state = state->second.window + 1 < window.number ? states_.erase(state) : std::next(state);
  }
  if (found.prediction.frames_with_persons == 0 || found.scores.empty()) {
    found.changed = states_.erase(window.track) != 0;
    return found;
  }
  const auto [place, is_new] = states_.try_emplace(window.track);
  State& state = place->second;
  const auto share = static_cast<float>(is_new ? 0 : options_.smoothing);
  for (std::size_t i = 0; i < found.scores.size(); ++i) {
    if (share > 0) found.scores[i] = share * state.scores.at(i) + (1 - share) * found.scores[i];
  }
  const auto best = static_cast<std::size_t>(std::max_element(found.scores.begin(), found.scores.end()) - found.scores.begin());
  const bool changes = is_new || (best != state.label && static_cast<double>(found.scores[best]) >= static_cast<double>(found.scores.at(state.label)) + options_.hysteresis);
  found.changed = changes;
  if (changes) state.label = best;
  state.scores = found.scores;
  state.window = window.number;
  const std::vector<std::string>& names = contract.labels;
  found.label = Label{static_cast<int>(state.label), found.scores[state.label],
                      state.label < names.size() ? names[state.label] : std::to_string(state.label)};
  return found;
}

Clips joined(std::vector<ReadyWindow>& windows) {
  Clips all;
  for (ReadyWindow& window : windows) {
    Clips one = std::move(window.clips);
    if (window.problem) continue;
    one.nobody = false;  // its labeller knows
    if (all.count() == 0) {
      all = std::move(one);
      continue;
    }
    all.raw += one.raw;
    all.frames.insert(all.frames.end(), one.frames.begin(), one.frames.end());
    std::move(one.persons.begin(), one.persons.end(), std::back_inserter(all.persons));
    all.keypoint.insert(all.keypoint.end(), one.keypoint.begin(), one.keypoint.end());
    if (!all.keypoint_shape.empty()) all.keypoint_shape[0] += one.keypoint_shape.at(0);
    all.imgs.insert(all.imgs.end(), one.imgs.begin(), one.imgs.end());
    all.heatmap_imgs.insert(all.heatmap_imgs.end(), one.heatmap_imgs.begin(), one.heatmap_imgs.end());
    if (!all.imgs_shape.empty()) all.imgs_shape[0] += one.imgs_shape.at(0);
    if (!all.heatmap_imgs_shape.empty()) all.heatmap_imgs_shape[0] += one.heatmap_imgs_shape.at(0);
  }
  return all;
}

}  // namespace x3ddeploy::detail
