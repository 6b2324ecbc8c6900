// The loop of `lockstep-bench languages` in C++:
//
//     loop closed WARM_UP_MS MS               prints the nanoseconds of each message, a line each
//     loop apply WARM_UP_MS MS                prints those of an input in the counter of docs/APPLY.md, likewise
//     loop read single|batch WARM_UP_MS MS    prints MESSAGES BYTES NANOSECONDS
#define main run_counter
#include "counter.cpp"
#undef main
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <lockstep.hpp>
#include <string>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr std::size_t message_len = 64;
constexpr std::size_t limit = 256;
constexpr std::size_t batch_limit = 4096;
constexpr std::uint64_t apply_messages = 2'000;
constexpr auto pause = milliseconds(1);
constexpr auto patience = std::chrono::seconds(10);

void run_closed(const lockstep::endpoint& endpoint, milliseconds warm_up, milliseconds time) {
    auto participant = lockstep::participant::connect(endpoint, lockstep::start::live()).value();
    participant.begin(patience, [](const lockstep::event&) {}).value();
    const std::uint32_t id = participant.open("loop", patience).value();
    std::array<std::uint8_t, message_len> message;
    message.fill(0x5a);
    std::vector<std::int64_t> samples;
    samples.reserve(1u << 20);
    const auto began = clock_type::now();
    for (;;) {
        const auto sent = clock_type::now();
        const std::uint64_t number = participant.publish(id, message).value();
        bool is_delivered = false;
        const auto on_event = [&](const lockstep::event& event) {
            if (event.is(LOCKSTEP_EVENT_KIND_MESSAGE))
                is_delivered |= event->publisher == id && event->publisher_seq == number;
        };
        while (!is_delivered) {
            if (participant.poll(limit, on_event).value() == 0) participant.wait(pause).value();
        }
        const auto came = clock_type::now();
        if (came - began >= warm_up + time) break;
        if (came - began >= warm_up) samples.push_back(nanoseconds(came - sent).count());
    }
    for (const std::int64_t ns : samples) std::printf("%lld\n", static_cast<long long>(ns));
}

struct received {
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;

    void add(const lockstep::event& event) {
        if (event.is(LOCKSTEP_EVENT_KIND_MESSAGE)) {
            ++messages;
            bytes += event.payload.size();
        }
    }
};

void run_read(const lockstep::endpoint& endpoint, bool is_batch, milliseconds warm_up, milliseconds time) {
    auto subscriber = lockstep::subscriber::connect(endpoint, lockstep::start::live()).value();
    subscriber.begin(patience, [](const lockstep::event&) {}).value();
    received all, before;
    lockstep::batch batch;
    const auto began = clock_type::now();
    auto from = began, at = began;
    while (at - began < warm_up + time) {
        std::size_t work;
        if (is_batch) {
            work = subscriber.poll_batch(batch_limit, batch).value();
            for (const lockstep::event event : batch) all.add(event);
        } else {
            work = subscriber.poll(limit, [&](const lockstep::event& event) { all.add(event); }).value();
        }
        at = clock_type::now();
        if (from == began && at - began >= warm_up) {
            from = at;
            before = all;
        }
        if (work == 0) subscriber.wait(pause).value();
    }
    std::printf("%llu %llu %lld\n", static_cast<unsigned long long>(all.messages - before.messages),
                static_cast<unsigned long long>(all.bytes - before.bytes),
                static_cast<long long>(nanoseconds(at - from).count()));
}

/// What an input costs in the counter of docs/APPLY.md, without a cluster.
void run_apply(milliseconds warm_up, milliseconds time) {
    const auto began = clock_type::now();
    for (auto at = began; at - began < warm_up + time; at = clock_type::now()) {
        const double cost = lockstep::apply_cost([] { return std::make_unique<counter>(); }, apply_messages).value();
        if (at - began >= warm_up) std::printf("%.0f\n", cost);
    }
}

} // namespace

int main(int count, char** arguments) {
    const std::vector<std::string> words(arguments + 1, arguments + count);
    const bool is_closed = words.size() == 3 && words[0] == "closed";
    const bool is_read = words.size() == 4 && words[0] == "read";
    const bool is_apply = words.size() == 3 && words[0] == "apply";
    if (!is_closed && !is_read && !is_apply) {
        std::cerr << "loop.cpp: loop closed|apply WARM_UP_MS MS, or loop read single|batch WARM_UP_MS MS\n";
        return 2;
    }
    try {
        const milliseconds warm_up(std::stoll(words[words.size() - 2])), time(std::stoll(words.back()));
        if (is_apply) {
            run_apply(warm_up, time);
            return 0;
        }
        const auto endpoint = lockstep::endpoint::from_env().value();
        if (is_closed)
            run_closed(endpoint, warm_up, time);
        else
            run_read(endpoint, words[1] == "batch", warm_up, time);
    } catch (const std::exception& error) {
        std::cerr << "loop.cpp: " << error.what() << "\n";
        return 1;
    }
}
