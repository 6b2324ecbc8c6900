// Commits each misuse of docs/BINDINGS.md that C++ can express, beside a cluster, and prints its name and the name of the
// status that answers it: `fork<TAB>OTHER_PROCESS`. tests/foreign/bindings/misuses.rs compares them with the table.
//
//     misuses NAME         NAME is a publisher's name that nobody else opens
#include "check.h"
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <lockstep.hpp>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

constexpr auto patience = std::chrono::seconds(10);
constexpr auto pause = std::chrono::milliseconds(1);
constexpr std::uint32_t nobody = 12345;

void answer(const char* misuse, const char* word) { std::printf("%s\t%s\n", misuse, word); }

template <class T>
void answer(const char* misuse, const lockstep::result<T>& result) {
    answer(misuse, lockstep_status_name(result.status()));
}

/// A participant with an open name.
class user {
public:
    user(const lockstep::endpoint& endpoint, const char* name)
        : participant(lockstep::participant::connect(endpoint, lockstep::start::live()).value()) {
        participant.begin(patience).value();
        id = participant.open(name, patience).value();
    }

    std::uint64_t ask() { return participant.publish(id, "ask").value(); }

    template <class C>
    void poll_once(C&& callback) {
        participant.wait(pause).value();
        participant.poll(64, callback).value();
    }

    bool is_message(const lockstep::event& event, std::uint64_t number) const {
        return event.is(LOCKSTEP_EVENT_KIND_MESSAGE) && event->publisher == id && event->publisher_seq == number;
    }

    /// Polls until a message is delivered and committed, and some times more: whether that is so once.
    const char* once(std::uint64_t number, lockstep::bytes content) {
        int delivered = 0, committed = 0;
        const auto count = [&](const lockstep::event& event) {
            if (is_message(event, number)) delivered += event.payload.text() == content.text() ? 1 : 100;
            const bool is_outcome = event.is(LOCKSTEP_EVENT_KIND_OUTCOME_COMMITTED) && event->publisher == id;
            if (is_outcome && event->publisher_seq == number) committed++;
        };
        while (delivered == 0 || committed == 0) poll_once(count);
        for (int more = 0; more < 20; more++) poll_once(count);
        return delivered == 1 && committed == 1 ? lockstep_status_name(LOCKSTEP_STATUS_OK) : "NOT_ONCE";
    }

    lockstep::participant participant;
    std::uint32_t id = 0;
};

void in_callbacks(user& user) {
    std::uint64_t asked = user.ask();
    lockstep::result<std::size_t> nested(0);
    bool is_asked = false;
    while (!is_asked) {
        user.poll_once([&](const lockstep::event& event) {
            if (!user.is_message(event, asked)) return;
            nested = user.participant.poll(1, [](const lockstep::event&) {});
            is_asked = true;
        });
    }
    answer("poll-in-callback", nested);
    asked = user.ask();
    lockstep::result<std::uint64_t> published(0);
    is_asked = false;
    while (!is_asked) {
        user.poll_once([&](const lockstep::event& event) {
            if (!user.is_message(event, asked)) return;
            published = user.participant.publish(user.id, "answer");
            is_asked = true;
        });
    }
    answer("publish-in-callback", published ? user.once(*published, "answer") : lockstep_status_name(published.status()));
}

/// The status of a call in a child of this process.
template <class C>
void answer_in_child(const char* misuse, C&& call) {
    std::fflush(stdout);
    const pid_t child = ::fork();
    CHECK(child >= 0);
    if (child == 0) ::_exit(static_cast<int>(call().status()));
    int how = 0;
    CHECK(::waitpid(child, &how, 0) == child && WIFEXITED(how));
    answer(misuse, lockstep_status_name(WEXITSTATUS(how)));
}

void cursor_files() {
    char name[] = "/tmp/lockstep-misuses-XXXXXX";
    CHECK(::mkdtemp(name) != nullptr);
    const std::filesystem::path folder(name), path = folder / "cursor", damaged = folder / "damaged";
    std::ofstream(damaged) << "here";
    auto file = lockstep::cursor_file::open(path).value();
    answer("file-in-use", lockstep::cursor_file::open(path));
    answer("file-damaged", lockstep::cursor_file::open(damaged));
    lockstep::cursor cursor;
    cursor.history = 1;
    answer("file-nowhere", file.save(cursor));
    cursor.seq = 1;
    answer_in_child("file-fork", [&] { return file.save(cursor); });
    file.close();
    answer("file-closed", file.save(cursor));
    std::filesystem::remove_all(folder);
}

void two_threads(user& user) {
    std::atomic<bool> is_over(false);
    std::thread thread([&] {
        while (!is_over) (void)user.participant.wait(std::chrono::milliseconds(200));
    });
    lockstep::result<std::size_t> result(0);
    for (int tries = 0; tries < 1000 && result; tries++) {
        std::this_thread::sleep_for(pause);
        result = user.participant.deliver_next();
    }
    is_over = true;
    thread.join();
    answer("two-threads", result);
}

void arguments(const lockstep::endpoint& endpoint, user& user) {
    auto& participant = user.participant;
    answer("unknown-id", participant.publish(nobody, "x"));
    const std::vector<std::uint8_t> payload(participant.message_len_max().value() + 1);
    answer("too-long", participant.publish(user.id, payload));
    answer("ahead", participant.publish_at(user.id, 1000, "x"));
    answer("empty-name", participant.open("", patience));
    answer("long-name", participant.open(std::string(65, 'x'), patience));
    answer("zero-in-name", participant.open(std::string("a\0b", 3), patience));
    answer("start-zero", lockstep::subscriber::connect(endpoint, lockstep::start::from(0)));
    const std::int64_t negative = -1;
    answer("start-negative",
           lockstep::subscriber::connect(endpoint, lockstep::start::from(static_cast<std::uint64_t>(negative))));
    answer("start-text", lockstep::cursor::parse("here"));
    answer("negative-wait", participant.wait(-pause));
    answer("negative-open", participant.open("another", -pause));
}

void unwritten_claim(user& user) {
    const auto claimed = user.participant.claim(user.id, 8);
    const char zeros[8] = {};
    answer("unwritten-claim", claimed ? user.once((*claimed).number, std::string_view(zeros, sizeof zeros))
                                      : lockstep_status_name(claimed.status()));
}

const auto none = [](const lockstep::event&, std::uint64_t) { return std::optional<int>(); };

void requests(const lockstep::endpoint& endpoint, user& user) {
    lockstep::result<std::uint64_t> nested(0);
    const auto is_own = [&](const lockstep::event& event, std::uint64_t number) {
        if (number != 0) nested = user.participant.publish(user.id, "nested");
        return user.is_message(event, number) ? std::optional<int>(1) : std::nullopt;
    };
    CHECK(user.participant.request(user.id, "ask", patience, is_own).value() == 1);
    answer("call-in-request", nested);
    answer("request-late", user.participant.request(user.id, "ask", pause, none));
    answer("request-negative", user.participant.request(user.id, "ask", -pause, none));
    class user closing(endpoint, "closing");
    const auto closes_own = [&](const lockstep::event& event, std::uint64_t number) {
        closing.participant.close();
        return closing.is_message(event, number) ? std::optional<int>(1) : std::nullopt;
    };
    answer("close-in-request", closing.participant.request(closing.id, "ask", patience, closes_own));
    CHECK(closing.participant.flush().status() == LOCKSTEP_STATUS_CLOSED_HANDLE);
    class user first(endpoint, "fenced"), second(endpoint, "fenced");
    answer("request-fenced", first.participant.request(first.id, "ask", patience, none));
    const auto cursor = lockstep::cursor::parse("1:1:1").value();
    auto elsewhere = lockstep::participant::connect(endpoint, lockstep::start::at(cursor)).value();
    while (!elsewhere.is_ended().value()) {
        elsewhere.wait(pause).value();
        elsewhere.poll(64, [](const lockstep::event&) {}).value();
    }
    answer("request-ended", elsewhere.request(nobody, "ask", patience, none));
}

/// Of the file of one cluster, which is a set of one stream.
void merged() {
    const auto connect = [] { return lockstep::merged_subscriber::connect(nullptr, "beginning").value(); };
    answer("merged-start", lockstep::merged_subscriber::connect(nullptr, "here"));
    answer("merged-negative-connect", lockstep::merged_subscriber::connect(nullptr, "live", -pause));
    auto merged = connect();
    answer("merged-negative-wait", merged.wait(-pause));
    std::atomic<bool> is_over(false);
    std::thread thread([&] {
        while (!is_over) (void)merged.wait(std::chrono::milliseconds(200));
    });
    lockstep::result<std::size_t> beside(0);
    for (int tries = 0; tries < 1000 && beside; tries++) {
        std::this_thread::sleep_for(pause);
        beside = merged.next_number();
    }
    is_over = true;
    thread.join();
    answer("merged-two-threads", beside);
    lockstep::result<std::size_t> nested(0);
    while (nested) {
        merged.wait(pause).value();
        merged.poll(1, [&](const lockstep::merged_event&) { nested = merged.poll([](const lockstep::merged_event&) {}); }).value();
    }
    answer("merged-poll-in-callback", nested);
    answer_in_child("merged-fork", [&] { return merged.poll([](const lockstep::merged_event&) {}); });
    auto closing = connect();
    lockstep::merged_batch batch;
    while (batch.empty()) {
        closing.wait(pause).value();
        closing.poll_batch(1, batch).value();
    }
    for (const auto event : batch) CHECK(event.place.stream > 0);
    lockstep::result<std::size_t> result(0);
    while (closing.get() != nullptr && result) {
        result = closing.poll(1, [&](const lockstep::merged_event&) { closing.close(); });
    }
    answer("merged-close-in-callback", result);
    answer("merged-closed", closing.poll_batch(batch));
    closing.close();
    answer("merged-close-twice", lockstep_status_name(LOCKSTEP_STATUS_OK));
}

void closes(user& user) {
    const std::uint64_t asked = user.ask();
    bool is_closed = false;
    lockstep::result<std::size_t> result(0);
    while (!is_closed && result) {
        result = user.participant.poll(64, [&](const lockstep::event& event) {
            if (!user.is_message(event, asked)) return;
            user.participant.close();
            is_closed = true;
        });
    }
    answer("close-in-callback", result);
    answer("use-after-close", user.participant.publish(user.id, "x"));
    user.participant.close();
    answer("close-twice", lockstep_status_name(LOCKSTEP_STATUS_OK));
}

} // namespace

int main(int count, char** values) {
    CHECK(count == 2);
    auto endpoint = lockstep::endpoint::from_env().value();
    user user(endpoint, values[1]);
    in_callbacks(user);
    answer_in_child("fork", [&] { return user.participant.publish(user.id, "child"); });
    cursor_files();
    merged();
    two_threads(user);
    arguments(endpoint, user);
    unwritten_claim(user);
    requests(endpoint, user);
    closes(user);
    const auto taken = std::move(endpoint);
    answer("closed-endpoint", lockstep::publisher::connect(endpoint));
    return 0;
}
