// `cluster TIMEOUT_MS` starts a dev_cluster and prints why there is none; tests/foreign/bindings.rs runs it, under
// AddressSanitizer, with another program in the place of `lockstep`.
#include "check.h"
#include <lockstep_testing.hpp>

int main(int argc, char** argv) {
    CHECK(argc == 2);
    const auto started = lockstep::dev_cluster::start({}, std::chrono::milliseconds(std::atoi(argv[1])));
    CHECK(!started);
    std::printf("%d: %s\n", started.status(), started.error().what());
    return 0;
}
