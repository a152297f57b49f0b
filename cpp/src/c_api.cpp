#include "x3ddeploy/x3ddeploy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "guard.hpp"
#include "x3ddeploy/stream.hpp"

using namespace x3ddeploy;
using detail::guarded;

struct x3d_recognizer {
  Recognizer recognizer;
};
struct x3d_stream {
  Stream stream;
};
struct x3d_pool {
  Pool pool;
};

namespace {

std::string& last_error() {
  thread_local std::string text;
  return text;
}

int failed(const Error& error) noexcept {
  try {
    last_error() = error.text();
  } catch (...) {
    last_error().clear();
  }
  return static_cast<int>(error.kind);
}

Error misused(const std::string& what) { return {ErrorKind::usage, what, "see x3ddeploy.h", {}}; }

constexpr std::size_t kLargestStructure = 1 << 12;  // of whatever header: more is a size that nobody set

// A structure of an older or a newer header: what is not known of it is left alone, what it does not have is 0.
template <class T>
Result<T> read(const T* given, const char* name) {
  T known{};
  if (given == nullptr) return known;
  if (given->size < sizeof(std::size_t) || given->size > kLargestStructure || given->size % alignof(T) != 0) {
    return misused(std::string(name) + " has a size of " + std::to_string(given->size) + ", which is not sizeof");
  }
  std::memcpy(&known, given, std::min(given->size, sizeof known));
  return known;
}

std::string text_of(const char* text, const char* usual) { return text == nullptr ? usual : text; }

Result<Options> options_of(const x3d_options* pointer) {
  const Result<x3d_options> given = read(pointer, "options");
  if (!given) return given.error();
  Options options;
  if (given->runtime != nullptr) {
    for (const Runtime known : {Runtime::tensorrt, Runtime::openvino, Runtime::onnxruntime}) {
      if (given->runtime == std::string(name_of(known))) options.runtime = known;
    }
    if (options.runtime == Runtime::automatic) return misused("no runtime named '" + std::string(given->runtime) + "'");
  }
  options.precision = text_of(given->precision, "fp32");
  options.device = text_of(given->device, "");
  options.cache_dir = text_of(given->cache_dir, "");
  options.hint = given->throughput != 0 ? Hint::throughput : Hint::latency;
  options.requests = given->requests;
  options.threads = given->threads;
  options.warm_up = given->warm_up != 0;
  if (given->min_keypoint_score != 0) options.min_keypoint_score = given->min_keypoint_score;
  if (given->log != nullptr) {
    options.log = [log = given->log, user = given->user](const std::string& line) { log(user, line.c_str()); };
  }
  return options;
}

Result<StreamOptions> stream_options_of(const x3d_stream_options* pointer) {
  const Result<x3d_stream_options> given = read(pointer, "options");
  if (!given) return given.error();
  StreamOptions options;
  options.window = given->window;
  options.stride = given->stride;
  if (given->clips != 0) options.clips = given->clips;
  options.each_person = given->each_person != 0;
  options.frames_per_second = given->frames_per_second;
  if (given->largest_gap != 0) options.largest_gap = std::max(given->largest_gap, 0.0);
  options.smoothing = given->smoothing;
  options.hysteresis = given->hysteresis;
  return options;
}

Result<PoolOptions> pool_options_of(const x3d_stream_options* cameras, const x3d_pool_options* pointer) {
  const Result<StreamOptions> stream = stream_options_of(cameras);
  if (!stream) return stream.error();
  const Result<x3d_pool_options> given = read(pointer, "options");
  if (!given) return given.error();
  PoolOptions options;
  options.stream = *stream;
  if (given->batch != 0) options.batch = given->batch;
  if (given->wait_ms != 0) options.wait_ms = std::max(given->wait_ms, 0.0);
  options.give_up_ms = given->give_up_ms;
  return options;
}

Result<Frame> frame_of(const x3d_frame* pointer) {
  const Result<x3d_frame> given = read(pointer, "a frame");
  if (!given) return given.error();
  return Frame(static_cast<PixelFormat>(given->format), given->height, given->width,
               {given->planes[0], given->planes[1], given->planes[2]},
               {given->row_bytes[0], given->row_bytes[1], given->row_bytes[2]});
}

std::int64_t coordinates_of(int given) { return given == 0 ? 2 : given; }

Result<Poses> poses_of(const x3d_poses* pointer) {
  const Result<x3d_poses> given = read(pointer, "poses");
  if (!given) return given.error();
  Poses poses;
  if (given->persons < 0 || given->persons > 1 << 16) return misused(std::to_string(given->persons) + " persons");
  poses.keypoints = {given->keypoints, {given->persons, given->joints, coordinates_of(given->coordinates)}};
  if (given->persons == 0) poses.keypoints = {};
  if (given->scores != nullptr && given->persons > 0) poses.scores = {given->scores, {given->persons, given->joints}};
  if (reinterpret_cast<std::uintptr_t>(given->tracks) % alignof(std::int64_t) != 0) return misused("tracks do not lie at a multiple of 8 bytes");
  if (given->tracks != nullptr) poses.tracks.assign(given->tracks, given->tracks + given->persons);
  return poses;
}

Result<Video> video_of(const x3d_video* pointer) {
  const Result<x3d_video> given = read(pointer, "the video");
  if (!given) return given.error();
  Video video;
  if (given->frame_count > 0 && given->frames == nullptr) return misused("frames is NULL");
  if (given->frame_count > std::size_t{1} << 26) return misused(std::to_string(given->frame_count) + " frames");
  const auto* at = reinterpret_cast<const char*>(given->frames);
  for (std::size_t i = 0; i < given->frame_count; ++i) {
    const auto* one = reinterpret_cast<const x3d_frame*>(at);
    const Result<Frame> frame = frame_of(one);
    if (!frame) return frame.error();
    if (one->size != given->frames->size) return misused("frame " + std::to_string(i) + " has another size than the first");
    video.frames.push_back(*frame);
    at += given->frames->size;  // frames of another version lie closer, or farther
  }
  video.height = given->height;
  video.width = given->width;
  video.keypoints_height = given->keypoints_height;
  video.keypoints_width = given->keypoints_width;
  if (given->keypoints == nullptr && given->persons == 0 && given->pose_frames == 0) return video;
  video.keypoints = {given->keypoints, {given->persons, given->pose_frames, given->joints, coordinates_of(given->coordinates)}};
  if (given->scores != nullptr || given->persons == 0) {
    video.keypoint_scores = {given->scores, {given->persons, given->pose_frames, given->joints}};
  }
  return video;
}

void tell(x3d_found_fn found, void* user, std::int64_t camera, const StreamPrediction& one) {
  const std::string problem = one.problem ? one.problem->text() : "";
  x3d_found told{};
  told.size = sizeof told;
  told.has_track = one.track ? 1 : 0;
  told.track = one.track.value_or(0);
  told.start = one.start;
  told.end = one.end;
  told.label = one.label ? one.label->index : -1;
  told.name = one.label ? one.label->name.c_str() : nullptr;
  told.score = one.label ? one.label->score : 0;
  told.changed = one.changed ? 1 : 0;
  told.scores = one.scores.data();
  told.classes = one.scores.size();
  told.problem = one.problem ? problem.c_str() : nullptr;
  found(user, camera, &told);
}

// 0, or the code of what went wrong.
template <class F>
int called(const F& work) noexcept {
  const Result<int> result = guarded(work);
  return result ? *result : failed(result.error());
}

// What was made, or nullptr.
template <class F>
auto made(const F& work) noexcept -> typename std::decay_t<decltype(*work())> {
  const auto result = guarded(work);
  if (result) return *result;
  failed(result.error());
  return nullptr;
}

#define X3DDEPLOY_TEXT(major, minor, patch) #major "." #minor "." #patch
#define X3DDEPLOY_TEXT_OF(major, minor, patch) X3DDEPLOY_TEXT(major, minor, patch)

}  // namespace

namespace x3ddeploy {

const char* version() noexcept {
  return X3DDEPLOY_TEXT_OF(X3DDEPLOY_VERSION_MAJOR, X3DDEPLOY_VERSION_MINOR, X3DDEPLOY_VERSION_PATCH);
}

}  // namespace x3ddeploy

const char* x3d_version(void) { return x3ddeploy::version(); }

const char* x3d_error(void) { return last_error().c_str(); }

x3d_recognizer* x3d_open(const char* bundle, const x3d_options* given) {
  return made([&]() -> Result<x3d_recognizer*> {
    if (bundle == nullptr) return misused("the bundle's path is NULL");
    const Result<Options> options = options_of(given);
    if (!options) return options.error();
    Result<Recognizer> recognizer = Recognizer::open(bundle, *options);
    if (!recognizer) return recognizer.error();
    return new x3d_recognizer{*std::move(recognizer)};
  });
}

void x3d_close(x3d_recognizer* recognizer) { delete recognizer; }

const char* x3d_runtime(const x3d_recognizer* recognizer) {
  return recognizer == nullptr ? "" : recognizer->recognizer.runtime().c_str();
}

const char* x3d_note(const x3d_recognizer* recognizer, std::size_t index) {
  if (recognizer == nullptr || index >= recognizer->recognizer.notes().size()) return nullptr;
  return recognizer->recognizer.notes()[index].c_str();
}

std::size_t x3d_classes(const x3d_recognizer* recognizer) {
  return recognizer == nullptr ? 0 : static_cast<std::size_t>(recognizer->recognizer.contract().classes);
}

const char* x3d_label(const x3d_recognizer* recognizer, std::size_t index) {
  if (recognizer == nullptr || index >= recognizer->recognizer.contract().labels.size()) return nullptr;
  return recognizer->recognizer.contract().labels[index].c_str();
}

int x3d_predict(x3d_recognizer* recognizer, const x3d_video* given, int clips, float* scores, std::size_t capacity,
                int* frames_with_persons) {
  return called([&]() -> Result<int> {
    if (recognizer == nullptr || scores == nullptr) return misused("the recognizer or the scores are NULL");
    const Result<Video> video = video_of(given);
    if (!video) return video.error();
    const Result<Prediction> prediction = recognizer->recognizer.predict(*video, clips);
    if (!prediction) return prediction.error();
    if (prediction->scores.size() > capacity) {
      return misused(std::to_string(prediction->scores.size()) + " scores, and room for " + std::to_string(capacity));
    }
    std::copy(prediction->scores.begin(), prediction->scores.end(), scores);
    if (frames_with_persons != nullptr) *frames_with_persons = prediction->frames_with_persons.value_or(-1);
    return 0;
  });
}

x3d_stream* x3d_stream_open(const x3d_recognizer* recognizer, const x3d_stream_options* given) {
  return made([&]() -> Result<x3d_stream*> {
    if (recognizer == nullptr) return misused("the recognizer is NULL");
    const Result<StreamOptions> options = stream_options_of(given);
    if (!options) return options.error();
    Result<Stream> stream = Stream::open(recognizer->recognizer, *options);
    if (!stream) return stream.error();
    return new x3d_stream{*std::move(stream)};
  });
}

int x3d_stream_push(x3d_stream* stream, const x3d_frame* given_frame, const x3d_poses* given_poses, double time,
                    x3d_found_fn found, void* user) {
  return called([&]() -> Result<int> {
    if (stream == nullptr || given_frame == nullptr || found == nullptr) return misused("the stream, the frame or the function is NULL");
    const Result<Frame> frame = frame_of(given_frame);
    if (!frame) return frame.error();
    const Result<Poses> poses = poses_of(given_poses);
    if (!poses) return poses.error();
    const Result<std::vector<StreamPrediction>> all = stream->stream.push(*frame, *poses, time);
    if (!all) return all.error();
    for (const StreamPrediction& one : *all) tell(found, user, 0, one);
    return 0;
  });
}

void x3d_stream_restart(x3d_stream* stream) {
  if (stream != nullptr) stream->stream.restart();
}

void x3d_stream_close(x3d_stream* stream) { delete stream; }

x3d_pool* x3d_pool_open(const x3d_recognizer* recognizer, const x3d_stream_options* cameras, const x3d_pool_options* given,
                        x3d_found_fn found, void* user) {
  return made([&]() -> Result<x3d_pool*> {
    if (recognizer == nullptr || found == nullptr) return misused("the recognizer or the function is NULL");
    const Result<PoolOptions> options = pool_options_of(cameras, given);
    if (!options) return options.error();
    Result<Pool> pool = Pool::open(recognizer->recognizer, *options, [=](std::int64_t camera, const Result<StreamPrediction>& one) {
      if (one) return tell(found, user, camera, *one);
      StreamPrediction failure;
      failure.problem = one.error();
      tell(found, user, camera, failure);
    });
    if (!pool) return pool.error();
    return new x3d_pool{*std::move(pool)};
  });
}

int x3d_pool_push(x3d_pool* pool, std::int64_t camera, const x3d_frame* given_frame, const x3d_poses* given_poses, double time) {
  return called([&]() -> Result<int> {
    if (pool == nullptr || given_frame == nullptr) return misused("the pool or the frame is NULL");
    const Result<Frame> frame = frame_of(given_frame);
    if (!frame) return frame.error();
    const Result<Poses> poses = poses_of(given_poses);
    if (!poses) return poses.error();
    const Result<int> ready = pool->pool.push(camera, *frame, *poses, time);
    if (!ready) return ready.error();
    return 0;
  });
}

void x3d_pool_remove(x3d_pool* pool, std::int64_t camera) {
  if (pool != nullptr) pool->pool.remove(camera);
}

void x3d_pool_finish(x3d_pool* pool) {
  if (pool != nullptr) pool->pool.finish();
}

void x3d_pool_close(x3d_pool* pool) { delete pool; }
