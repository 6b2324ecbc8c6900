// Publishes a message, reads the stream until it is delivered, and saves the cursor with which another run goes on:
//
//     LOCKSTEP_CONFIG=… hello [FILE]          FILE is by default hello.cursor

#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>
#include <lockstep.hpp>

namespace {

void trade(const char* path) {
    using namespace std::chrono_literals;
    auto file = lockstep::cursor_file::open(path).value();
    const auto endpoint = lockstep::endpoint::from_env().value();
    const auto start = file.start_or(lockstep::start::from(1)).value();
    auto participant = lockstep::participant::connect(endpoint, start).value();
    const std::uint32_t orders = participant.open("orders").value();
    const std::uint64_t number = participant.publish(orders, "buy 100 at 42").value();
    bool is_delivered = false;
    while (!is_delivered) {
        const auto work = participant.poll(64, [&](const lockstep::event& event) {
            if (event.is(LOCKSTEP_EVENT_KIND_OUTCOME_COMMITTED)) {
                std::cout << "committed at seq " << event->seq << '\n';
            } else if (event.is(LOCKSTEP_EVENT_KIND_MESSAGE)) {
                std::cout << event->seq << ": " << event.payload.text() << '\n';
                is_delivered |= event->publisher == orders && event->publisher_seq == number;
            }
        });
        if (work.value() == 0) participant.wait(10ms).value();
    }
    const lockstep::cursor cursor = *participant.cursor().value();
    file.save(cursor).value();
    std::cout << "resume with " << cursor.text() << '\n';
}

} // namespace

int main(int count, char** arguments) {
    if (!lockstep::is_of_this_version()) {
        std::cerr << "liblockstep_c " << lockstep_version() << " is not of the version of lockstep.hpp\n";
        return 1;
    }
    try {
        trade(count > 1 ? arguments[1] : "hello.cursor");
        return 0;
    } catch (const std::exception& exception) {
        std::cerr << exception.what() << '\n';
        return 1;
    }
}
