// A replicated counter: the machine of docs/APPLY.md in C++. `counter NUMBER [ADDRESS:PORT [SNAPSHOT_EVERY]]` is a
// replica of it.

#include <cstdio>
#include <lockstep_machine.hpp>
#include <map>
#include <sstream>

/// Messages by their publisher.
class counter : public lockstep::machine {
public:
    void apply(const lockstep::input& input, lockstep::output& output) override {
        if (input.is(LOCKSTEP_INPUT_KIND_MESSAGE) && input->destination == LOCKSTEP_EVERYBODY) {
            counts[input->publisher]++;
            output.publish("total " + std::to_string(total()), totals);
            output.timer_after(quiet, std::chrono::seconds(2));
        } else if (input.is(LOCKSTEP_INPUT_KIND_TIMER)) {
            output.publish("quiet at " + std::to_string(total()), totals);
        }
    }

    void snapshot(lockstep::sink& out) const override {
        for (const auto& [publisher, count] : counts) {
            out.write(std::to_string(publisher) + " " + std::to_string(count) + "\n");
        }
    }

    void restore(lockstep::bytes state) override {
        std::istringstream text{std::string(state.text())};
        for (std::uint32_t publisher; text >> publisher;) text >> counts[publisher];
    }

    void query(lockstep::bytes, lockstep::sink& answer) const override {
        answer.write("total " + std::to_string(total()));
    }

private:
    /// The channel that it publishes to, and the key of its one timer.
    static constexpr std::uint32_t totals = LOCKSTEP_CHANNELS + 1;
    static constexpr std::uint64_t quiet = 1;

    std::uint64_t total() const {
        std::uint64_t sum = 0;
        for (const auto& [publisher, count] : counts) sum += count;
        return sum;
    }

    std::map<std::uint32_t, std::uint64_t> counts;
};

int main(int argc, char** argv) try {
    if (argc < 2) throw std::invalid_argument("usage: counter NUMBER [ADDRESS:PORT [SNAPSHOT_EVERY]]");
    lockstep::app_settings settings("counter", static_cast<std::uint32_t>(std::stoul(argv[1])),
                                    "counter-" + std::string(argv[1]));
    if (argc > 2) settings.serve = argv[2];
    if (argc > 3) settings.numbers.snapshot_every = std::stoull(argv[3]);
    const auto endpoint = lockstep::endpoint::from_env().value();
    lockstep::run(endpoint, settings, [] { return std::make_unique<counter>(); }).value();
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "Error: %s\n", error.what());
    return 1;
}
