// Requests that are taken and given back, and threads that do what is submitted.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace x3ddeploy::detail {

// Numbers under `count`, each held by one at a time.
class Slots {
 public:
  explicit Slots(int count) {
    for (int slot = count; slot > 0; --slot) free_.push_back(slot - 1);
  }

  // Waits for one that is free, and gives it back when it ends.
  class Held {
   public:
    explicit Held(Slots& slots) : slots_(slots) {
      std::unique_lock<std::mutex> lock(slots.lock_);
      slots.returned_.wait(lock, [&] { return !slots.free_.empty(); });
      number_ = slots.free_.back();
      slots.free_.pop_back();
    }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() {
      {
        const std::lock_guard<std::mutex> lock(slots_.lock_);
        slots_.free_.push_back(number_);  // has room: it stood there before
      }
      slots_.returned_.notify_one();
    }
    int number() const { return number_; }

   private:
    Slots& slots_;
    int number_ = 0;
  };

 private:
  std::mutex lock_;
  std::condition_variable returned_;
  std::vector<int> free_;
};

// Tasks, which do not throw, in the order in which they come. What was submitted is done before the workers end.
class Workers {
 public:
  explicit Workers(std::size_t count) : count_(count) {}
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  ~Workers() {
    {
      const std::lock_guard<std::mutex> lock(lock_);
      ending_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // Threads are made as they are needed. Throws where there is no memory, or not one thread to be had.
  void submit(std::function<void()> task) {
    {
      const std::lock_guard<std::mutex> lock(lock_);
      if (idle_ <= tasks_.size() && threads_.size() < count_) {
        try {
          threads_.emplace_back([this] { work(); });
        } catch (const std::exception&) {
          if (threads_.empty()) throw;
        }
      }
      tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
  }

  // Waits until all that was submitted is done.
  void finish() {
    std::unique_lock<std::mutex> lock(lock_);
    done_.wait(lock, [&] { return tasks_.empty() && busy_ == 0; });
  }

 private:
  void work() {
    std::unique_lock<std::mutex> lock(lock_);
    for (;;) {
      ++idle_;
      changed_.wait(lock, [&] { return ending_ || !tasks_.empty(); });
      --idle_;
      if (tasks_.empty()) return;
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      ++busy_;
      lock.unlock();
      task();
      lock.lock();
      --busy_;
      done_.notify_all();
    }
  }

  std::size_t count_;
  std::mutex lock_;
  std::condition_variable changed_;
  std::condition_variable done_;
  std::deque<std::function<void()>> tasks_;
  std::size_t idle_ = 0;
  std::size_t busy_ = 0;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace x3ddeploy::detail
