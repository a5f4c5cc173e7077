// Fan out, fan in: three workers take jobs from one channel, and the results come back by another.
//
//     ./fan_in_fan_out
//
// Whoever is free takes the next job, so a long one holds up nobody else. Nothing is counted to
// know when it is over: closing a channel ends the loop of those who receive from it, once they
// have taken what is in it.

#include <cstdio>

#include <wire/wire.hpp>

namespace {

constexpr int workers = 3, last_job = 12;

struct answer {
    int job, worker, value;
};

// The square of a number, which takes a while for some.
int square(int job) {
    for (int i = 0; i < 3 * (job % 4); ++i) wire::yield();
    return job * job;
}

void work(int worker, wire::channel<int>& jobs, wire::channel<answer>& answers) {
    for (const int job : jobs)
        if (!answers.send({job, worker, square(job)})) return;
}

int add_squares() {
    wire::channel<int> jobs;           // a job is handed to a worker that is free
    wire::channel<answer> answers(4);  // few workers wait until their answer is read
    int sum = 0;
    const auto outcome = wire::with_scope(wire::never, [&](wire::scope& all) {
        all.go({.name = "source"}, [&] {
            for (int job = 1; job <= last_job; ++job)
                if (!jobs.send(job)) return;
            jobs.close();
        });
        all.go({.name = "workers"}, [&] {
            const auto done = wire::with_scope(wire::never, [&](wire::scope& team) {
                for (int i = 1; i <= workers; ++i)
                    team.go({.name = "worker"}, [&, i] { work(i, jobs, answers); });
            });
            answers.close();  // all of them have ended
            return done;
        });
        for (const answer& a : answers) {
            std::printf("job %d, worker %d: %d\n", a.job, a.worker, a.value);
            sum += a.value;
        }
    });
    constexpr int right = last_job * (last_job + 1) * (2 * last_job + 1) / 6;
    std::printf("the sum is %d: %s\n", sum, sum == right ? "right" : "wrong");
    return outcome && sum == right ? 0 : 1;
}

}  // namespace

int main() {
    const int code = wire::run(add_squares, {.dump_on_quit = true});
    if (std::ferror(stdout) || std::fflush(stdout) != 0) {
        std::fprintf(stderr, "fan_in_fan_out: cannot write to standard output\n");
        return 1;
    }
    return code;
}
