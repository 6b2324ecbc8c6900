// `threads MESSAGES [race]`: two threads with a participant each, over one endpoint. tests/foreign/bindings.rs runs it under
// ThreadSanitizer, beside a cluster: what the headers share between threads is seen, and with `race` a variable of both.
#include "check.h"
#include <chrono>
#include <cstdio>
#include <lockstep.hpp>
#include <string>
#include <thread>

namespace {

constexpr auto patience = std::chrono::seconds(60);

/// Publishes so many messages, and reads them back.
void pass(const lockstep::endpoint& endpoint, const std::string& name, std::uint64_t messages) {
    auto participant = lockstep::participant::connect(endpoint, lockstep::start::live()).value();
    participant.begin(patience, [](const lockstep::event&) {}).value();
    const std::uint32_t id = participant.open(name, patience).value();
    std::uint64_t sent = 0, delivered = 0;
    const auto on_event = [&](const lockstep::event& event) {
        if (event.is(LOCKSTEP_EVENT_KIND_MESSAGE) && event->publisher == id) {
            CHECK(event.payload.text() == name);
            delivered++;
        }
    };
    while (delivered < messages) {
        while (sent < messages && participant.publish(id, name)) sent++;
        if (participant.poll(64, on_event).value() == 0) participant.wait(std::chrono::milliseconds(1)).value();
    }
    CHECK(participant.outcomes().value().discarded == 0);
}

} // namespace

int main(int argc, char** argv) {
    CHECK(argc >= 2);
    const std::uint64_t messages = std::stoull(argv[1]);
    int shared = 0;
    const bool is_planted = argc > 2;
    const auto endpoint = lockstep::endpoint::from_env().value();
    const auto work = [&](const char* name) {
        pass(endpoint, name, messages);
        if (is_planted) shared++;
    };
    std::thread one(work, "one"), two(work, "two");
    one.join();
    two.join();
    std::printf("%llu messages of each of two threads\n", static_cast<unsigned long long>(messages));
    return shared == 1 ? 1 : 0;
}
