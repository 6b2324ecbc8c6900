// State machines on lockstep's stream, for C++17: a class of the program, and what runs and judges it.
//
//   class counter : public lockstep::machine { ... };
//   lockstep::run(endpoint, lockstep::app_settings("counter", 1, "counter-1"), [] { return std::make_unique<counter>(); });
//
// docs/APPLY.md has a whole program, and the rules of a machine. An exception of a machine ends its replica: nothing of
// that input is published, and the call in which it happened (run, open, turn, wait, digest) throws it again.

#ifndef LOCKSTEP_MACHINE_HPP
#define LOCKSTEP_MACHINE_HPP

#include "lockstep.hpp"

#include <memory>
#include <vector>

namespace lockstep {

/// An input of a machine, for the time of the call. lockstep_input_kind lists the fields of each kind.
class input {
public:
    explicit input(const lockstep_input& row) noexcept : row_(row) {}

    const lockstep_input* operator->() const noexcept { return &row_; }
    bool is(lockstep_input_kind kind) const noexcept { return row_.kind == static_cast<std::uint32_t>(kind); }

    /// The content of a message, the bytes that a timer was set with, or a name.
    bytes payload() const noexcept { return {row_.payload, row_.payload_len}; }

    /// The user, where the publisher is a client of a gateway.
    std::optional<std::string_view> user() const noexcept {
        if (row_.user == nullptr) return std::nullopt;
        return std::string_view(reinterpret_cast<const char*>(row_.user), row_.user_len);
    }

private:
    const lockstep_input& row_;
};

namespace detail {

inline void require(lockstep_status status) {
    if (status != LOCKSTEP_STATUS_OK) throw exception(failure(status));
}

} // namespace detail

/// Collects the effects of an input, in order, while it is applied.
class output {
public:
    explicit output(lockstep_output* raw) noexcept : raw_(raw) {}

    /// Publishes a message to everybody, a publisher, or a channel: it is in the stream once, whichever copies run.
    void publish(bytes payload, std::uint32_t destination = LOCKSTEP_EVERYBODY) {
        detail::require(lockstep_output_publish(raw_, payload.data(), payload.size(), destination));
    }

    /// The timer is due at this time of the stream, nanoseconds since the Unix epoch. It comes back as an input, once.
    void timer_at(std::uint64_t key, std::uint64_t at, bytes payload = {}) {
        detail::require(lockstep_output_timer_at(raw_, key, at, payload.data(), payload.size()));
    }

    /// The timer is due so long behind the input.
    void timer_after(std::uint64_t key, std::chrono::nanoseconds after, bytes payload = {}) {
        const auto count = static_cast<std::uint64_t>(after.count() < 0 ? 0 : after.count());
        detail::require(lockstep_output_timer_after(raw_, key, count, payload.data(), payload.size()));
    }

    /// The timer is cancelled, if it is pending.
    void cancel(std::uint64_t key) { detail::require(lockstep_output_cancel(raw_, key)); }

private:
    lockstep_output* raw_;
};

/// Takes the bytes of a snapshot or of an answer, piece by piece.
class sink {
public:
    explicit sink(lockstep_sink* raw) noexcept : raw_(raw) {}
    void write(bytes piece) { detail::require(lockstep_sink_write(raw_, piece.data(), piece.size())); }

private:
    lockstep_sink* raw_;
};

/// A deterministic program over the stream: its state is a function of the inputs in their order.
class machine {
public:
    machine() = default;
    machine(const machine&) = delete;
    machine& operator=(const machine&) = delete;
    virtual ~machine() = default;

    /// The version of its rules and of its snapshots: raise it with each change of apply.
    virtual std::uint32_t version() const { return 1; }

    /// Applies the next input.
    virtual void apply(const input& input, output& output) = 0;

    /// Writes the whole state. Equal states write equal bytes.
    virtual void snapshot(sink& out) const = 0;

    /// Takes the state that snapshot wrote. It is called of a machine that the factory has just made.
    virtual void restore(bytes state) = 0;

    /// Answers a question about the state. An exception ends nothing: the answer is empty, and the log has its text.
    virtual void query(bytes request, sink& answer) const { (void)request, (void)answer; }

    /// What all copies have alike beside their rules, as a text for people; without one nothing is compared.
    virtual std::string settings() const { return {}; }

    /// The state as a text for people, which a debugger prints; without one it prints the snapshot.
    virtual std::string state_text() const { return {}; }
};

/// Makes a machine at the beginning of the stream.
using factory = std::function<std::unique_ptr<machine>()>;

namespace detail {

/// The machines of one replica or one trial behind a table of C: an exception waits in here until the call of C has
/// returned.
class machines {
public:
    explicit machines(lockstep::factory factory) : factory_(std::move(factory)) {
        table_.version = made()->version();
        table_.context = this;
        table_.create = create;
        table_.restore = restore;
        table_.apply = apply;
        table_.snapshot = snapshot;
        table_.destroy = destroy;
        table_.query = query;
        table_.settings = settings;
        table_.state_text = state_text;
    }
    machines(const machines&) = delete;
    machines& operator=(const machines&) = delete;

    const lockstep_machine* table() const noexcept { return &table_; }

    /// Throws what a machine has thrown first, if that is why a call has failed.
    void rethrow(lockstep_status status) {
        const std::exception_ptr thrown = std::exchange(thrown_, nullptr);
        if (thrown && status == LOCKSTEP_STATUS_MACHINE) std::rethrow_exception(thrown);
    }

    /// The machine behind a pointer of the table.
    static const machine& of(const void* owned) noexcept { return *static_cast<const machines::owned*>(owned)->machine; }

    /// Runs a callback; what it throws is the reason with which it fails.
    template <class W>
    static std::int32_t guarded(std::exception_ptr* thrown, W&& work) noexcept {
        try {
            work();
            return LOCKSTEP_STATUS_OK;
        } catch (const std::exception& error) {
            if (thrown != nullptr && !*thrown) *thrown = std::current_exception();
            return lockstep_fail(error.what());
        } catch (...) {
            if (thrown != nullptr && !*thrown) *thrown = std::current_exception();
            return lockstep_fail("an exception that is no std::exception");
        }
    }

private:
    /// A machine, and whose it is.
    struct owned {
        std::unique_ptr<lockstep::machine> machine;
        machines* owner;
    };

    std::unique_ptr<machine> made() const {
        auto machine = factory_();
        if (!machine) throw std::invalid_argument("the factory makes no machine");
        return machine;
    }

    static std::int32_t create(void* context, void** place) noexcept {
        auto* self = static_cast<machines*>(context);
        return guarded(&self->thrown_, [&] { *place = new owned{self->made(), self}; });
    }

    static std::int32_t restore(void* context, const std::uint8_t* state, std::size_t len, void** place) noexcept {
        auto* self = static_cast<machines*>(context);
        return guarded(&self->thrown_, [&] {
            auto made = self->made();
            made->restore({state, len});
            *place = new owned{std::move(made), self};
        });
    }

    static std::int32_t apply(void* of, const lockstep_input* row, lockstep_output* effects) noexcept {
        auto* self = static_cast<owned*>(of);
        return guarded(&self->owner->thrown_, [&] {
            const input input(*row);
            output output(effects);
            self->machine->apply(input, output);
        });
    }

    static std::int32_t snapshot(const void* of, lockstep_sink* out) noexcept {
        const auto* self = static_cast<const owned*>(of);
        return guarded(&self->owner->thrown_, [&] {
            sink sink(out);
            self->machine->snapshot(sink);
        });
    }

    static void destroy(void* of) noexcept { delete static_cast<owned*>(of); }

    static std::int32_t query(const void* of, const std::uint8_t* request, std::size_t len, lockstep_sink* out) noexcept {
        const auto* self = static_cast<const owned*>(of);
        return guarded(nullptr, [&] {
            sink sink(out);
            self->machine->query({request, len}, sink);
        });
    }

    static std::int32_t settings(const void* of, lockstep_sink* out) noexcept {
        const auto* self = static_cast<const owned*>(of);
        return guarded(&self->owner->thrown_, [&] { sink(out).write(self->machine->settings()); });
    }

    static std::int32_t state_text(const void* of, lockstep_sink* out) noexcept {
        const auto* self = static_cast<const owned*>(of);
        return guarded(nullptr, [&] { sink(out).write(self->machine->state_text()); });
    }

    lockstep::factory factory_;
    lockstep_machine table_{};
    std::exception_ptr thrown_ = nullptr;
};

} // namespace detail

/// The settings of a replica: those of lockstep_app_settings, with their defaults, and texts.
class app_settings {
public:
    /// Those of the replica `number`, from 1, of the machine `name`, with its snapshots in `folder`. Throws
    /// lockstep::exception where the number or a text is none.
    app_settings(std::string name, std::uint32_t number, std::string folder)
        : name_(std::move(name)), folder_(std::move(folder)) {
        detail::require(lockstep_app_settings_init(name_.c_str(), number, folder_.c_str(), &numbers));
    }

    /// All that is no text.
    lockstep_app_settings numbers{};
    /// Where metrics, snapshots and queries are served; empty: nowhere.
    std::string serve;
    /// Names by which that page may be asked for, separated by commas.
    std::string hosts;
    /// Where other replicas serve theirs, separated by commas.
    std::string peers;

    /// As C has them, for as long as this object is left alone.
    lockstep_app_settings raw() const noexcept {
        lockstep_app_settings raw = numbers;
        raw.name = name_.c_str();
        raw.folder = folder_.c_str();
        raw.serve = serve.empty() ? nullptr : serve.c_str();
        raw.hosts = hosts.c_str();
        raw.peers = peers.c_str();
        return raw;
    }

private:
    std::string name_, folder_;
};

/// A replica of a machine on a cluster, without a loop: it works in turn(). It belongs to one thread at a time; it can be
/// moved, not copied.
class app {
public:
    /// Restores the newest snapshot, or begins with the factory's machine, and opens its names.
    static result<app> open(const endpoint& endpoint, const app_settings& settings, factory factory) {
        app opened(std::make_unique<detail::machines>(std::move(factory)));
        const lockstep_app_settings raw = settings.raw();
        return opened.finished(lockstep_app_open(endpoint.get(), &raw, opened.machines_->table(), &opened.raw_),
                               [&] { return std::move(opened); });
    }

    app(const app&) = delete;
    app& operator=(const app&) = delete;
    app(app&& other) noexcept : machines_(std::move(other.machines_)), raw_(std::exchange(other.raw_, nullptr)) {}
    app& operator=(app&& other) noexcept {
        std::swap(machines_, other.machines_);
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~app() { close(); }

    /// Frees it and its machine; every later call fails with LOCKSTEP_STATUS_CLOSED_HANDLE.
    void close() noexcept { lockstep_app_close(&raw_); }

    /// One turn; returns the work done. A failure ends the replica, and each turn behind it returns the same.
    result<std::size_t> turn() {
        const std::int64_t work = lockstep_app_turn(raw_);
        if (work < 0) rethrow(static_cast<lockstep_status>(-work));
        return detail::number(work);
    }

    /// Sleeps behind a turn without work.
    result<> wait(std::chrono::nanoseconds timeout) {
        return detail::within(timeout, [&](std::uint64_t most) {
            return finished(lockstep_app_wait(raw_, most), [] { return none{}; });
        });
    }

    /// Where it is.
    result<lockstep_app_state> look() const {
        lockstep_app_state state{};
        const lockstep_status status = lockstep_app_look(raw_, &state);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return state;
    }

    /// The digest of the state: replicas that have applied the same have the same.
    result<std::uint64_t> digest() {
        std::uint64_t digest = 0;
        return finished(lockstep_app_digest(raw_, &digest), [&] { return digest; });
    }

    /// Puts the version of this replica in force: whether it does. It does nothing where it is none of the shadows: its
    /// version is in force already, or none has taken over so far.
    result<bool> take_over() {
        const std::int64_t answer = lockstep_app_take_over(raw_);
        const auto status = static_cast<lockstep_status>(answer < 0 ? -answer : 0);
        return finished(status, [&] { return answer != 0; });
    }

private:
    explicit app(std::unique_ptr<detail::machines> machines) noexcept : machines_(std::move(machines)) {}

    void rethrow(lockstep_status status) {
        if (machines_) machines_->rethrow(status);
    }

    /// What a call has done; an exception of the machine is thrown again.
    template <class W>
    auto finished(lockstep_status status, W&& value) -> result<std::decay_t<decltype(value())>> {
        rethrow(status);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return value();
    }

    std::unique_ptr<detail::machines> machines_;
    lockstep_app* raw_ = nullptr;
};

namespace detail {

inline result<> run_while(const endpoint& endpoint, const app_settings& settings, factory factory,
                          lockstep_goes_on goes_on, void* context) {
    machines machines(std::move(factory));
    const lockstep_app_settings raw = settings.raw();
    const lockstep_status status = lockstep_app_run(endpoint.get(), &raw, machines.table(), goes_on, context);
    machines.rethrow(status);
    return done(status);
}

} // namespace detail

/// A terminal on stdin and stdout that steps the machine along the committed stream, forward and back; `h` lists its
/// commands. It publishes nothing. `run` opens it where the environment has LOCKSTEP_DEBUG.
inline result<> debug(const endpoint& endpoint, const app_settings& settings, factory factory) {
    detail::machines machines(std::move(factory));
    const lockstep_app_settings raw = settings.raw();
    const lockstep_status status = lockstep_debug(endpoint.get(), &raw, machines.table());
    machines.rethrow(status);
    return detail::done(status);
}

/// Runs a replica until SIGTERM or SIGINT, or until it cannot go on. Lines that say where it is go to stderr.
inline result<> run(const endpoint& endpoint, const app_settings& settings, factory factory) {
    return detail::run_while(endpoint, settings, std::move(factory), nullptr, nullptr);
}

/// Runs a replica until `goes_on`, which does not throw, returns false.
inline result<> run(const endpoint& endpoint, const app_settings& settings, factory factory,
                    std::function<bool()> goes_on) {
    const auto asks = [](void* context) noexcept { return (*static_cast<std::function<bool()>*>(context))(); };
    return detail::run_while(endpoint, settings, std::move(factory), asks, &goes_on);
}

/// What a trial asks the program for; M is the class of the machine that the factory makes.
template <class M = machine>
struct trial_plan {
    std::uint64_t seeds = 100;
    std::uint64_t first = 1;
    /// One seed in so many is run twice.
    std::uint64_t repeated = 1;
    /// What the client `user` (from 0) sends as its message `number` (from 1); none: the number, as 8 bytes.
    std::function<std::string(std::uint64_t user, std::uint64_t number)> message = nullptr;
    /// What holds after each input: throws where it does not.
    std::function<void(const M& machine)> invariant = nullptr;
};

namespace detail {

/// A plan behind one of C.
template <class M>
lockstep_trial_plan planned(trial_plan<M>& plan) {
    lockstep_trial_plan raw{};
    raw.seeds = plan.seeds;
    raw.first = plan.first;
    raw.repeated = plan.repeated;
    raw.context = &plan;
    if (plan.message) {
        raw.message = [](void* context, std::uint64_t user, std::uint64_t number, lockstep_sink* out) noexcept {
            const auto& plan = *static_cast<trial_plan<M>*>(context);
            return machines::guarded(nullptr, [&] { sink(out).write(plan.message(user, number)); });
        };
    }
    if (plan.invariant) {
        raw.invariant = [](void* context, const void* of) noexcept {
            const auto& plan = *static_cast<trial_plan<M>*>(context);
            return machines::guarded(nullptr, [&] { plan.invariant(dynamic_cast<const M&>(machines::of(of))); });
        };
    }
    return raw;
}

} // namespace detail

/// Runs the machine in a simulated cluster under faults, and judges it. LOCKSTEP_STATUS_TRIAL: a rule is broken;
/// LOCKSTEP_STATUS_MACHINE: an exception has ended a machine. The text has the simplest run of it, with its story.
template <class M = machine>
result<lockstep_trial_report> trial(factory factory, trial_plan<M> plan = {}) {
    detail::machines machines(std::move(factory));
    const lockstep_trial_plan raw = detail::planned(plan);
    lockstep_trial_report report{};
    const lockstep_status status = lockstep_trial(machines.table(), &raw, &report);
    if (status != LOCKSTEP_STATUS_OK) return failure(status);
    return report;
}

/// Applies inputs to a machine and its twin, which is restored from a snapshot after every so many of them, and compares
/// outputs and states: for unit tests. Failures are those of trial. Of the plan it takes the invariant.
template <class M = machine>
result<lockstep_trial_report> twice(factory factory, const std::vector<lockstep_input>& inputs, std::uint64_t every = 1,
                                    trial_plan<M> plan = {}) {
    detail::machines machines(std::move(factory));
    const lockstep_trial_plan raw = detail::planned(plan);
    lockstep_trial_report report{};
    const lockstep_status status =
        lockstep_twice(machines.table(), inputs.data(), inputs.size(), every, &raw, &report);
    if (status != LOCKSTEP_STATUS_OK) return failure(status);
    return report;
}

/// Nanoseconds that an input costs in a machine, on average over so many messages of 48 bytes to everybody, each with
/// the outputs that the machine publishes for it. No cluster is around. Without a factory: in the counter of docs/APPLY.md
/// in Rust, for comparison.
inline result<double> apply_cost(factory factory, std::uint64_t messages) {
    double cost = 0;
    lockstep_status status = LOCKSTEP_STATUS_OK;
    if (factory) {
        detail::machines machines(std::move(factory));
        status = lockstep_apply_cost(machines.table(), messages, &cost);
        machines.rethrow(status);
    } else {
        status = lockstep_apply_cost(nullptr, messages, &cost);
    }
    if (status != LOCKSTEP_STATUS_OK) return failure(status);
    return cost;
}

} // namespace lockstep

#endif // LOCKSTEP_MACHINE_HPP
