#include <algorithm>
#include <chrono>
#include <cmath>

#include "recognizer_impl.hpp"
#include "stream_impl.hpp"

namespace x3ddeploy {

using detail::guarded;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int kLargestBatch = 1 << 10;
constexpr double kLongestWaitMs = 1e7;

Result<PoolOptions> checked(PoolOptions options, const Contract& contract) {
  const Result<StreamOptions> stream = detail::checked(options.stream, contract);
  if (!stream) return stream.error();
  options.stream = *stream;
  const auto is_time = [](double ms) { return ms >= 0 && ms <= kLongestWaitMs; };
  if (options.batch < 1 || options.batch > kLargestBatch) {
    return Error{ErrorKind::usage, "batch is " + std::to_string(options.batch), "1 computes each window alone", {}};
  }
  if (!is_time(options.wait_ms) || !is_time(options.give_up_ms)) {
    return Error{ErrorKind::usage, "wait_ms and give_up_ms are times from 0 to 10,000,000", "0 waits for nobody", {}};
  }
  if (options.give_up_ms > 0 && options.wait_ms >= options.give_up_ms) {
    return Error{ErrorKind::usage, "a window that is given up after give_up_ms cannot wait for others as long, wait_ms", "a shorter wait_ms", {}};
  }
  return options;
}

Clock::duration of_ms(double ms) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::milli>(ms));
}

}  // namespace

struct Pool::Impl {
  struct Camera {
    Camera(const Recognizer::Impl& recognizer, const StreamOptions& options)
        // Cameras are prepared side by side: each in one thread.
        : windows(recognizer.contract, options, recognizer.preparing(1), recognizer.log), labeller(options) {}

    std::mutex turn;  // of its frames
    detail::Windows windows;
    detail::Labeller labeller;
    bool computing = false;  // its windows are computed one after the other
  };
  struct Waiting {
    std::int64_t number = 0;
    std::shared_ptr<Camera> camera;
    detail::ReadyWindow window;
    Clock::time_point since;
    bool late = false;  // given up
  };

  Impl(std::shared_ptr<Recognizer::Impl> its, const PoolOptions& given, Done its_done)
      : recognizer(std::move(its)),
        options(given),
        done(std::move(its_done)),
        computing{recognizer->contract, given.stream.clips,
                  [impl = recognizer.get()](detail::Clips clips) { return impl->predict(std::move(clips)); }} {
    const int requests = recognizer->backend->requests();
    try {
      while (threads.size() < static_cast<std::size_t>(requests)) threads.emplace_back([this] { work(); });
    } catch (const std::exception&) {  // fewer threads than requests will do
      if (threads.empty()) throw;
    }
  }

  ~Impl() {
    {
      const std::lock_guard<std::mutex> held(lock);
      ending = true;
    }
    changed.notify_all();
    for (std::thread& thread : threads) thread.join();
  }

  std::shared_ptr<Camera> camera(std::int64_t number) {
    const std::lock_guard<std::mutex> held(lock);
    std::shared_ptr<Camera>& found = cameras[number];
    if (found == nullptr) found = std::make_shared<Camera>(*recognizer, options.stream);
    return found;
  }

  Result<int> push(std::int64_t number, const Frame& frame, const Poses& poses, double time) {
    const std::shared_ptr<Camera> from = camera(number);
    const std::lock_guard<std::mutex> turn(from->turn);
    Result<std::vector<detail::ReadyWindow>> ready = from->windows.push(frame, poses, time);
    if (!ready) return ready.error();
    {
      const std::lock_guard<std::mutex> held(lock);
      for (detail::ReadyWindow& window : *ready) waiting.push_back({number, from, std::move(window), Clock::now()});
    }
    if (!ready->empty()) changed.notify_all();
    return static_cast<int>(ready->size());
  }

  // Windows of cameras that are not computed right now, the oldest first; all of a camera's persons at a time go together. What
  // waited too long goes by itself, and so waits for no computation.
  std::vector<Waiting> taken() {
    std::vector<Waiting> batch;
    std::vector<Camera*> skipped;
    const auto give_up = Clock::now() - of_ms(options.give_up_ms);
    for (Waiting& one : waiting) one.late = options.give_up_ms > 0 && one.since < give_up;
    for (auto one = waiting.begin(); one != waiting.end();) {
      Camera* const camera = one->camera.get();
      const bool skip = camera->computing || std::find(skipped.begin(), skipped.end(), camera) != skipped.end() ||
                        (!batch.empty() && one->late != batch.front().late);
      if (skip || batch.size() >= static_cast<std::size_t>(options.batch)) {
        skipped.push_back(camera);
        ++one;
        continue;
      }
      batch.push_back(std::move(*one));
      one = waiting.erase(one);
    }
    for (const Waiting& one : batch) one.camera->computing = true;
    return batch;
  }

  std::size_t computable() const {
    return static_cast<std::size_t>(std::count_if(waiting.begin(), waiting.end(), [](const Waiting& one) { return !one.camera->computing; }));
  }

  void work() {
    std::unique_lock<std::mutex> held(lock);
    for (;;) {
      changed.wait(held, [&] { return computable() > 0 || (ending && waiting.empty()); });
      if (waiting.empty()) return;
      const auto oldest = std::find_if(waiting.begin(), waiting.end(), [](const Waiting& one) { return !one.camera->computing; });
      const bool full = computable() >= static_cast<std::size_t>(options.batch) || ending || finishing > 0;
      if (const Clock::time_point until = oldest->since + of_ms(options.wait_ms); !full && Clock::now() < until) {
        changed.wait_until(held, until);
        continue;
      }
      std::vector<Waiting> batch = taken();
      ++under_way;
      held.unlock();
      compute(batch);
      held.lock();
      --under_way;
      for (const Waiting& one : batch) one.camera->computing = false;
      changed.notify_all();
    }
  }

  void compute(std::vector<Waiting>& batch) noexcept {
    std::vector<detail::ReadyWindow> windows;
    std::vector<detail::Labeller*> labellers;
    const Result<std::vector<StreamPrediction>> found = guarded([&]() -> Result<std::vector<StreamPrediction>> {
      for (Waiting& one : batch) {
        if (one.late && !one.window.problem) {
          one.window.problem = Error{ErrorKind::failed, "the window of camera " + std::to_string(one.number) + " was given up: it waited longer than " +
                                     std::to_string(options.give_up_ms) + " ms", "fewer cameras, a larger stride, or a faster machine", {}};
        }
        windows.push_back(std::move(one.window));
        labellers.push_back(&one.camera->labeller);
      }
      return detail::computed(computing, windows, labellers);
    });
    for (std::size_t i = 0; i < batch.size(); ++i) {
      try {
        done(batch[i].number, found ? Result<StreamPrediction>((*found)[i]) : Result<StreamPrediction>(found.error()));
      } catch (...) {  // the application's own
      }
    }
  }

  std::shared_ptr<Recognizer::Impl> recognizer;
  const PoolOptions options;
  const Done done;
  const detail::Computing computing;
  std::mutex lock;
  std::condition_variable changed;
  std::map<std::int64_t, std::shared_ptr<Camera>> cameras;
  std::deque<Waiting> waiting;
  int under_way = 0;
  int finishing = 0;
  bool ending = false;
  std::vector<std::thread> threads;
};

Pool::Pool(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Pool::Pool(Pool&&) noexcept = default;
Pool& Pool::operator=(Pool&&) noexcept = default;
Pool::~Pool() = default;

Result<Pool> Pool::open(const Recognizer& recognizer, const PoolOptions& given, Done done) {
  return guarded([&]() -> Result<Pool> {
    if (recognizer.impl_ == nullptr) return detail::moved_from("recognizer");
    if (!done) return Error{ErrorKind::usage, "there is nobody to tell what is found", "give a function", {}};
    const Result<PoolOptions> options = checked(given, recognizer.contract());
    if (!options) return options.error();
    return Pool(std::make_unique<Impl>(recognizer.impl_, *options, std::move(done)));
  });
}

Result<int> Pool::push(std::int64_t camera, const Frame& frame, const Poses& poses, double time) {
  return guarded([&]() -> Result<int> {
    if (impl_ == nullptr) return detail::moved_from("pool");
    return impl_->push(camera, frame, poses, time);
  });
}

void Pool::remove(std::int64_t camera) noexcept {
  if (impl_ == nullptr) return;
  const std::lock_guard<std::mutex> held(impl_->lock);
  impl_->cameras.erase(camera);
}

void Pool::finish() noexcept {
  if (impl_ == nullptr) return;
  std::unique_lock<std::mutex> held(impl_->lock);
  ++impl_->finishing;
  impl_->changed.notify_all();
  impl_->changed.wait(held, [&] { return impl_->waiting.empty() && impl_->under_way == 0; });
  --impl_->finishing;
}

}  // namespace x3ddeploy
