// Clusters for tests of programs, for C++17: `lockstep dev` as a process, for as long as a test runs.
//
//   auto cluster = lockstep::dev_cluster::start().value();
//   auto copy = cluster.run({"build/order-book", "1"}).value();
//   auto participant = lockstep::participant::connect(cluster.endpoint().value()).value();
//
// It needs no framework of tests. A program of CTest exits with the number of its SKIP_RETURN_CODE where is_here() says
// no; lockstep new NAME --cpp makes a project with such a test.

#ifndef LOCKSTEP_TESTING_HPP
#define LOCKSTEP_TESTING_HPP

#include "lockstep.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <initializer_list>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace lockstep {

namespace detail {

/// An end of a pipe.
class descriptor {
public:
    descriptor() noexcept = default;
    explicit descriptor(int raw) noexcept : raw_(raw) {}
    descriptor(descriptor&& other) noexcept : raw_(std::exchange(other.raw_, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~descriptor() { close(); }

    int get() const noexcept { return raw_; }
    void close() noexcept {
        if (raw_ >= 0) ::close(std::exchange(raw_, -1));
    }

private:
    int raw_ = -1;
};

/// What a system call has failed with.
inline failure system_failure(const std::string& doing, int error) {
    return failure(LOCKSTEP_STATUS_IO, doing + ": " + std::strerror(error));
}

/// A child of this process. It is killed with the value.
class child {
public:
    child() noexcept = default;
    child(child&& other) noexcept : pid_(std::exchange(other.pid_, 0)), status_(other.status_) {}
    child& operator=(child&& other) noexcept {
        std::swap(pid_, other.pid_);
        std::swap(status_, other.status_);
        return *this;
    }
    ~child() { kill(); }

    /// Starts a program, which is searched in the PATH, with these variables beside those of this process. Its stdin and
    /// stdout are `in` and `out`, where they are not -1.
    static result<child> start(const std::vector<std::string>& command,
                               std::initializer_list<std::pair<std::string, std::string>> variables, int in, int out) {
        if (command.empty()) return failure(LOCKSTEP_STATUS_ARGUMENT, "command is empty: it begins with a program");
        std::vector<std::string> words;
        for (const auto& [name, value] : variables) words.push_back(name + "=" + value);
        const auto is_replaced = [&](const char* word) {
            return std::any_of(variables.begin(), variables.end(), [&](const auto& variable) {
                const std::string begin = variable.first + "=";
                return std::strncmp(word, begin.c_str(), begin.size()) == 0;
            });
        };
        std::vector<char*> arguments, environment;
        for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
        for (auto& word : words) environment.push_back(word.data());
        for (char** word = environ; *word != nullptr; word++) {
            if (!is_replaced(*word)) environment.push_back(*word);
        }
        arguments.push_back(nullptr);
        environment.push_back(nullptr);
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        if (in >= 0) posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
        if (out >= 0) posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        child started;
        const int error =
            posix_spawnp(&started.pid_, arguments[0], &actions, nullptr, arguments.data(), environment.data());
        posix_spawn_file_actions_destroy(&actions);
        if (error == 0) return started;
        started.pid_ = 0;
        return system_failure("starting `" + command[0] + "`", error);
    }

    /// How it has ended, by waitpid; none while it runs.
    std::optional<int> ended() noexcept { return waited(WNOHANG); }

    /// The same within this time.
    std::optional<int> ended_within(std::chrono::nanoseconds timeout) {
        const auto end = std::chrono::steady_clock::now() + timeout;
        while (!ended() && std::chrono::steady_clock::now() < end) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        return ended();
    }

    /// Waits for its end.
    void wait() noexcept { waited(0); }

    void kill() noexcept {
        if (pid_ > 0 && !status_) ::kill(pid_, SIGKILL);
        wait();
    }

private:
    std::optional<int> waited(int flags) noexcept {
        if (pid_ <= 0 || status_) return status_;
        int status = 0;
        pid_t answer = 0;
        do answer = waitpid(pid_, &status, flags);
        while (answer < 0 && errno == EINTR);
        // Somebody else may have waited for it: it is gone all the same.
        if (answer != 0) status_ = status;
        return status_;
    }

    pid_t pid_ = 0;
    std::optional<int> status_;
};

} // namespace detail

/// A program under test, as a process beside a dev_cluster. It is killed with the value.
class program {
public:
    bool is_running() noexcept { return !child_.ended(); }

    /// Its exit code, once it has ended by itself within this time; none where it runs on, or where a signal has ended it.
    std::optional<int> exit_code(std::chrono::nanoseconds timeout) {
        const std::optional<int> status = child_.ended_within(timeout);
        if (!status || !WIFEXITED(*status)) return std::nullopt;
        return WEXITSTATUS(*status);
    }

    /// Kills it, and waits for its end.
    void kill() noexcept { child_.kill(); }

private:
    friend class dev_cluster;
    explicit program(detail::child child) noexcept : child_(std::move(child)) {}
    detail::child child_;
};

/// Three replicas on this host, of which one leads, until the value ends. It is the program `lockstep dev`, as a process;
/// what the replicas log goes to stderr. A value can be moved, not copied.
class dev_cluster {
public:
    /// How long a start may take, by default. `lockstep dev` itself waits for a leader half as long.
    static constexpr std::chrono::seconds start_timeout{120};

    /// Whether the program `lockstep` is in the PATH: without it a test is skipped.
    static bool is_here() {
        const char* path = std::getenv("PATH");
        for (std::string_view left(path == nullptr ? "" : path); !left.empty();) {
            const std::string_view folder = left.substr(0, left.find(':'));
            left.remove_prefix(std::min(folder.size() + 1, left.size()));
            if (access((std::string(folder) + "/lockstep").c_str(), X_OK) == 0) return true;
        }
        return false;
    }

    /// Starts a cluster with a stream that begins, and waits until a replica leads. `flags` are those of `lockstep dev`,
    /// e.g. {"--set", "stream.message_len_max=1024"}. LOCKSTEP_STATUS_TIMED_OUT: none leads within `timeout`.
    /// LOCKSTEP_STATUS_IO: `lockstep` is not in the PATH, or runs no cluster here; stderr says why.
    static result<dev_cluster> start(const std::vector<std::string>& flags = {},
                                     std::chrono::milliseconds timeout = start_timeout) {
        if (!is_here()) return failure(LOCKSTEP_STATUS_IO, "the program `lockstep` is not in the PATH");
        std::vector<std::string> command{"lockstep", "dev", "--until-stdin-ends"};
        command.insert(command.end(), flags.begin(), flags.end());
        int in[2], out[2];
        if (pipe2(in, O_CLOEXEC) != 0) return detail::system_failure("making a pipe", errno);
        detail::descriptor reads(in[0]);
        dev_cluster started;
        started.stdin_ = detail::descriptor(in[1]);
        if (pipe2(out, O_CLOEXEC) != 0) return detail::system_failure("making a pipe", errno);
        started.stdout_ = detail::descriptor(out[0]);
        detail::descriptor writes(out[1]);
        auto child = detail::child::start(command, {}, reads.get(), writes.get());
        if (!child) return child.error();
        started.child_ = std::move(*child);
        writes.close();
        if (const auto why = started.await_leader(timeout)) return *why;
        return started;
    }

    dev_cluster(dev_cluster&&) noexcept = default;
    dev_cluster& operator=(dev_cluster&&) noexcept = default;
    ~dev_cluster() { close(); }

    /// The cluster's file, for LOCKSTEP_CONFIG of a program that is tested.
    const std::string& config() const noexcept { return config_; }

    /// The endpoint of that file.
    result<lockstep::endpoint> endpoint() const { return lockstep::endpoint::from_file(config_); }

    /// Starts a program with that file in LOCKSTEP_CONFIG: its path, and its arguments.
    result<program> run(const std::vector<std::string>& command) const {
        auto child = detail::child::start(command, {{"LOCKSTEP_CONFIG", config_}}, -1, -1);
        if (!child) return child.error();
        return program(std::move(*child));
    }

    /// Ends the cluster, and waits for its end. A second call does nothing.
    void close() noexcept {
        stdin_.close(); // the cluster ends with it
        child_.wait();
    }

private:
    /// How long a cluster that is late has to end by itself.
    static constexpr std::chrono::seconds end_timeout{5};

    dev_cluster() noexcept = default;

    /// Reads the lines of `lockstep dev` up to that of the file; or why there is none.
    std::optional<failure> await_leader(std::chrono::milliseconds timeout) {
        const std::string begin = "export LOCKSTEP_CONFIG=";
        const auto end = std::chrono::steady_clock::now() + timeout;
        std::string said;
        for (;;) {
            for (std::size_t at = said.find('\n'); at != std::string::npos; at = said.find('\n')) {
                const std::size_t found = said.find(begin);
                if (found < at) {
                    config_ = said.substr(found + begin.size(), at - found - begin.size());
                    return std::nullopt;
                }
                said.erase(0, at + 1);
            }
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
            pollfd wanted{stdout_.get(), POLLIN, 0};
            const int ready = poll(&wanted, 1, static_cast<int>(std::clamp<long long>(left.count(), 0, 1 << 30)));
            if (ready == 0) return late(timeout);
            char buffer[4096];
            const ssize_t len = ready < 0 ? -1 : read(stdout_.get(), buffer, sizeof buffer);
            if (len < 0 && errno == EINTR) continue;
            if (len <= 0) return gone();
            said.append(buffer, static_cast<std::size_t>(len));
        }
    }

    /// Ends a cluster that nobody will have: it removes its folder, if it ends by itself.
    void end() {
        stdin_.close();
        if (!child_.ended_within(end_timeout)) child_.kill();
    }

    failure late(std::chrono::milliseconds timeout) {
        end();
        return failure(LOCKSTEP_STATUS_TIMED_OUT, "`lockstep dev` has no leader after " +
                                                      std::to_string(timeout.count()) + " ms, and was ended; stderr says why");
    }

    failure gone() {
        end();
        const int status = child_.ended().value_or(0);
        const std::string how = WIFEXITED(status) ? "code " + std::to_string(WEXITSTATUS(status))
                                                  : "signal " + std::to_string(WTERMSIG(status));
        return failure(LOCKSTEP_STATUS_IO, "`lockstep dev` ended with " + how + " before a replica led; stderr says why");
    }

    detail::descriptor stdin_;
    /// Open as long as the cluster runs: it could print no more otherwise.
    detail::descriptor stdout_;
    detail::child child_;
    std::string config_;
};

} // namespace lockstep

#endif // LOCKSTEP_TESTING_HPP
