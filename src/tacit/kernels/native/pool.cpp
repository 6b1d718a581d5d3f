#include "pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace tacit {
namespace {

struct Job {
    void (*body)(void *, std::size_t, std::size_t);
    void *context;
    std::size_t count, grain;
    std::atomic<std::size_t> next{0};

    void work() {
        for (;;) {
            const std::size_t begin = next.fetch_add(grain, std::memory_order_relaxed);
            if (begin >= count) return;
            body(context, begin, std::min(count, begin + grain));
        }
    }
};

class Pool {
  public:
    explicit Pool(int workers) {
        for (int i = 0; i < workers; ++i) threads_.emplace_back([this] { loop(); });
    }

    ~Pool() {
        {
            std::lock_guard<std::mutex> hold(mutex_);
            stop_ = true;
        }
        wake_.notify_all();
        for (auto &t : threads_) t.join();
    }

    void run(Job &job) {
        {
            std::lock_guard<std::mutex> hold(mutex_);
            job_ = &job;
            ++round_;
        }
        wake_.notify_all();
        job.work();
        // A worker that wakes late finds no job; those inside must leave before the job goes out of scope.
        std::unique_lock<std::mutex> hold(mutex_);
        job_ = nullptr;
        done_.wait(hold, [this] { return active_ == 0; });
    }

  private:
    void loop() {
        std::uint64_t seen = 0;
        std::unique_lock<std::mutex> hold(mutex_);
        for (;;) {
            wake_.wait(hold, [&] { return stop_ || round_ != seen; });
            if (stop_) return;
            seen = round_;
            Job *job = job_;
            if (!job) continue;
            ++active_;
            hold.unlock();
            job->work();
            hold.lock();
            if (--active_ == 0) done_.notify_all();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_, done_;
    std::vector<std::thread> threads_;
    Job *job_ = nullptr;
    std::uint64_t round_ = 0;
    int active_ = 0;
    bool stop_ = false;
};

// All state of the process, rebuilt in a fork's child, where the parent's threads do not exist.
struct State {
    std::mutex busy;  // held while a job runs, or while the pool changes
    Pool *pool = nullptr;
};

alignas(State) unsigned char storage[sizeof(State)];
std::atomic<int> wanted{0};

State &state() { return *std::launder(reinterpret_cast<State *>(storage)); }

// The child leaks the parent's pool on purpose: its threads are gone and its locks may be held.
void reset() { new (storage) State; }

const bool ready = [] {
    reset();
    pthread_atfork(nullptr, nullptr, reset);
    return true;
}();

}  // namespace

int get_threads() {
    const int n = wanted.load();
    return n > 0 ? n : std::max(1, int(std::thread::hardware_concurrency()));
}

void set_threads(int threads) {
    std::lock_guard<std::mutex> hold(state().busy);
    wanted = threads;
    delete state().pool;
    state().pool = nullptr;
}

void parallel_for(std::size_t count, std::size_t grain, void (*body)(void *, std::size_t, std::size_t),
                  void *context) {
    State &s = state();
    std::unique_lock<std::mutex> hold(s.busy, std::defer_lock);
    if (get_threads() == 1 || !hold.try_lock()) {
        for (std::size_t i = 0; i < count; i += grain) body(context, i, std::min(count, i + grain));
        return;
    }
    if (!s.pool) s.pool = new Pool(get_threads() - 1);
    Job job;
    job.body = body;
    job.context = context;
    job.count = count;
    job.grain = grain;
    s.pool->run(job);
}

}  // namespace tacit
