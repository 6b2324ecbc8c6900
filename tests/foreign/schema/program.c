/* What a user of the generated header does. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "each.h"
#include "fills.h"

enum { OUT_LEN = 256 };

static void print_hex(const uint8_t *bytes, size_t len) {
    for (size_t at = 0; at < len; at++) {
        printf("%02x", bytes[at]);
    }
    printf("\n");
}

static const char *again(const char *schema, const uint8_t *payload, size_t len, uint8_t *out, size_t *out_len) {
    const char *wrong;
    if (schema[0] == 'f') {
        fills_new_fill fill;
        fills_halted halted;
        fills_basket basket;
        char room[1024];
        fills_memory memory = {room, sizeof room, 0};
        if (fills_new_fill_matches(payload, len)) {
            wrong = fills_new_fill_decode(&fill, payload, len, &memory);
            return wrong ? wrong : fills_new_fill_encode(&fill, out, OUT_LEN, out_len);
        }
        if (fills_basket_matches(payload, len)) {
            wrong = fills_basket_decode(&basket, payload, len, &memory);
            return wrong ? wrong : fills_basket_encode(&basket, out, OUT_LEN, out_len);
        }
        if (!fills_halted_matches(payload, len)) {
            return "the payload is no message of the schema";
        }
        *out_len = FILLS_HALTED_LEN;
        wrong = fills_halted_decode(&halted, payload, len);
        return wrong ? wrong : fills_halted_encode(&halted, out);
    }
    each_each each;
    each_empty empty;
    each_other other;
    if (each_each_matches(payload, len)) {
        *out_len = EACH_EACH_LEN;
        wrong = each_each_decode(&each, payload, len);
        return wrong ? wrong : each_each_encode(&each, out);
    }
    if (each_empty_matches(payload, len)) {
        *out_len = EACH_EMPTY_LEN;
        wrong = each_empty_decode(&empty, payload, len);
        return wrong ? wrong : each_empty_encode(&empty, out);
    }
    *out_len = EACH_OTHER_LEN;
    wrong = each_other_decode(&other, payload, len);
    return wrong ? wrong : each_other_encode(&other, out);
}

int main(void) {
    uint8_t out[OUT_LEN];
    each_each it = {
        .on = true, .side = EACH_SIDE_SELL, .state = EACH_STATE_OPEN, .u1 = 200, .u2 = 513, .u3 = 66051,
        .u6 = 1108152157446, .u8 = UINT64_MAX, .i1 = -2, .i3 = -70000, .i5 = -5, .i8 = INT64_MIN,
        .last_price = 1234500, .spread = -1, .ratio = 0.5f, .rate = -0.25, .stock = "AB C", .account = "xyz",
        .terms = EACH_TERMS_HIDDEN | EACH_TERMS_POST_ONLY, .class_ = 7,
    };
    assert(each_each_encode(&it, out) == NULL);
    print_hex(out, EACH_EACH_LEN);
    each_each decoded;
    assert(each_each_decode(&decoded, out, EACH_EACH_LEN) == NULL);
    assert(decoded.i8 == INT64_MIN && decoded.i3 == -70000 && strcmp(decoded.stock, "AB C") == 0);
    it.u3 = 1 << 24;
    printf("%s\n", each_each_encode(&it, out));
    it.u3 = 1;
    it.i3 = -(1 << 23) - 1;
    printf("%s\n", each_each_encode(&it, out));
    each_other other = {.stock = "z"};
    assert(each_other_encode(&other, out) == NULL);
    print_hex(out, EACH_OTHER_LEN);
    memcpy(other.stock, "zzz", 3);
    assert(each_other_encode(&other, out) != NULL);
    fills_new_fill fill = {
        .cl_ord_id = "ORD1", .price = -99610, .stop_px = INT64_MAX, .party_side = FILLS_PARTY_SIDE_SELL,
        .party_desk = 5, .party_role = FILLS_PARTY_ROLE_MAKER, .terms = FILLS_TERMS_HIDDEN | FILLS_TERMS_POST_ONLY,
        .halt_reason = FILLS_HALT_REASON_EFP_ONLY, .new_fill_timestamp = UINT64_MAX, .share = 0.5f, .rate = -0.25,
        .spread_mantissa = -7, .spread_exponent = -2, .late = -2,
    };
    size_t encoded = 0;
    assert(fills_new_fill_encode(&fill, out, sizeof out, &encoded) == NULL && encoded == FILLS_NEW_FILL_LEN);
    print_hex(out, encoded);
    const uint8_t raw[] = {255, 0, 1}, many[256] = {0};
    fills_basket_legs_md_allocs allocs[] = {{.qty = 258, .account = (const uint8_t *)"AB", .account_len = 2}, {.qty = 258}};
    const fills_basket_legs legs[] = {
        {.side = FILLS_SIDE_SELL, .px = 1500, .md_allocs = allocs, .md_allocs_len = 2},
        {.side = FILLS_SIDE_BUY, .px = -1},
    };
    const fills_basket_hedges hedge = {.ratio = 0.5f};
    const fills_basket basket = {
        .side = FILLS_SIDE_BUY, .legs = legs, .legs_len = 2, .hedges = &hedge, .hedges_len = 1, .raw = raw, .raw_len = 3,
        .remark = (const uint8_t *)"\xc3\xbc", .remark_len = 2,
    };
    assert(fills_basket_encode(&basket, out, sizeof out, &encoded) == NULL);
    print_hex(out, encoded);
    fills_basket again_basket;
    char little[16];
    fills_memory memory = {little, sizeof little, 0};
    assert(strcmp(fills_basket_decode(&again_basket, out, encoded, &memory),
                  "legs: the memory has no room for its entries") == 0);
    for (size_t room = 0; room < encoded; room++) {
        uint8_t *exact = malloc(room + 1);
        size_t len = 0;
        assert(strcmp(fills_basket_encode(&basket, exact, room, &len), "there is no room for the message") == 0);
        free(exact);
    }
    allocs[0].account = many;
    allocs[0].account_len = sizeof many;
    printf("%s\n", fills_basket_encode(&basket, out, sizeof out, &encoded));
    char schema[16], hex[1024];
    while (scanf("%15s %1023s", schema, hex) == 2) {
        const size_t len = strlen(hex) / 2;
        uint8_t *payload = malloc(len); /* of its own size, so that a read behind it is seen */
        for (size_t at = 0; at < len; at++) {
            const char digits[3] = {hex[2 * at], hex[2 * at + 1], 0};
            payload[at] = (uint8_t)strtoul(digits, NULL, 16);
        }
        size_t out_len = 0;
        const char *wrong = again(schema, payload, len, out, &out_len);
        if (wrong) {
            printf("%s\n", wrong);
        } else {
            print_hex(out, out_len);
        }
        free(payload);
    }
    return 0;
}
