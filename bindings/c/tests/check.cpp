// Holds the promises of lockstep.hpp; tests/foreign/bindings.rs runs it, under AddressSanitizer.
//
//     check refusals                what is wrong is a failure with its code and a text; needs no cluster
//     check load NAME TAKEOVERS     publishes until so many were seen, and reads it back: each message has one
//                                   outcome, in order; handles that were moved from or closed are refused
//     check stamped NAME TAKEOVERS  the same by a `stamped` subscription in batches: what is retracted is delivered anew
//     check full NAME               backpressure is a failure without a text, and ends
//     check flat NAME MESSAGES      passes so many messages twice; the second time nothing more is allocated
#include "check.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <lockstep.hpp>
#include <utility>
#include <vector>

/// Of AddressSanitizer: the bytes that are allocated now.
extern "C" __attribute__((weak)) std::size_t __sanitizer_get_current_allocated_bytes(void);

namespace {

/// Without it, under valgrind, memory is looked at from outside.
std::size_t allocated() {
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0;
}

constexpr auto patience = std::chrono::seconds(10);
constexpr auto pause = std::chrono::milliseconds(1);

template <class T>
bool is_refused(const lockstep::result<T>& result, lockstep_status status, const char* words) {
    return !result && result.status() == status && std::strstr(result.error().what(), words) != nullptr;
}

void refusals() {
    const auto nowhere = lockstep::endpoint::from_file("/nowhere/lockstep.toml");
    CHECK(is_refused(nowhere, LOCKSTEP_STATUS_CONFIG, "/nowhere/lockstep.toml"));
    bool is_thrown = false;
    try {
        (void)nowhere.value();
    } catch (const lockstep::exception& error) {
        is_thrown = error.status() == LOCKSTEP_STATUS_CONFIG && std::strstr(error.what(), "/nowhere/") != nullptr;
    }
    CHECK(is_thrown);
    CHECK(is_refused(lockstep::cursor::parse("here"), LOCKSTEP_STATUS_ARGUMENT, "'here' is no cursor"));
    const auto cursor = lockstep::cursor::parse("1f:7:2a").value();
    CHECK(cursor.history == 0x1f && cursor.seq == 7 && cursor.chain == 0x2a);
    CHECK(lockstep::cursor::parse(cursor.text()).value().text() == cursor.text());
    lockstep::publisher none;
    CHECK(is_refused(none.publish(1, "x"), LOCKSTEP_STATUS_CLOSED_HANDLE, "closed"));
}

/// A participant that publishes numbers and expects each once, in order.
class load {
public:
    load(const lockstep::endpoint& endpoint, const char* name)
        : participant(lockstep::participant::connect(endpoint, lockstep::start::live()).value()) {
        const auto handler = [this](const lockstep::event& event) { on_event(event); };
        participant.begin(patience, handler).value();
        id = participant.open(name, patience, handler).value();
    }

    /// Publishes the next number, copied or written in place; whether the window had room.
    bool publish_next() {
        std::uint64_t number = 0;
        if (next % 2 == 0) {
            const auto bytes = reinterpret_cast<const std::uint8_t*>(&next);
            const auto published = participant.publish(id, lockstep::bytes(bytes, sizeof next));
            if (is_full(published)) return false;
            number = published.value();
        } else {
            const auto claimed = participant.claim(id, sizeof next);
            if (is_full(claimed)) return false;
            std::memcpy(claimed.value().data, &next, sizeof next);
            number = claimed.value().number;
        }
        CHECK(number == next);
        next++;
        return true;
    }

    /// One turn, by events or by a batch.
    void turn(bool is_batch = false) {
        std::size_t work = 0;
        if (is_batch) {
            work = participant.poll_batch(256, batch).value();
            for (const lockstep::event event : batch) on_event(event);
        } else {
            work = participant.poll(256, [this](const lockstep::event& event) { on_event(event); }).value();
        }
        if (work == 0) participant.wait(pause).value();
    }

    bool is_done() const { return committed_next == next && delivered_next == next; }

    void pass(std::uint64_t messages) {
        const std::uint64_t end = next + messages;
        for (std::uint64_t turns = 0; next < end || !is_done(); turns++) {
            for (int count = 0; count < 256 && next < end && publish_next();) count++;
            turn(turns % 2 == 0);
        }
    }

    lockstep::participant participant;
    std::uint32_t id = 0;
    std::uint64_t next = 1, committed_next = 1, delivered_next = 1, last_seq = 0, epochs = 0;

private:
    template <class T>
    static bool is_full(const lockstep::result<T>& result) {
        return result.status() == LOCKSTEP_STATUS_BACKPRESSURE;
    }

    void on_event(const lockstep::event& event) {
        if (event.is(LOCKSTEP_EVENT_KIND_EPOCH)) epochs++;
        if (event.is(LOCKSTEP_EVENT_KIND_OUTCOME_COMMITTED) && event->publisher == id) {
            CHECK(event->publisher_seq == committed_next);
            committed_next++;
        } else if (event.is(LOCKSTEP_EVENT_KIND_MESSAGE)) {
            CHECK(event->seq > last_seq);
            last_seq = event->seq;
            if (event->publisher != id) return;
            std::uint64_t content = 0;
            CHECK(event.payload.size() == sizeof content);
            std::memcpy(&content, event.payload.data(), sizeof content);
            CHECK(event->publisher_seq == delivered_next && content == delivered_next);
            delivered_next++;
        }
        CHECK(!event.is(LOCKSTEP_EVENT_KIND_OUTCOMES_UNKNOWN) && !event.is(LOCKSTEP_EVENT_KIND_ABANDONED));
        CHECK(!event.is(LOCKSTEP_EVENT_KIND_REFUSED) && !event.is(LOCKSTEP_EVENT_KIND_DIVERGED));
    }

    lockstep::batch batch;
};

/// An exception of a callback passes through the poll; the next poll begins behind its event.
void throws_and_goes_on(load& load) {
    const std::uint64_t end = load.next + 10;
    while (load.next < end) CHECK(load.publish_next());
    std::uint64_t messages = 0;
    int thrown = 0;
    while (messages < 10) {
        try {
            load.participant
                .poll(256,
                      [&](const lockstep::event& event) {
                          if (event.is(LOCKSTEP_EVENT_KIND_MESSAGE)) {
                              messages++;
                              throw messages;
                          }
                      })
                .value();
        } catch (std::uint64_t number) {
            CHECK(number == messages);
            thrown++;
        }
    }
    CHECK(thrown == 10);
}

/// Arguments that are left out: a subscription begins live.
void defaults(const lockstep::endpoint& endpoint, const std::string& name) {
    auto subscriber = lockstep::subscriber::connect(endpoint).value();
    subscriber.begin().value();
    CHECK(subscriber.deliver_next().value() > 1);
    auto publisher = lockstep::publisher::connect(endpoint).value();
    const std::uint32_t id = publisher.open(name).value();
    const std::uint64_t number = publisher.publish(id, "behind the beginning").value();
    publisher.flush().value();
    bool is_delivered = false;
    const auto look = [&](const lockstep::event& event) {
        if (!event.is(LOCKSTEP_EVENT_KIND_MESSAGE) || event->publisher != id) return;
        CHECK(event->publisher_seq == number);
        is_delivered = true;
    };
    lockstep::batch batch;
    while (!is_delivered) {
        publisher.poll([](const lockstep::event&) {}).value();
        subscriber.poll_batch(batch).value();
        for (const lockstep::event event : batch) look(event);
        subscriber.poll(look).value();
    }
}

void run_load(const lockstep::endpoint& endpoint, const char* name, std::uint64_t takeovers) {
    load load(endpoint, name);
    const std::vector<std::uint8_t> long_message(load.participant.message_len_max().value() + 1);
    CHECK(is_refused(load.participant.publish(load.id, long_message), LOCKSTEP_STATUS_TOO_LONG, ""));
    CHECK(is_refused(load.participant.publish(load.id + 1, "x"), LOCKSTEP_STATUS_NOT_OPEN, ""));
    CHECK(is_refused(lockstep::subscriber::connect(endpoint, lockstep::start::from(0)), LOCKSTEP_STATUS_ARGUMENT,
                     "seq 0"));
    while (load.epochs < takeovers || !load.is_done()) {
        for (int count = 0; count < 64 && load.epochs < takeovers && load.publish_next();) count++;
        load.turn();
    }
    CHECK(load.participant.is_drained().value() == 1 && load.participant.is_ended().value() == 0);
    CHECK(load.participant.cursor().value()->seq == load.participant.deliver_next().value());
    throws_and_goes_on(load);
    defaults(endpoint, std::string(name) + "-defaults");
    lockstep::participant moved = std::move(load.participant);
    CHECK(is_refused(load.participant.flush(), LOCKSTEP_STATUS_CLOSED_HANDLE, "closed")); // NOLINT: on purpose
    CHECK(moved.flush());
    moved.close();
    lockstep::batch nothing;
    CHECK(is_refused(moved.poll_batch(1, nothing), LOCKSTEP_STATUS_CLOSED_HANDLE, "closed"));
    std::printf("%llu messages, each with one outcome, %llu takeovers\n",
                static_cast<unsigned long long>(load.next - 1), static_cast<unsigned long long>(load.epochs));
}

void stamped(const lockstep::endpoint& endpoint, const char* name, std::uint64_t takeovers) {
    struct delivered {
        std::uint64_t seq, number;
    };
    std::vector<delivered> stack; // a retract takes back its end
    std::uint64_t retracts = 0, epochs = 0, next = 1;
    const auto last = [&stack] { return stack.empty() ? 0 : stack.back().number; };
    auto subscriber =
        lockstep::subscriber::connect(endpoint, lockstep::start::from(1), LOCKSTEP_DELIVERY_STAMPED).value();
    auto publisher = lockstep::publisher::connect(endpoint).value();
    const std::uint32_t id = publisher.open(name, patience).value();
    lockstep::batch batch;
    while (epochs < takeovers || last() + 1 < next || publisher.is_drained().value() != 1) {
        for (int count = 0; count < 16 && epochs < takeovers; count++) {
            const auto bytes = reinterpret_cast<const std::uint8_t*>(&next);
            const auto published = publisher.publish(id, lockstep::bytes(bytes, sizeof next));
            if (published.status() == LOCKSTEP_STATUS_BACKPRESSURE) break;
            CHECK(published.value() == next);
            next++;
        }
        publisher.poll_batch(64, batch).value();
        const std::size_t work = subscriber.poll_batch(256, batch).value();
        for (const lockstep::event event : batch) {
            if (event.is(LOCKSTEP_EVENT_KIND_EPOCH)) {
                epochs++;
            } else if (event.is(LOCKSTEP_EVENT_KIND_RETRACT)) {
                retracts++;
                while (!stack.empty() && stack.back().seq >= event->seq) stack.pop_back();
            } else if (event.is(LOCKSTEP_EVENT_KIND_MESSAGE) && event->publisher == id) {
                std::uint64_t number = 0;
                CHECK(event.payload.size() == sizeof number);
                std::memcpy(&number, event.payload.data(), sizeof number);
                CHECK(number == event->publisher_seq && number == last() + 1);
                CHECK(stack.empty() || event->seq > stack.back().seq);
                stack.push_back({event->seq, number});
            }
        }
        if (work == 0) publisher.wait(pause).value();
    }
    CHECK(stack.size() + 1 == next);
    std::printf("%llu messages, %llu retracts, %llu takeovers\n", static_cast<unsigned long long>(next - 1),
                static_cast<unsigned long long>(retracts), static_cast<unsigned long long>(epochs));
}

void full(const lockstep::endpoint& endpoint, const char* name) {
    load load(endpoint, name);
    while (load.publish_next()) {}
    const auto refused = load.participant.publish(load.id, "x");
    CHECK(is_refused(refused, LOCKSTEP_STATUS_BACKPRESSURE, "the window is full"));
    CHECK(load.participant.is_drained().value() == 0);
    while (!load.is_done()) load.turn();
    load.pass(1);
    std::printf("full with %llu messages\n", static_cast<unsigned long long>(load.next - 2));
}

void flat(const lockstep::endpoint& endpoint, const char* name, std::uint64_t messages) {
    load load(endpoint, name);
    load.pass(messages);
    const std::size_t before = allocated();
    load.pass(messages);
    const std::size_t after = allocated();
    std::printf("%llu messages, then as many: %zu bytes allocated, then %zu\n",
                static_cast<unsigned long long>(messages), before, after);
    CHECK(after <= before + 4096);
}

/// Answers in the callback that delivers; the last one closes its own handle there.
void callbacks(const lockstep::endpoint& endpoint, const char* name) {
    load load(endpoint, name);
    CHECK(load.participant.publish(load.id, "ask").value() > 0);
    bool is_closed = false;
    while (!is_closed) {
        const auto polled = load.participant.poll(64, [&](const lockstep::event& event) {
            if (!event.is(LOCKSTEP_EVENT_KIND_MESSAGE) || is_closed) return;
            const auto nested = load.participant.poll(64, [](const lockstep::event&) {});
            CHECK(is_refused(nested, LOCKSTEP_STATUS_IN_USE, "a callback calls back"));
            CHECK(load.participant.publish(load.id, "answer").value() > 0);
            CHECK(load.participant.flush().value() == 0);
            load.participant.close();
            is_closed = true;
        });
        CHECK(polled.has_value());
    }
    CHECK(is_refused(load.participant.publish(load.id, "x"), LOCKSTEP_STATUS_CLOSED_HANDLE, "closed"));
    std::printf("1 answers in callbacks\n");
}

void outcomes(const lockstep::endpoint& endpoint, const char* name) {
    auto first = lockstep::publisher::connect(endpoint).value();
    auto second = lockstep::publisher::connect(endpoint).value();
    const auto patience = std::chrono::seconds(60);
    const auto nobody = [](const lockstep::event&) {};
    const std::uint32_t id = first.open(name, patience).value();
    CHECK(is_refused(first.publish_at(id, 100, "x"), LOCKSTEP_STATUS_AHEAD_OF_NUMBER, "1 is the next one"));
    CHECK(first.publish(id, "in").value() == 1);
    CHECK(first.drain(patience, nobody).value().committed == 1);
    CHECK(second.open(name, patience).value() == id);
    CHECK(first.publish(id, "late").value() == 2);
    const auto late = first.drain(patience, nobody).value();
    CHECK(late.committed == 1 && late.fenced == 1 && late.open == 0 && first.is_drained().value());
}

} // namespace

int main(int count, char** arguments) {
    CHECK(lockstep::is_of_this_version());
    CHECK(count >= 2);
    const std::string what = arguments[1];
    if (what == "refusals") {
        refusals();
        return 0;
    }
    CHECK(count >= 3);
    const auto endpoint = lockstep::endpoint::from_env().value();
    CHECK(endpoint.cluster() != 0);
    const std::uint64_t number = count > 3 ? std::strtoull(arguments[3], nullptr, 10) : 0;
    if (what == "load") run_load(endpoint, arguments[2], number);
    if (what == "stamped") stamped(endpoint, arguments[2], number);
    if (what == "full") full(endpoint, arguments[2]);
    if (what == "callbacks") callbacks(endpoint, arguments[2]);
    if (what == "outcomes") outcomes(endpoint, arguments[2]);
    if (what == "flat") flat(endpoint, arguments[2], number);
    return 0;
}
