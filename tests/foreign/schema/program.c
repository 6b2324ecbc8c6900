/* What a user of the generated header does. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "each.h"
#include "fills.h"

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
        if (fills_new_fill_matches(payload, len)) {
            *out_len = FILLS_NEW_FILL_LEN;
            wrong = fills_new_fill_decode(&fill, payload, len);
            return wrong ? wrong : fills_new_fill_encode(&fill, out);
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
    uint8_t out[256];
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
    assert(fills_new_fill_encode(&fill, out) == NULL);
    print_hex(out, FILLS_NEW_FILL_LEN);
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
