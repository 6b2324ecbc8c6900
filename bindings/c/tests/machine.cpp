// Holds the promises of lockstep_machine.hpp; tests/foreign/bindings.rs runs it, under AddressSanitizer.
//
//     machine trial           errors that are planted in a machine are found, and a right one stands its trial; needs no
//                             cluster
//     machine fails FOLDER    an exception of apply ends the replica, and nothing of its input is published
//     machine copies FOLDER ADDRESS
//                             copies have one digest, another's settings are refused, a version takes over, and a
//                             query that throws ends nothing
//     machine debug FOLDER    steps a machine with words for its state by a script on stdin
//     machine refusals        settings and tables that are wrong are refused; needs no cluster
#include "check.h"
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <lockstep_machine.hpp>
#include <map>
#include <sstream>

namespace {

constexpr std::uint64_t reminder = 1;

/// Counts messages by their publisher, answers each with the count, and reminds of the newest one.
class ledger : public lockstep::machine {
public:
    void apply(const lockstep::input& input, lockstep::output& output) override {
        if (input.is(LOCKSTEP_INPUT_KIND_MESSAGE)) {
            counts[input->publisher]++;
            last.assign(input.payload().text());
            output.publish(answer(input), input->publisher);
            output.timer_after(reminder, std::chrono::minutes(1), input.payload());
        } else if (input.is(LOCKSTEP_INPUT_KIND_TIMER)) {
            output.publish("quiet since " + std::string(input.payload().text()));
        }
    }

    void snapshot(lockstep::sink& out) const override {
        std::ostringstream text;
        text << counts.size();
        for (const auto& [publisher, count] : counts) text << ' ' << publisher << ' ' << count;
        text << ' ' << last.size() << ' ' << last;
        out.write(text.str());
    }

    void restore(lockstep::bytes state) override {
        std::istringstream text{std::string(state.text())};
        std::size_t publishers = 0, len = 0;
        text >> publishers;
        for (std::size_t row = 0; row < publishers; row++) {
            std::uint32_t publisher = 0;
            text >> publisher >> counts[publisher];
        }
        text >> len;
        last.resize(len);
        text.get();
        text.read(last.data(), static_cast<std::streamsize>(len));
    }

    std::map<std::uint32_t, std::uint64_t> counts;
    std::string last;

protected:
    virtual std::string answer(const lockstep::input& input) {
        return std::to_string(counts[input->publisher]) + " of " + std::string(input.payload().text());
    }
};

/// A clock in an output.
class clocked : public ledger {
    std::string answer(const lockstep::input&) override {
        return std::to_string(std::chrono::steady_clock::now().time_since_epoch().count());
    }
};

/// A field that restore forgets.
class forgetful : public ledger {
    void restore(lockstep::bytes state) override {
        ledger::restore(state);
        last.clear();
    }
};

/// A counter that is no part of the snapshot, and shows in an output.
class outside : public ledger {
    std::string answer(const lockstep::input&) override { return std::to_string(++answers); }
    std::uint64_t answers = 0;
};

/// An exception of a class of its own.
struct refused : std::runtime_error {
    using runtime_error::runtime_error;
};

/// Publishes what it has got, and throws behind that where the message is wrong.
class failing : public ledger {
    void apply(const lockstep::input& input, lockstep::output& output) override {
        if (!input.is(LOCKSTEP_INPUT_KIND_MESSAGE)) return;
        output.publish("got " + std::string(input.payload().text()), input->publisher);
        if (input.payload().text() == "wrong") throw refused("this message is wrong");
    }
};

/// Has words for its state, but for one.
class worded : public ledger {
    std::string state_text() const override {
        std::uint64_t messages = 0;
        for (const auto& [publisher, count] : counts) messages += count;
        if (messages == 3) throw std::runtime_error("there are no words for it");
        return std::to_string(messages) + " messages";
    }
};

/// Refuses the seventh message of anybody.
class picky : public ledger {
    std::string answer(const lockstep::input& input) override {
        if (counts[input->publisher] == 7) throw refused("seven is too many");
        return "";
    }
};

template <class M>
lockstep::factory makes() {
    return [] { return std::make_unique<M>(); };
}

template <class M>
lockstep::result<lockstep_trial_report> tried(lockstep::trial_plan<ledger> plan = {}) {
    plan.seeds = 3;
    plan.message = [](std::uint64_t user, std::uint64_t number) {
        return "message " + std::to_string(number) + " of " + std::to_string(user);
    };
    return lockstep::trial<ledger>(makes<M>(), plan);
}

template <class T>
bool is_refused(const lockstep::result<T>& result, lockstep_status status, const char* words) {
    const bool is_it = !result && result.status() == status && std::strstr(result.error().what(), words) != nullptr;
    if (!is_it && !result) std::fprintf(stderr, "%d: %s\n", static_cast<int>(result.status()), result.error().what());
    return is_it;
}

/// Messages of one publisher, a second apart.
std::vector<lockstep_input> messages(std::size_t count) {
    std::vector<lockstep_input> inputs;
    static const char text[] = "a message";
    for (std::uint64_t seq = 1; seq <= count; seq++) {
        lockstep_input row{};
        row.kind = LOCKSTEP_INPUT_KIND_MESSAGE;
        row.seq = row.publisher_seq = seq;
        row.time = seq * 1'000'000'000;
        row.publisher = 3;
        row.payload = reinterpret_cast<const std::uint8_t*>(text);
        row.payload_len = sizeof text - 1;
        inputs.push_back(row);
    }
    return inputs;
}

void trials() {
    const auto report = tried<ledger>().value();
    CHECK(report.seeds == 3 && report.inputs_judged > 0 && report.messages > 0);
    CHECK(report.restored > 0 && report.timers_fired > 0 && report.snapshots > 0);
    CHECK(is_refused(tried<clocked>(), LOCKSTEP_STATUS_TRIAL, "again: first "));
    CHECK(is_refused(tried<forgetful>(), LOCKSTEP_STATUS_TRIAL, "restored"));
    CHECK(is_refused(tried<outside>(), LOCKSTEP_STATUS_TRIAL, "again: first "));
    CHECK(is_refused(tried<picky>(), LOCKSTEP_STATUS_MACHINE, "seven is too many"));
    lockstep::trial_plan<ledger> plan;
    plan.invariant = [](const ledger& machine) {
        if (machine.counts.size() > 1) throw std::logic_error("a second publisher is counted");
    };
    CHECK(is_refused(tried<ledger>(plan), LOCKSTEP_STATUS_TRIAL, "a second publisher is counted"));

    CHECK(lockstep::twice(makes<ledger>(), messages(6)).value().inputs_judged == 6);
    CHECK(lockstep::twice(makes<ledger>(), messages(6)).value().timers_fired == 1);
    CHECK(is_refused(lockstep::twice(makes<clocked>(), messages(6)), LOCKSTEP_STATUS_TRIAL, "seq 1"));
    CHECK(is_refused(lockstep::twice(makes<outside>(), messages(6)), LOCKSTEP_STATUS_TRIAL, "seq 2"));
    CHECK(is_refused(lockstep::twice(makes<picky>(), messages(7)), LOCKSTEP_STATUS_MACHINE, "seven is too many"));
    CHECK(is_refused(lockstep::twice(makes<ledger>(), messages(1), 0), LOCKSTEP_STATUS_ARGUMENT, "every"));
    CHECK(lockstep::apply_cost(makes<ledger>(), 6).value() > 0);
    bool is_thrown = false;
    try {
        lockstep::apply_cost(makes<picky>(), 7).value();
    } catch (const refused&) {
        is_thrown = true;
    }
    CHECK(is_thrown);
    CHECK(is_refused(lockstep::apply_cost(makes<ledger>(), 0), LOCKSTEP_STATUS_ARGUMENT, "messages"));
    std::puts("planted errors are found");
}

void refusals() {
    lockstep_machine table{};
    CHECK(lockstep_trial(nullptr, nullptr, nullptr) == LOCKSTEP_STATUS_ARGUMENT);
    CHECK(lockstep_trial(&table, nullptr, nullptr) == LOCKSTEP_STATUS_ARGUMENT);
    CHECK(std::strstr(lockstep_error(), "create") != nullptr);
    lockstep_input row{};
    const auto unknown = lockstep::twice(makes<ledger>(), {row});
    CHECK(is_refused(unknown, LOCKSTEP_STATUS_ARGUMENT, "lockstep_input_kind"));
    bool is_thrown = false;
    try {
        lockstep::app_settings("orders", 0, "folder");
    } catch (const lockstep::exception& error) {
        is_thrown = error.status() == LOCKSTEP_STATUS_ARGUMENT;
    }
    CHECK(is_thrown);
    CHECK(lockstep_app_turn(nullptr) == -LOCKSTEP_STATUS_CLOSED_HANDLE);
    is_thrown = false;
    try {
        lockstep::twice([]() -> std::unique_ptr<lockstep::machine> { throw refused("no machine today"); }, {row}).value();
    } catch (const refused&) {
        is_thrown = true;
    }
    CHECK(is_thrown);
}

void fails(const std::string& folder) {
    const auto endpoint = lockstep::endpoint::from_env().value();
    auto publisher = lockstep::publisher::connect(endpoint).value();
    const std::uint32_t orders = publisher.open("orders", std::chrono::seconds(10)).value();
    for (const char* text : {"one", "wrong", "two"}) publisher.publish(orders, text).value();
    CHECK(publisher.drain(std::chrono::seconds(10), [](const lockstep::event&) {}).value().open == 0);

    lockstep::app_settings settings("failing", 1, folder);
    settings.numbers.snapshot_mode = LOCKSTEP_SNAPSHOT_MODE_PAUSE;
    settings.numbers.snapshot_every = 1;
    auto app = lockstep::app::open(endpoint, settings, makes<failing>()).value();
    std::string text;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (text.empty() && std::chrono::steady_clock::now() < end) {
        try {
            if (app.turn().value() == 0) app.wait(std::chrono::milliseconds(5)).value();
        } catch (const refused& error) {
            text = error.what();
        }
    }
    CHECK(text == "this message is wrong");
    CHECK(is_refused(app.turn(), LOCKSTEP_STATUS_MACHINE, "this message is wrong"));
    app.close();
    CHECK(app.turn().status() == LOCKSTEP_STATUS_CLOSED_HANDLE);

    // `run` throws it as well, unless it ends before.
    bool is_thrown = false;
    try {
        lockstep::run(endpoint, settings, makes<failing>(), [] { return true; }).value();
    } catch (const refused&) {
        is_thrown = true;
    }
    CHECK(is_thrown);
    lockstep::run(endpoint, settings, makes<failing>(), [] { return false; }).value();

    auto reader = lockstep::subscriber::connect(endpoint, lockstep::start::from(1)).value();
    std::size_t answers = 0;
    bool is_caught_up = false;
    while (!is_caught_up) {
        const auto look = [&](const lockstep::event& event) {
            is_caught_up |= event.is(LOCKSTEP_EVENT_KIND_CAUGHT_UP);
            if (event.is(LOCKSTEP_EVENT_KIND_MESSAGE) && event->destination == orders) {
                CHECK(event.payload.text() == "got one");
                answers++;
            }
        };
        if (reader.poll(64, look).value() == 0) reader.wait(std::chrono::milliseconds(5)).value();
    }
    CHECK(answers <= 1);
    std::puts("an exception ends its replica");
}

/// Has a setting, and another version of its rules. A query ends the test, or throws.
class limited : public ledger {
public:
    explicit limited(std::uint32_t limit, std::uint32_t version = 1) : limit_(limit), version_(version) {}
    std::uint32_t version() const override { return version_; }
    std::string settings() const override { return "limit " + std::to_string(limit_); }

    void query(lockstep::bytes request, lockstep::sink& answer) const override {
        if (request.text() == "wrong") throw refused("nobody may ask this");
        is_ended = is_ended || request.text() == "end";
        answer.write(settings());
    }

    static inline bool is_ended = false;

private:
    std::uint32_t limit_, version_;
};

/// Turns replicas until it is so.
void turn_until(std::initializer_list<lockstep::app*> apps, const std::function<bool()>& is_so) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!is_so()) {
        CHECK(std::chrono::steady_clock::now() < end);
        std::size_t work = 0;
        for (lockstep::app* app : apps) work += app->turn().value();
        if (work == 0) (*apps.begin())->wait(std::chrono::milliseconds(1)).value();
    }
}

void copies(const std::string& folder, const std::string& address) {
    const auto endpoint = lockstep::endpoint::from_env().value();
    auto publisher = lockstep::publisher::connect(endpoint).value();
    const std::uint32_t orders = publisher.open("orders", std::chrono::seconds(10)).value();
    for (const char* text : {"one", "two"}) publisher.publish(orders, text).value();
    CHECK(publisher.drain(std::chrono::seconds(10), [](const lockstep::event&) {}).value().open == 0);

    const auto open = [&](std::uint32_t number, std::uint32_t limit, std::uint32_t version, std::string serve) {
        lockstep::app_settings settings("limited", number, folder + "/" + std::to_string(number));
        settings.serve = std::move(serve);
        settings.numbers.is_shadow = version > 1;
        const auto make = [=] { return std::make_unique<limited>(limit, version); };
        return lockstep::app::open(endpoint, settings, make).value();
    };
    const auto is_done = [](lockstep::app& app) {
        const auto state = app.look().value();
        return state.is_caught_up != 0 && state.is_drained != 0;
    };
    auto first = open(1, 100, 1, address), second = open(2, 100, 1, "");
    turn_until({&first, &second}, [&] { return is_done(first) && is_done(second); });
    turn_until({&first, &second}, [&] { return first.look().value().next == second.look().value().next; });
    CHECK(first.digest().value() == second.digest().value());
    CHECK(first.look().value().partings == 0);

    // The first copy's settings are those of the version.
    auto other = open(3, 200, 1, "");
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    auto turned = other.turn();
    while (turned && std::chrono::steady_clock::now() < end) turned = other.turn();
    CHECK(is_refused(turned, LOCKSTEP_STATUS_REPLICA, "limit 200"));
    CHECK(std::strstr(turned.error().what(), "limit 100") != nullptr);
    other.close();

    // Another version is a shadow until it takes over.
    auto next = open(4, 300, 2, "");
    turn_until({&first, &next}, [&] { return is_done(next) && next.look().value().is_shadow != 0; });
    CHECK(first.look().value().is_shadow == 0);
    CHECK(!first.take_over().value());
    turn_until({&first, &next}, [&] { return is_done(first) && is_done(next); });
    CHECK(next.look().value().is_shadow != 0);
    CHECK(next.take_over().value());
    turn_until({&first, &next}, [&] { return first.look().value().is_shadow != 0; });
    turn_until({&first, &next}, [&] { return next.look().value().is_shadow == 0; });
    CHECK(!next.take_over().value());

    std::fputs("asks\n", stderr);
    turn_until({&first}, [] { return limited::is_ended; });
    for (int turns = 0; turns < 100; turns++) first.turn().value(); // its answer is written
}

} // namespace

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "trial") trials();
    else if (what == "refusals") refusals();
    else if (what == "fails" && argc > 2) fails(argv[2]);
    else if (what == "debug" && argc > 2)
        lockstep::debug(lockstep::endpoint::from_env().value(), {"worded", 1, argv[2]}, makes<worded>()).value();
    else if (what == "copies" && argc > 3) copies(argv[2], argv[3]);
    else return 2;
    return 0;
}
