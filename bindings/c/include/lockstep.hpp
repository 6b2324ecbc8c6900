// lockstep's handles for C++17: owners, views and results over lockstep.h. Header only.
//
//   lockstep::endpoint endpoint = lockstep::endpoint::from_env().value();
//   lockstep::participant participant = lockstep::participant::connect(endpoint).value();
//   std::uint32_t orders = participant.open("orders").value();
//   participant.publish(orders, "buy 100 at 42").value();
//   participant.poll([](const lockstep::event& event) { ... });
//
// A handle belongs to one thread at a time; it can be moved, not copied. A handle that was moved from or closed answers
// with LOCKSTEP_STATUS_CLOSED_HANDLE. Functions return a result; value() throws lockstep::exception if it is a failure.
// An exception of a callback passes through the poll that called it, once that poll has ended.

#ifndef LOCKSTEP_HPP
#define LOCKSTEP_HPP

#include "lockstep.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace lockstep {

// What an argument is that is left out.
// Written from bindings/api.toml: defaults.
/// Ten seconds, behind which a leader would have answered after several takeovers.
inline constexpr std::chrono::seconds default_timeout{10};
/// Messages of a turn that gives them one by one.
inline constexpr std::size_t default_limit = 256;
/// Messages of a batch; it is full with 256 KiB of payloads anyway.
inline constexpr std::size_t default_batch_limit = 4096;
// End of what is written from bindings/api.toml.

/// Whether the library is of the header's version. A program checks it once.
inline bool is_of_this_version() noexcept { return lockstep_abi_version() == LOCKSTEP_ABI_VERSION; }

/// A failure: its code, and what failed, where, and what to do.
class failure {
public:
    explicit failure(lockstep_status status) : status_(status) {
        // Backpressure is no rare event: nothing is allocated for it.
        if (status != LOCKSTEP_STATUS_BACKPRESSURE) text_ = lockstep_error();
    }

    failure(lockstep_status status, std::string text) : status_(status), text_(std::move(text)) {}

    lockstep_status status() const noexcept { return status_; }

    const char* what() const noexcept {
        return text_.empty() ? "the window is full: poll, and publish again" : text_.c_str();
    }

private:
    lockstep_status status_;
    std::string text_;
};

/// What value() of a failure throws.
class exception : public std::runtime_error {
public:
    explicit exception(const failure& failure) : std::runtime_error(failure.what()), status_(failure.status()) {}
    lockstep_status status() const noexcept { return status_; }

private:
    lockstep_status status_;
};

struct none {};

/// A value or a failure, as std::expected of C++23.
template <class T = none>
class [[nodiscard]] result {
public:
    result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
    result(failure why) : content_(std::in_place_index<1>, std::move(why)) {}

    bool has_value() const noexcept { return content_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    /// The value. Throws lockstep::exception if there is none.
    T& value() & { return check(), *std::get_if<0>(&content_); }
    T&& value() && { return check(), std::move(*std::get_if<0>(&content_)); }
    const T& value() const& { return check(), *std::get_if<0>(&content_); }

    /// The value, which is there.
    T& operator*() & noexcept { return *std::get_if<0>(&content_); }
    const T& operator*() const& noexcept { return *std::get_if<0>(&content_); }

    /// The failure, which is there.
    const failure& error() const noexcept { return *std::get_if<1>(&content_); }

    /// The code; LOCKSTEP_STATUS_OK with a value.
    lockstep_status status() const noexcept {
        return has_value() ? static_cast<lockstep_status>(LOCKSTEP_STATUS_OK) : error().status();
    }

private:
    void check() const {
        if (!has_value()) throw exception(error());
    }

    std::variant<T, failure> content_;
};

/// A view of elements, as std::span of C++20.
template <class T>
class span {
public:
    constexpr span() noexcept = default;
    constexpr span(const T* data, std::size_t size) noexcept : data_(data), size_(size) {}
    constexpr const T* data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr const T* begin() const noexcept { return data_; }
    constexpr const T* end() const noexcept { return data_ + size_; }
    constexpr const T& operator[](std::size_t at) const noexcept { return data_[at]; }

private:
    const T* data_ = nullptr;
    std::size_t size_ = 0;
};

/// A payload: of anything with data() and size() whose elements are bytes.
class bytes : public span<std::uint8_t> {
public:
    constexpr bytes() noexcept = default;
    constexpr bytes(const std::uint8_t* data, std::size_t size) noexcept : span(data, size) {}
    bytes(const char* text) noexcept : bytes(std::string_view(text)) {}

    template <class C, class E = std::remove_pointer_t<decltype(std::declval<const C&>().data())>,
              class = std::enable_if_t<sizeof(E) == 1 && std::is_trivially_copyable_v<std::remove_cv_t<E>>>>
    bytes(const C& content) noexcept
        : span(reinterpret_cast<const std::uint8_t*>(content.data()), content.size()) {}

    std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data()), size()}; }
};

/// An event, and its payload for the time of the call. lockstep_event_kind lists what the fields of each kind mean.
struct event {
    const lockstep_event& row;
    bytes payload;

    const lockstep_event* operator->() const noexcept { return &row; }
    bool is(lockstep_event_kind kind) const noexcept { return row.kind == static_cast<std::uint32_t>(kind); }
};

/// An event of the merged order of a set, and its place there.
struct merged_event : event {
    const lockstep_place& place;
};

/// The events of a batch, one by one.
template <class B>
class batch_iterator {
public:
    batch_iterator(const B* owner, std::size_t at) noexcept : owner_(owner), at_(at) {}
    auto operator*() const noexcept { return (*owner_)[at_]; }
    batch_iterator& operator++() noexcept { return ++at_, *this; }
    bool operator!=(const batch_iterator& other) const noexcept { return at_ != other.at_; }

private:
    const B* owner_;
    std::size_t at_;
};

/// Events of one poll, until the next call with the handle.
class batch {
public:
    using iterator = batch_iterator<batch>;

    batch() noexcept : batch_{} {}
    explicit batch(const lockstep_batch& batch) noexcept : batch_(batch) {}

    std::size_t size() const noexcept { return batch_.len; }
    bool empty() const noexcept { return batch_.len == 0; }
    span<lockstep_event> rows() const noexcept { return {batch_.events, batch_.len}; }
    bytes payloads() const noexcept { return {batch_.bytes, batch_.bytes_len}; }

    event operator[](std::size_t at) const noexcept {
        const lockstep_event& row = batch_.events[at];
        return {row, {batch_.bytes + row.payload_at, row.payload_len}};
    }

    iterator begin() const noexcept { return {this, 0}; }
    iterator end() const noexcept { return {this, size()}; }

private:
    lockstep_batch batch_;
};

/// Events of one poll in the merged order of a set, until the next call with the handle.
class merged_batch {
public:
    using iterator = batch_iterator<merged_batch>;

    merged_batch() noexcept : batch_{} {}
    explicit merged_batch(const lockstep_merged_batch& batch) noexcept : batch_(batch) {}

    std::size_t size() const noexcept { return batch_.batch.len; }
    bool empty() const noexcept { return batch_.batch.len == 0; }
    batch events() const noexcept { return batch(batch_.batch); }
    span<lockstep_place> places() const noexcept { return {batch_.places, batch_.batch.len}; }

    merged_event operator[](std::size_t at) const noexcept { return {events()[at], batch_.places[at]}; }

    iterator begin() const noexcept { return {this, 0}; }
    iterator end() const noexcept { return {this, size()}; }

private:
    lockstep_merged_batch batch_;
};

/// A position in a stream.
struct cursor : lockstep_cursor {
    cursor() noexcept : lockstep_cursor{} {}
    explicit cursor(const lockstep_cursor& position) noexcept : lockstep_cursor(position) {}

    std::string text() const {
        char text[LOCKSTEP_CURSOR_TEXT] = {};
        lockstep_cursor_print(this, text);
        return text;
    }

    static result<cursor> parse(const std::string& text) {
        cursor parsed;
        const lockstep_status status = lockstep_cursor_parse(text.c_str(), &parsed);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return parsed;
    }
};

/// Where a subscription begins.
struct start : lockstep_start {
    static start live() noexcept { return start(LOCKSTEP_START_KIND_LIVE); }
    static start oldest() noexcept { return start(LOCKSTEP_START_KIND_OLDEST); }

    static start from(std::uint64_t seq) noexcept {
        start begin(LOCKSTEP_START_KIND_FROM);
        begin.seq = seq;
        return begin;
    }

    static start at(const lockstep::cursor& position) noexcept {
        start begin(LOCKSTEP_START_KIND_CURSOR);
        begin.cursor = position;
        return begin;
    }

private:
    explicit start(std::uint32_t number) noexcept : lockstep_start{} { kind = number; }
};

namespace detail {

using nanoseconds = std::chrono::nanoseconds;

/// Does `work` with the timeout as C has it. A negative one is refused.
template <class W>
auto within(nanoseconds timeout, W&& work) -> decltype(work(std::uint64_t(0))) {
    const auto count = timeout.count();
    if (count >= 0) return work(static_cast<std::uint64_t>(count));
    return failure(LOCKSTEP_STATUS_ARGUMENT, "the timeout is negative: " + std::to_string(count) + " ns");
}

/// Opens a name by `work`, which is given the text and the timeout of C, and where the id belongs.
template <class W>
result<std::uint32_t> open(const std::string& name, nanoseconds timeout, W&& work) {
    if (name.find('\0') != name.npos) return failure(LOCKSTEP_STATUS_NAME, "the name has the character 0 in it");
    return within(timeout, [&](std::uint64_t most) -> result<std::uint32_t> {
        std::uint32_t id = 0;
        const lockstep_status status = work(name.c_str(), most, &id);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return id;
    });
}

inline result<std::size_t> number(std::int64_t work) {
    if (work < 0) return failure(static_cast<lockstep_status>(-work));
    return static_cast<std::size_t>(work);
}

inline result<bool> truth(std::int64_t answer) {
    if (answer < 0) return failure(static_cast<lockstep_status>(-answer));
    return answer != 0;
}

inline result<> done(lockstep_status status) {
    if (status != LOCKSTEP_STATUS_OK) return failure(status);
    return none{};
}

/// A callback of C++ behind one of C: its exception waits until the poll has ended.
template <class F, class E = event>
struct caller {
    F& callback;
    std::exception_ptr thrown = nullptr;

    static bool on_event(void* context, const lockstep_event* row, const std::uint8_t* payload) noexcept {
        return give(context, {*row, {payload, row->payload_len}});
    }

    static bool on_merged(void* context, const lockstep_place* place, const lockstep_event* row,
                          const std::uint8_t* payload) noexcept {
        return give(context, {{*row, {payload, row->payload_len}}, *place});
    }

    static bool give(void* context, const E& event) noexcept {
        auto& self = *static_cast<caller*>(context);
        if (self.thrown) return false;
        try {
            if constexpr (std::is_convertible_v<std::invoke_result_t<F&, const E&>, bool>) {
                return std::invoke(self.callback, event);
            } else {
                std::invoke(self.callback, event);
                return true;
            }
        } catch (...) {
            self.thrown = std::current_exception();
            return false;
        }
    }

    void rethrow() {
        if (thrown) std::rethrow_exception(thrown);
    }
};

/// A callback of C++ that finds an answer, behind one of C: its exception ends the request.
template <class F, class A>
struct asker {
    F& callback;
    A answer{};
    std::exception_ptr thrown = nullptr;

    static bool is_answer(void* context, const lockstep_event* row, const std::uint8_t* payload,
                          std::uint64_t number) noexcept {
        auto& self = *static_cast<asker*>(context);
        if (self.thrown) return true;
        try {
            A answer = std::invoke(self.callback, event{*row, {payload, row->payload_len}}, number);
            if (number != 0 && answer.has_value() && !self.answer.has_value()) self.answer = std::move(answer);
            return self.answer.has_value();
        } catch (...) {
            self.thrown = std::current_exception();
            return true;
        }
    }
};

/// What each handle has.
class handle {
public:
    handle() noexcept = default;
    explicit handle(lockstep_participant* raw) noexcept : raw_(raw) {}
    handle(const handle&) = delete;
    handle& operator=(const handle&) = delete;
    handle(handle&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    ~handle() { close(); }

    handle& operator=(handle&& other) noexcept {
        if (this != &other) {
            close();
            raw_ = std::exchange(other.raw_, nullptr);
        }
        return *this;
    }

    /// Frees it; every later call fails with LOCKSTEP_STATUS_CLOSED_HANDLE.
    void close() noexcept { lockstep_participant_close(&raw_); }

    /// The handle of C.
    lockstep_participant* get() const noexcept { return raw_; }

    /// Whether something arrived before `timeout` had elapsed. Poll in either case.
    result<std::size_t> wait(nanoseconds timeout) {
        return within(timeout, [&](std::uint64_t most) { return number(lockstep_participant_wait(raw_, most)); });
    }

    /// A descriptor that is readable while there is something to read.
    result<std::size_t> fd() const { return number(lockstep_participant_fd(raw_)); }

    /// The time until it must be polled, although nothing arrives.
    result<nanoseconds> due() const {
        const auto due = number(lockstep_participant_due(raw_));
        if (!due) return due.error();
        return nanoseconds(static_cast<std::int64_t>(*due));
    }

    /// One turn with at most `limit` messages, or datagrams of a publisher; `callback` takes a `const event&` and returns
    /// whether to go on, or nothing. It may publish with this handle and close it; all else is refused with
    /// `LOCKSTEP_STATUS_IN_USE`. Returns the work done.
    template <class C>
    result<std::size_t> poll(std::size_t limit, C&& callback) {
        caller<std::remove_reference_t<C>> called{callback};
        const std::int64_t work = lockstep_participant_poll(raw_, limit, &decltype(called)::on_event, &called);
        called.rethrow();
        return number(work);
    }

    template <class C>
    result<std::size_t> poll(C&& callback) {
        return poll(default_limit, callback);
    }

    /// One turn, whose events `out` shows until the next call.
    result<std::size_t> poll_batch(std::size_t limit, batch& out) {
        lockstep_batch raw{};
        const std::int64_t work = lockstep_participant_poll_batch(raw_, limit, &raw);
        out = batch(raw);
        return number(work);
    }

    result<std::size_t> poll_batch(batch& out) { return poll_batch(default_batch_limit, out); }

protected:
    lockstep_participant* raw_ = nullptr;
};

/// What a handle that publishes has.
class publishing : public handle {
public:
    using handle::handle;

    /// Copies a message into the open datagram; returns its number.
    result<std::uint64_t> publish(std::uint32_t id, bytes payload, std::uint32_t destination = LOCKSTEP_EVERYBODY) {
        std::uint64_t number = 0;
        const lockstep_status status =
            lockstep_participant_publish(raw_, id, payload.data(), payload.size(), destination, &number);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return number;
    }

    /// Publishes a message under a number that follows from the caller's own state.
    result<> publish_at(std::uint32_t id, std::uint64_t number, bytes payload,
                        std::uint32_t destination = LOCKSTEP_EVERYBODY) {
        return done(lockstep_participant_publish_at(raw_, id, number, payload.data(), payload.size(), destination));
    }

    /// A message's number, and where its bytes are written before the next call.
    struct claimed {
        std::uint64_t number;
        std::uint8_t* data;
        std::size_t size;
    };

    /// A message of `len` bytes that is written in place.
    result<claimed> claim(std::uint32_t id, std::size_t len, std::uint32_t destination = LOCKSTEP_EVERYBODY) {
        claimed claim{0, nullptr, len};
        const lockstep_status status = lockstep_participant_claim(raw_, id, &claim.data, len, destination, &claim.number);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return claim;
    }

    /// Closes the publisher behind all of its messages.
    result<> close_name(std::uint32_t id, bytes reason = {}) {
        return done(lockstep_participant_close_name(raw_, id, reason.data(), reason.size()));
    }

    /// Marks the start of the trading day of this name.
    result<std::uint64_t> start_day(std::uint32_t id, const std::string& day) {
        std::uint64_t number = 0;
        const lockstep_status status = lockstep_participant_start_day(raw_, id, day.c_str(), &number);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return number;
    }

    /// Marks the end of the trading day.
    result<std::uint64_t> end_day(std::uint32_t id) {
        std::uint64_t number = 0;
        const lockstep_status status = lockstep_participant_end_day(raw_, id, &number);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return number;
    }

    /// Sends what is written; returns the number of datagrams.
    result<std::size_t> flush() { return number(lockstep_participant_flush(raw_)); }

    /// What became of the messages so far.
    result<lockstep_outcomes> outcomes() const {
        lockstep_outcomes counts{};
        const lockstep_status status = lockstep_participant_outcomes(raw_, &counts);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return counts;
    }

    /// Whether every published message has its outcome, whichever: `outcomes` tells.
    result<bool> is_drained() const { return truth(lockstep_participant_is_drained(raw_)); }

    /// Polls until every message has its outcome, at most for `timeout`; `callback` receives the events. Returns
    /// what became of the messages so far: `open` ones are left where the time is over.
    template <class C>
    result<lockstep_outcomes> drain(nanoseconds timeout, C&& callback) {
        return within(timeout, [&](std::uint64_t) -> result<lockstep_outcomes> {
            const auto end = std::chrono::steady_clock::now() + timeout;
            for (;;) {
                const auto counts = outcomes();
                const auto left = end - std::chrono::steady_clock::now();
                if (!counts || (*counts).open == 0 || left <= left.zero()) return counts;
                const auto work = poll(callback);
                if (!work) return work.error();
                const auto waited = *work == 0 ? wait(left) : result<std::size_t>(0);
                if (!waited) return waited.error();
            }
        });
    }

    /// Whether a leader's stream is followed.
    result<bool> is_connected() const { return truth(lockstep_participant_is_connected(raw_)); }

    /// Bytes of the longest message.
    result<std::size_t> message_len_max(std::uint32_t destination = LOCKSTEP_EVERYBODY) const {
        return number(lockstep_participant_message_len_max(raw_, destination));
    }

    /// Bytes of the longest message that can be claimed.
    result<std::size_t> claim_len_max() const { return number(lockstep_participant_claim_len_max(raw_)); }
};

/// What a handle that reads has; `B` is the rest of it.
template <class B>
class reading : public B {
public:
    using B::B;

    /// Polls until the subscription has its position.
    template <class C>
    result<> begin(nanoseconds timeout, C&& callback) {
        return within(timeout, [&](std::uint64_t most) {
            caller<std::remove_reference_t<C>> called{callback};
            const lockstep_status status = lockstep_participant_begin(this->raw_, most, &decltype(called)::on_event, &called);
            called.rethrow();
            return done(status);
        });
    }

    result<> begin(nanoseconds timeout = default_timeout) {
        return begin(timeout, [](const event&) {});
    }

    /// The position behind the last delivered event; none before the subscription has begun.
    result<std::optional<lockstep::cursor>> cursor() const {
        lockstep::cursor position;
        const auto stored = number(lockstep_participant_cursor(this->raw_, &position));
        if (!stored) return stored.error();
        return *stored == 0 ? std::optional<lockstep::cursor>() : std::optional<lockstep::cursor>(position);
    }

    /// The next seq to be delivered.
    result<std::size_t> deliver_next() const { return number(lockstep_participant_deliver_next(this->raw_)); }

    /// The exclusive bound of what is final.
    result<std::size_t> commit_next() const { return number(lockstep_participant_commit_next(this->raw_)); }

    /// Whether the subscription has ended.
    result<bool> is_ended() const { return truth(lockstep_participant_is_ended(this->raw_)); }
};

} // namespace detail

/// Which cluster, and how it is reached.
class endpoint {
public:
    /// From the file that LOCKSTEP_CONFIG names, or /etc/lockstep/lockstep.toml.
    static result<endpoint> from_env() {
        endpoint read;
        const lockstep_status status = lockstep_endpoint_from_env(&read.raw_);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return read;
    }

    static result<endpoint> from_file(const std::string& path) {
        endpoint read;
        const lockstep_status status = lockstep_endpoint_from_file(path.c_str(), &read.raw_);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return read;
    }

    endpoint(const endpoint&) = delete;
    endpoint& operator=(const endpoint&) = delete;
    endpoint(endpoint&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    endpoint& operator=(endpoint&& other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~endpoint() { lockstep_endpoint_close(&raw_); }

    std::uint64_t cluster() const noexcept { return lockstep_endpoint_cluster(raw_); }
    const lockstep_endpoint* get() const noexcept { return raw_; }

private:
    endpoint() noexcept = default;
    lockstep_endpoint* raw_ = nullptr;
};

/// The file in which a program stores the cursor behind what it has processed, for its next start. Each save replaces it
/// as a whole, and one process has it at a time, by a lock on the file beside it whose name ends with `.lock`. What a
/// program had processed since the last save comes again after a crash.
class cursor_file {
public:
    /// Opens the file; one that is absent has no cursor, and is created by the first save. LOCKSTEP_STATUS_IN_USE:
    /// somebody else has it open. LOCKSTEP_STATUS_ARGUMENT: it has anything but a whole cursor.
    static result<cursor_file> open(const std::string& path) {
        if (path.find('\0') != path.npos) return failure(LOCKSTEP_STATUS_ARGUMENT, "the path has the character 0 in it");
        cursor_file opened;
        const lockstep_status status = lockstep_cursor_file_open(path.c_str(), &opened.raw_);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return opened;
    }

    cursor_file(const cursor_file&) = delete;
    cursor_file& operator=(const cursor_file&) = delete;
    cursor_file(cursor_file&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    cursor_file& operator=(cursor_file&& other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~cursor_file() { close(); }

    /// The cursor that was read or saved last; none if there is none so far.
    result<std::optional<lockstep::cursor>> cursor() const {
        lockstep::cursor position;
        const auto stored = detail::number(lockstep_cursor_file_cursor(raw_, &position));
        if (!stored) return stored.error();
        return *stored == 0 ? std::optional<lockstep::cursor>() : std::optional<lockstep::cursor>(position);
    }

    /// Where a subscription begins: at the cursor, or at `otherwise` if there is none. A cursor of another history or
    /// log ends the subscription, and never begins anew.
    result<start> start_or(const start& otherwise) const {
        start chosen = otherwise;
        const lockstep_status status = lockstep_cursor_file_start_or(raw_, &otherwise, &chosen);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return chosen;
    }

    /// Replaces the stored cursor. When it succeeds, the new one is on the disk: that takes up to some milliseconds. To
    /// save the cursor that is stored already costs nothing.
    result<> save(const lockstep::cursor& cursor) { return detail::done(lockstep_cursor_file_save(raw_, &cursor)); }

    /// Gives the file to others, and saves nothing.
    void close() noexcept { lockstep_cursor_file_close(&raw_); }

private:
    cursor_file() noexcept = default;
    lockstep_cursor_file* raw_ = nullptr;
};

/// Publishes messages into the stream.
class publisher : public detail::publishing {
public:
    using publishing::publishing;

    static result<publisher> connect(const endpoint& endpoint) {
        lockstep_publisher* raw = nullptr;
        const lockstep_status status = lockstep_publisher_connect(endpoint.get(), &raw);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return publisher(raw);
    }

    /// Opens `name`; returns its id.
    result<std::uint32_t> open(const std::string& name, std::chrono::nanoseconds timeout = default_timeout) {
        return detail::open(name, timeout, [&](const char* text, std::uint64_t most, std::uint32_t* id) {
            return lockstep_publisher_open(raw_, text, most, id);
        });
    }
};

/// Delivers the stream.
class subscriber : public detail::reading<detail::handle> {
public:
    using reading::reading;

    /// Opens the sockets. The stream begins at `start` with the first poll.
    static result<subscriber> connect(const endpoint& endpoint, const start& start = start::live(),
                                      lockstep_delivery delivery = LOCKSTEP_DELIVERY_COMMITTED) {
        lockstep_subscriber* raw = nullptr;
        const lockstep_status status = lockstep_subscriber_connect(endpoint.get(), &start, delivery, &raw);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return subscriber(raw);
    }
};

/// Publishes and reads, in one thread, on one device.
class participant : public detail::reading<detail::publishing> {
public:
    using reading::reading;

    /// Opens the sockets. The stream begins at `start` with the first poll.
    static result<participant> connect(const endpoint& endpoint, const start& start = start::live(),
                                       lockstep_delivery delivery = LOCKSTEP_DELIVERY_COMMITTED) {
        lockstep_participant* raw = nullptr;
        const lockstep_status status = lockstep_participant_connect(endpoint.get(), &start, delivery, &raw);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return participant(raw);
    }

    /// Opens `name`; `callback` receives all events of these polls. Returns its id.
    template <class C>
    result<std::uint32_t> open(const std::string& name, std::chrono::nanoseconds timeout, C&& callback) {
        return detail::open(name, timeout, [&](const char* text, std::uint64_t most, std::uint32_t* id) {
            detail::caller<std::remove_reference_t<C>> called{callback};
            const lockstep_status status =
                lockstep_participant_open(raw_, text, most, &decltype(called)::on_event, &called, id);
            called.rethrow();
            return status;
        });
    }

    result<std::uint32_t> open(const std::string& name, std::chrono::nanoseconds timeout = default_timeout) {
        return open(name, timeout, [](const event&) {});
    }

    /// Publishes a request and polls until `callback` returns the answer, at most for `timeout`. `callback` takes a
    /// `const event&` and the request's number (0 before it is published), and returns a `std::optional`: what is in it is
    /// the answer. It receives every event of these polls, and may close this handle; all else with it is refused with
    /// `LOCKSTEP_STATUS_IN_USE`. An exception of it ends the request, which may be published and answered then. The entries
    /// of the stream behind the answer are left for the next poll. The failures are those of
    /// `lockstep_participant_request`.
    template <class C, class A = std::invoke_result_t<C&, const event&, std::uint64_t>>
    result<typename A::value_type> request(std::uint32_t id, bytes payload, std::uint32_t destination,
                                           std::chrono::nanoseconds timeout, C&& callback) {
        return detail::within(timeout, [&](std::uint64_t most) -> result<typename A::value_type> {
            detail::asker<std::remove_reference_t<C>, A> asker{callback};
            const lockstep_status status =
                lockstep_participant_request(raw_, id, payload.data(), payload.size(), destination, most,
                                             &decltype(asker)::is_answer, &asker, nullptr);
            if (asker.thrown) std::rethrow_exception(asker.thrown);
            if (status != LOCKSTEP_STATUS_OK) return failure(status, lockstep_error());
            return *std::move(asker.answer);
        });
    }

    template <class C>
    auto request(std::uint32_t id, bytes payload, std::chrono::nanoseconds timeout, C&& callback) {
        return request(id, payload, LOCKSTEP_EVERYBODY, timeout, callback);
    }

    template <class C>
    auto request(std::uint32_t id, bytes payload, C&& callback) {
        return request(id, payload, LOCKSTEP_EVERYBODY, default_timeout, callback);
    }
};

/// Delivers the streams of a set in their merged order, as committed: each entry has a number there, from 1 without holes,
/// which is the same for all readers. Each stream's own order is kept, and a stream that is idle or stalled holds up no other
/// one. A program that reads one stream uses a `subscriber`.
class merged_subscriber {
public:
    /// Reads the set of the file at `path` (nullptr: the one that LOCKSTEP_CONFIG names, or /etc/lockstep/lockstep.toml), and
    /// opens the streams that are merged at `start`: `live`, a moment ago, which is looked for at most for `timeout`;
    /// `beginning`, at the first entry of the home stream; or what `cursor` of an earlier handle has returned.
    static result<merged_subscriber> connect(const char* path = nullptr, const std::string& start = "live",
                                             std::chrono::nanoseconds timeout = default_timeout) {
        if (start.find('\0') != start.npos) return failure(LOCKSTEP_STATUS_ARGUMENT, "the start has the character 0 in it");
        return detail::within(timeout, [&](std::uint64_t most) -> result<merged_subscriber> {
            merged_subscriber connected;
            const lockstep_status status =
                lockstep_merged_subscriber_connect(path, start.c_str(), most, &connected.raw_);
            if (status != LOCKSTEP_STATUS_OK) return failure(status);
            return connected;
        });
    }

    merged_subscriber(const merged_subscriber&) = delete;
    merged_subscriber& operator=(const merged_subscriber&) = delete;
    merged_subscriber(merged_subscriber&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    merged_subscriber& operator=(merged_subscriber&& other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~merged_subscriber() { close(); }

    /// Frees it; every later call fails with LOCKSTEP_STATUS_CLOSED_HANDLE.
    void close() noexcept { lockstep_merged_subscriber_close(&raw_); }

    /// The handle of C.
    lockstep_merged_subscriber* get() const noexcept { return raw_; }

    /// Whether something arrived before `timeout` had elapsed. Poll in either case.
    result<std::size_t> wait(std::chrono::nanoseconds timeout) {
        return detail::within(
            timeout, [&](std::uint64_t most) { return detail::number(lockstep_merged_subscriber_wait(raw_, most)); });
    }

    /// One turn with at most `limit` messages; `callback` takes a `const merged_event&` and returns whether to go on, or
    /// nothing. It may close this handle; all else is refused with `LOCKSTEP_STATUS_IN_USE`, but `stream_name`. Returns the
    /// work done.
    template <class C>
    result<std::size_t> poll(std::size_t limit, C&& callback) {
        detail::caller<std::remove_reference_t<C>, merged_event> called{callback};
        const std::int64_t work =
            lockstep_merged_subscriber_poll(raw_, limit, &decltype(called)::on_merged, &called);
        called.rethrow();
        return detail::number(work);
    }

    template <class C>
    result<std::size_t> poll(C&& callback) {
        return poll(default_limit, callback);
    }

    /// One turn, whose events `out` shows until the next call.
    result<std::size_t> poll_batch(std::size_t limit, merged_batch& out) {
        lockstep_merged_batch raw{};
        const std::int64_t work = lockstep_merged_subscriber_poll_batch(raw_, limit, &raw);
        out = merged_batch(raw);
        return detail::number(work);
    }

    result<std::size_t> poll_batch(merged_batch& out) { return poll_batch(default_batch_limit, out); }

    /// The place behind the last delivered event, for `connect` of a later handle.
    result<std::string> cursor() const {
        const char* text = nullptr;
        const lockstep_status status = lockstep_merged_subscriber_cursor(raw_, &text);
        if (status != LOCKSTEP_STATUS_OK) return failure(status);
        return std::string(text);
    }

    /// The number that the next merged entry gets.
    result<std::size_t> next_number() const { return detail::number(lockstep_merged_subscriber_next_number(raw_)); }

    /// Whether the subscription of a stream has ended, and the merged order with it: the event before gave the reason.
    result<bool> is_ended() const { return detail::truth(lockstep_merged_subscriber_is_ended(raw_)); }

    /// The name of the stream of a cluster in the set's file; empty if the set has none.
    const char* stream_name(std::uint64_t stream) const noexcept {
        return lockstep_merged_subscriber_stream_name(raw_, stream);
    }

private:
    merged_subscriber() noexcept = default;
    lockstep_merged_subscriber* raw_ = nullptr;
};

} // namespace lockstep

#endif // LOCKSTEP_HPP
