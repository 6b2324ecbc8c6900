// Tests of the machine: inputs by hand, beside a twin that is restored from snapshots, and a trial under faults.

#include "counter.hpp"

namespace {

std::unique_ptr<lockstep::machine> makes() { return std::make_unique<counter>(); }

/// A message to everybody, this one of the stream.
lockstep_input message(std::uint64_t seq, std::uint32_t publisher) {
    lockstep_input row{};
    row.kind = LOCKSTEP_INPUT_KIND_MESSAGE;
    row.seq = seq;
    row.time = seq * 1'000'000;
    row.publisher = publisher;
    row.publisher_seq = seq;
    return row;
}

std::string sends(std::uint64_t user, std::uint64_t number) {
    return "message " + std::to_string(number) + " of " + std::to_string(user);
}

void check(bool holds, const char* what) {
    if (!holds) throw std::logic_error(what);
}

void each_message_has_its_total_also_behind_a_snapshot() {
    std::vector<lockstep_input> inputs;
    for (std::uint64_t seq = 1; seq <= 20; seq++) inputs.push_back(message(seq, static_cast<std::uint32_t>(seq % 3)));
    const auto report = lockstep::twice<counter>(makes, inputs).value();
    check(report.outputs == 21, "twenty totals, and one word of quiet");
}

void no_counter_ever_forgets_a_message() {
    lockstep::trial_plan<counter> plan;
    plan.seeds = 20;
    plan.message = sends;
    const auto report = lockstep::trial<counter>(makes, plan).value();
    check(report.restored > 0 && report.timers_fired > 0, "the trial restores copies, and timers fire");
}

} // namespace

int main() try {
    each_message_has_its_total_also_behind_a_snapshot();
    no_counter_ever_forgets_a_message();
    std::puts("both tests passed");
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "a test failed: %s\n", error.what());
    return 1;
}
