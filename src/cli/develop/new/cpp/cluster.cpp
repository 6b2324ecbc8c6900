// The program beside a cluster, where `lockstep` is in the PATH: `cluster PROGRAM`. Else it exits with 77, which CTest
// takes for a skip.

#include <cstdio>
#include <cstdlib>
#include <lockstep_testing.hpp>
#include <stdexcept>

namespace {

constexpr int skipped = 77;
constexpr auto patience = std::chrono::seconds(60);
constexpr std::uint32_t totals = LOCKSTEP_CHANNELS + 1;

void a_copy_of_the_machine_counts_what_is_published(const std::string& program) {
    const auto cluster = lockstep::dev_cluster::start().value();
    auto copy = cluster.run({program, "1"}).value();
    auto participant = lockstep::participant::connect(cluster.endpoint().value()).value();
    const auto me = participant.open("me", patience).value();
    for (int count = 0; count < 3; count++) participant.publish(me, "a message").value();
    std::vector<std::string> said;
    const auto end = std::chrono::steady_clock::now() + patience;
    while (said.size() < 3 && copy.is_running() && std::chrono::steady_clock::now() < end) {
        const auto on_event = [&](const lockstep::event& event) {
            const bool is_total = event.is(LOCKSTEP_EVENT_KIND_MESSAGE) && event->destination == totals;
            if (is_total) said.emplace_back(event.payload.text());
        };
        if (participant.poll(64, on_event).value() == 0) participant.wait(std::chrono::milliseconds(10)).value();
    }
    if (said != std::vector<std::string>{"total 1", "total 2", "total 3"}) {
        throw std::logic_error("the totals are others, or " + std::to_string(said.size()) + " of them");
    }
}

} // namespace

int main(int argc, char** argv) try {
    if (argc != 2) throw std::invalid_argument("usage: cluster PROGRAM");
    if (!lockstep::dev_cluster::is_here()) {
        std::puts("SKIPPED: the program `lockstep` is not in the PATH");
        return skipped;
    }
    // The copy has its snapshots in a folder of this run.
    char folder[] = "cluster-XXXXXX";
    if (mkdtemp(folder) == nullptr || chdir(folder) != 0) throw std::runtime_error("no folder can be made here");
    a_copy_of_the_machine_counts_what_is_published(argv[1]);
    std::puts("the test beside a cluster passed");
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "the test beside a cluster failed: %s\n", error.what());
    return 1;
}
