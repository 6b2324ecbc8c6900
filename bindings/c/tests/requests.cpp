// Makes requests beside an application that answers each to its publisher, `answer to NUMBER`, and then `more`; it answers
// `later` when the next request comes. tests/foreign/bindings/c.rs runs it, under AddressSanitizer.
//
//     requests load NAME TAKEOVERS   until so many were seen: each request has its answer, and each event is delivered once
//     requests late NAME             one request is not answered in its time; an exception passes through another
#include "check.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <lockstep.hpp>
#include <memory>

namespace {

constexpr auto patience = std::chrono::seconds(60);
/// Messages of one request: it, its answer, and one more.
constexpr std::uint64_t messages_of_one = 3;

/// A place that can be moved alone: an answer may be of any type.
using place = std::unique_ptr<std::uint64_t>;

class asker {
public:
    asker(const lockstep::endpoint& endpoint, const char* name)
        : participant(lockstep::participant::connect(endpoint, lockstep::start::live()).value()) {
        const auto handler = [this](const lockstep::event& event) { on_event(event); };
        participant.begin(patience, handler).value();
        id = participant.open(name, patience, handler).value();
    }

    lockstep::result<place> request(const char* text, std::chrono::nanoseconds timeout) {
        return participant.request(id, text, timeout, [this](const lockstep::event& event, std::uint64_t number) {
            on_event(event);
            const bool is_answer = event.is(LOCKSTEP_EVENT_KIND_MESSAGE) && event->destination == id &&
                                   event.payload.text() == "answer to " + std::to_string(number);
            return is_answer ? std::optional<place>(std::make_unique<std::uint64_t>(event->seq)) : std::nullopt;
        });
    }

    void answered() {
        const place seq = request("ask", patience).value();
        CHECK(*seq == last_seq);
    }

    void load(std::uint64_t takeovers) {
        std::uint64_t requests = 0;
        for (; epochs < takeovers || requests < 20; requests++) answered();
        while (!participant.is_drained().value() || messages < messages_of_one * requests) {
            participant.wait(std::chrono::milliseconds(1)).value();
            participant.poll(64, [this](const lockstep::event& event) { on_event(event); }).value();
        }
        CHECK(messages == messages_of_one * requests && committed == requests);
        std::printf("%llu requests, each with its answer, %llu takeovers\n", static_cast<unsigned long long>(requests),
                    static_cast<unsigned long long>(epochs));
    }

    void late() {
        const auto refused = request("later", std::chrono::milliseconds(200));
        CHECK(refused.status() == LOCKSTEP_STATUS_TIMED_OUT);
        CHECK(std::strstr(refused.error().what(), "request 1 has no answer within 200ms") != nullptr);
        CHECK(std::strstr(refused.error().what(), "may be answered later") != nullptr);
        CHECK(messages == 1 && committed == 1);
        answered();
        CHECK(messages == 5); // both requests, the late answer with its companion, and the answer
        bool is_thrown = false;
        try {
            (void)participant.request(id, "ask", patience, [](const lockstep::event&, std::uint64_t) -> std::optional<int> {
                throw 7;
            });
        } catch (int number) {
            is_thrown = number == 7;
        }
        CHECK(is_thrown);
        CHECK(request("ask", patience).has_value());
        const auto committed = participant.request(id, "ask", [](const lockstep::event& event, std::uint64_t number) {
            const bool is_it = event.is(LOCKSTEP_EVENT_KIND_OUTCOME_COMMITTED) && event->publisher_seq == number;
            return is_it ? std::optional<std::uint64_t>(number) : std::nullopt;
        });
        CHECK(committed.value() > 0);
        std::printf("answered later\n");
    }

private:
    void on_event(const lockstep::event& event) {
        if (event.is(LOCKSTEP_EVENT_KIND_EPOCH)) epochs++;
        if (event.is(LOCKSTEP_EVENT_KIND_OUTCOME_COMMITTED)) {
            committed++;
        } else if (event.is(LOCKSTEP_EVENT_KIND_MESSAGE)) {
            CHECK(event->seq > last_seq);
            last_seq = event->seq;
            messages++;
        }
    }

    lockstep::participant participant;
    std::uint32_t id = 0;
    std::uint64_t messages = 0, committed = 0, epochs = 0, last_seq = 0;
};

} // namespace

int main(int count, char** arguments) {
    CHECK(count >= 3);
    const std::string what = arguments[1];
    asker asker(lockstep::endpoint::from_env().value(), arguments[2]);
    if (what == "load" && count == 4) asker.load(std::strtoull(arguments[3], nullptr, 10));
    if (what == "late") asker.late();
    return 0;
}
