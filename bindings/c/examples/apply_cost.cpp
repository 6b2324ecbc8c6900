// What an input costs in C++ beside Rust: a machine core applies messages to the counter of docs/APPLY.md in both, in
// turn. `apply_cost [MESSAGES [ROUNDS]]` needs no cluster.

#define main run_counter
#include "counter.cpp"
#undef main
#include <algorithm>
#include <vector>

namespace {

void print(const char* language, std::vector<double> costs) {
    std::sort(costs.begin(), costs.end());
    std::printf("%s: %.0f ns/message [%.0f-%.0f]\n", language, costs[costs.size() / 2], costs.front(), costs.back());
}

} // namespace

int main(int argc, char** argv) {
    const std::uint64_t messages = argc > 1 ? std::stoull(argv[1]) : 200'000;
    const int rounds = argc > 2 ? std::stoi(argv[2]) : 7;
    std::vector<double> in_rust, in_cpp;
    for (int round = 0; round < rounds; round++) {
        in_rust.push_back(lockstep::apply_cost(nullptr, messages).value());
        in_cpp.push_back(lockstep::apply_cost([] { return std::make_unique<counter>(); }, messages).value());
    }
    print("Rust", in_rust);
    print("C++", in_cpp);
}
