// What a user of the generated header does.
#include <cassert>
#include <iostream>
#include <limits>
#include <vector>

#include "each.hpp"
#include "fills.hpp"

template <typename Bytes>
static void print_hex(const Bytes& bytes) {
    for (const std::uint8_t byte : bytes) {
        std::cout << "0123456789abcdef"[byte >> 4] << "0123456789abcdef"[byte & 15];
    }
    std::cout << "\n";
}

template <typename Message>
static void print_fault(const Message& message) {
    try {
        print_hex(message.encode());
    } catch (const std::invalid_argument& wrong) {
        std::cout << wrong.what() << "\n";
    }
}

int main() {
    each::each it;
    it.on = true;
    it.side = each::side_t::sell;
    it.state = each::state_t::open;
    it.u1 = 200;
    it.u2 = 513;
    it.u3 = 66051;
    it.u6 = 1108152157446;
    it.u8 = UINT64_MAX;
    it.i1 = -2;
    it.i3 = -70000;
    it.i5 = -5;
    it.i8 = INT64_MIN;
    it.last_price = 1234500;
    it.spread = -1;
    it.ratio = 0.5f;
    it.rate = -0.25;
    it.stock = "AB C";
    it.account = "xyz";
    it.terms = each::terms_t::hidden | each::terms_t::post_only;
    it.class_ = 7;
    const auto encoded = it.encode();
    print_hex(encoded);
    const auto decoded = each::each::decode({reinterpret_cast<const char*>(encoded.data()), encoded.size()});
    assert(decoded.i8 == INT64_MIN && decoded.i3 == -70000 && decoded.stock.view() == "AB C");
    it.u3 = 1 << 24;
    print_fault(it);
    it.u3 = 1;
    it.i3 = -(1 << 23) - 1;
    print_fault(it);
    each::other other;
    other.stock = "z";
    print_hex(other.encode());
    try {
        other.stock = "zzz";
        assert(false);
    } catch (const std::invalid_argument&) {
    }
    fills::new_fill fill;
    fill.cl_ord_id = "ORD1";
    fill.price = -99610;
    fill.stop_px = std::numeric_limits<std::int64_t>::max();
    fill.party_side = fills::party_side_t::sell;
    fill.party_desk = 5;
    fill.party_role = fills::party_role_t::maker;
    fill.terms = fills::terms_t::hidden | fills::terms_t::post_only;
    fill.halt_reason = fills::halt_reason_t::efp_only;
    fill.new_fill_timestamp = UINT64_MAX;
    fill.share = 0.5f;
    fill.rate = -0.25;
    fill.spread_mantissa = -7;
    fill.spread_exponent = -2;
    fill.late = -2;
    print_hex(fill.encode());
    fills::basket basket;
    basket.side = fills::side_t::buy;
    basket.legs.resize(2);
    basket.legs[0].side = fills::side_t::sell;
    basket.legs[0].px = 1500;
    basket.legs[0].md_allocs.resize(2);
    basket.legs[0].md_allocs[0].qty = basket.legs[0].md_allocs[1].qty = 258;
    basket.legs[0].md_allocs[0].account = "AB";
    basket.legs[1].side = fills::side_t::buy;
    basket.legs[1].px = -1;
    basket.hedges.resize(1);
    basket.hedges[0].ratio = 0.5f;
    basket.raw = std::string("\xff\0\1", 3);
    basket.remark = "\xc3\xbc";
    print_hex(basket.encode());
    basket.legs[0].md_allocs[0].account = std::string(256, ' ');
    try {
        print_hex(basket.encode());
    } catch (const std::invalid_argument& wrong) {
        std::cout << wrong.what() << "\n";
    }
    std::string schema, hex;
    while (std::cin >> schema >> hex) {
        std::vector<char> payload;
        for (std::size_t at = 0; at < hex.size(); at += 2) {
            payload.push_back(static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16)));
        }
        const std::basic_string_view<char> bytes(payload.data(), payload.size());
        const auto again = [](const auto& message) { print_hex(message.encode()); };
        try {
            if (schema == "each") {
                std::visit(again, each::decode_any(bytes));
            } else {
                std::visit(again, fills::decode_any(bytes));
            }
        } catch (const std::invalid_argument& wrong) {
            std::cout << wrong.what() << "\n";
        }
    }
}
