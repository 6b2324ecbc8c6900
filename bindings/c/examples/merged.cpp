// Reads the streams of a set in their one order:
//
//     LOCKSTEP_CONFIG=… merged [START [COUNT]]
//
// START is live, beginning, or what an earlier run has printed behind "resume with", by default live. It ends after COUNT
// messages.

#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>
#include <lockstep.hpp>
#include <string>

namespace {

void read(const char* start, std::uint64_t left) {
    using namespace std::chrono_literals;
    auto merged = lockstep::merged_subscriber::connect(nullptr, start).value();
    while (left > 0 && !merged.is_ended().value()) {
        const auto work = merged.poll([&](const lockstep::merged_event& event) {
            if (!event.is(LOCKSTEP_EVENT_KIND_MESSAGE)) return true;
            std::cout << event.place.number << '\t' << merged.stream_name(event.place.stream) << '\t' << event->seq << '\t'
                      << event->publisher << ':' << event->publisher_seq << '\t' << event->destination << '\t'
                      << event.payload.text() << '\n';
            return --left > 0;
        });
        if (work.value() == 0) merged.wait(10ms).value();
    }
    std::cout << "resume with " << merged.cursor().value() << '\n';
}

} // namespace

int main(int count, char** arguments) {
    try {
        read(count > 1 ? arguments[1] : "live", count > 2 ? std::stoull(arguments[2]) : UINT64_MAX);
        return 0;
    } catch (const std::exception& exception) {
        std::cerr << exception.what() << '\n';
        return 1;
    }
}
