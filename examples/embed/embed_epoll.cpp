// Wires in a loop of one's own on epoll. Try it:  embed_epoll 7000 &  nc 127.0.0.1 7000
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "echo.hpp"

static void watch(int epoll, int fd) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int main(int argc, char** argv) {
    wire::runtime rt;
    embed::echo_service service(rt, embed::port_in(argc, argv));
    wire::io::reactor reactor(rt);
    wire::io::pollable wires(rt);

    const int timer = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    const auto first = std::chrono::nanoseconds(service.due(1).time_since_epoch()).count();
    const timespec period{.tv_sec = 0, .tv_nsec = std::chrono::nanoseconds(embed::period).count()};
    const itimerspec ticks{
        .it_interval = period,
        .it_value = {.tv_sec = first / 1'000'000'000, .tv_nsec = first % 1'000'000'000}};
    ::timerfd_settime(timer, TFD_TIMER_ABSTIME, &ticks, nullptr);
    const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, wires.fd());
    watch(epoll, timer);

    while (!service.stopped()) {
        epoll_event event{};
        std::uint64_t times = 0;
        if (::epoll_wait(epoll, &event, 1, -1) <= 0) continue;
        if (event.data.fd == wires.fd()) rt.run_once();
        if (event.data.fd == timer && ::read(timer, &times, sizeof times) > 0)
            service.tick(static_cast<long>(times));
    }
}
