#include <stdio.h>

#include "mesh/address.h"
#include "mesh/gate.h"
#include "tests/crypto/support.h"

static struct mn_now now = {MN_SEC, MN_SEC};

static const struct {
    const char *address, *host;
    bool is_loopback;
} addresses[] = {{"127.0.0.1:7000", "127.0.0.1", true},
                 {"127.9.9.9:1", "127.9.9.9", true},
                 {"[::1]:7000", "::1", true},
                 {"::1", "::1", true},
                 {"[::ffff:127.0.0.1]:7000", "::ffff:127.0.0.1", true},
                 {"[0:0:0:0:0:0:0:1]:80", "0:0:0:0:0:0:0:1", true},
                 {"localhost:7000", "localhost", true},
                 {"127.0.0.1.example:7000", "127.0.0.1.example", false},
                 {"128.0.0.1:7000", "128.0.0.1", false},
                 {"127.0.0.256:1", "127.0.0.256", false},
                 {"[::2]:7000", "::2", false},
                 {"[::ffff:10.0.0.1]:7", "::ffff:10.0.0.1", false},
                 {"[fe80::1%lo]:7000", "fe80::1%lo", false},
                 {"seed:7000", "seed", false},
                 {"seed", "seed", false},
                 {"[::1", "[::1", false},
                 {"", "", false},
                 {":", "", false}};

START_TEST(hosts_and_loopback)
{
    struct mn_span address = mn_span_str(addresses[_i].address);
    struct mn_buf *exact = mn_buf_copy(address);

    ck_assert(mn_span_is(address_host(address), addresses[_i].host));
    ck_assert_int_eq(address_is_loopback(mn_buf_span(exact)), addresses[_i].is_loopback);
    mn_buf_unref(exact);
}
END_TEST

static bool is_same_network(const char *a, const char *b)
{
    uint8_t x[ADDRESS_NETWORK_SIZE], y[ADDRESS_NETWORK_SIZE];

    address_network(mn_span_str(a), x);
    address_network(mn_span_str(b), y);
    return memcmp(x, y, sizeof x) == 0;
}

START_TEST(limits_apply_to_networks)
{
    ck_assert(is_same_network("1.2.3.4:1", "1.2.3.4:2"));
    ck_assert(!is_same_network("1.2.3.4:1", "1.2.3.5:1"));
    ck_assert(is_same_network("1.2.3.4:1", "[::ffff:1.2.3.4]:1"));
    ck_assert(is_same_network("[2001:db8:1:2::1]:1", "[2001:DB8:1:2:ffff::9]:2"));
    ck_assert(!is_same_network("[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1"));
    ck_assert(is_same_network("[2001:db8::1]:1", "[2001:db8:0:0:5:6:7:8]:1"));
    ck_assert(!is_same_network("n1:7000", "n2:7000"));
    ck_assert(is_same_network("n1:7000", "n1:7001"));
}
END_TEST

/* How many of [tries] at once get in. */
static unsigned knock(struct gate *gate, const char *address, bool is_favoured, unsigned tries)
{
    unsigned in = 0;

    for (unsigned i = 0; i < tries; i++)
        in += gate_admit(gate, now, mn_span_str(address), is_favoured);
    return in;
}

START_TEST(bursts_and_rates)
{
    struct gate *gate = gate_new(1);

    ck_assert_uint_eq(knock(gate, "1.1.1.1:1", false, 50), 20);
    now.mono += 500 * MN_MS;
    ck_assert_uint_eq(knock(gate, "1.1.1.1:1", false, 50), 5);
    now.mono += MN_HOUR;
    ck_assert_uint_eq(knock(gate, "1.1.1.1:1", false, 50), 20);
    ck_assert_uint_eq(knock(gate, "127.0.0.1:1", true, 200), 20); /* fills faster, not deeper */
    now.mono += MN_SEC;
    ck_assert_uint_eq(knock(gate, "127.0.0.1:1", true, 200), 100);
    gate_free(gate);
}
END_TEST

static unsigned ring(struct gate *gate, const char *address, bool is_favoured, unsigned tries)
{
    unsigned in = 0;

    for (unsigned i = 0; i < tries; i++)
        in += gate_knock(gate, now, mn_span_str(address), is_favoured);
    return in;
}

/* Those who only knock take nothing from those who begin a handshake. */
START_TEST(knocks_are_counted_apart)
{
    struct gate *gate = gate_new(1);

    ck_assert_uint_eq(ring(gate, "1.1.1.1:1", false, 500), 100);
    ck_assert_uint_eq(knock(gate, "1.1.1.1:1", false, 50), 20);
    now.mono += 500 * MN_MS;
    ck_assert_uint_eq(ring(gate, "1.1.1.1:1", false, 500), 50);
    ck_assert_uint_eq(ring(gate, "127.0.0.1:1", true, 5000), 100);
    now.mono += MN_SEC;
    ck_assert_uint_eq(ring(gate, "127.0.0.1:1", true, 5000), 2000);
    ck_assert_uint_eq(ring(gate, "1.1.1.1:1", false, 500), 0); /* all together are too many */
    ck_assert_uint_eq(knock(gate, "127.0.0.1:1", true, 200), 100);
    gate_free(gate);
}
END_TEST

START_TEST(all_together_are_limited_and_memory_is_bounded)
{
    struct gate *gate = gate_new(1);
    unsigned in = 0;
    char address[32];

    for (unsigned i = 0; i < 100000; i++) {
        snprintf(address, sizeof address, "%u.%u.%u.1:9", i >> 16, i >> 8 & 255, i & 255);
        in += knock(gate, address, false, 1);
        now.mono += 100;
    }
    ck_assert_uint_le(in, 200 + 200 * 10);
    gate_free(gate);
}
END_TEST

/* A flood from 500 networks takes all that strangers may have, and members come in beside it. */
START_TEST(strangers_from_everywhere_leave_room_for_members)
{
    struct gate *gate = gate_new(1);
    unsigned members = 0, strangers = 0, rung = 0;
    char address[32];

    for (unsigned i = 0; i < 50000; i++) { /* five seconds */
        snprintf(address, sizeof address, "1.%u.%u.1:9", i % 500 >> 8, i % 500 & 255);
        strangers += knock(gate, address, false, 1);
        ring(gate, address, false, 1);
        now.mono += 100;
        if (i % 200 != 0) continue; /* 50 a second */
        members += knock(gate, "10.9.9.9:1", true, 1);
        rung += ring(gate, "10.9.9.9:1", true, 1);
    }
    ck_assert_uint_eq(members, 250);
    ck_assert_uint_eq(rung, 250);
    ck_assert_uint_gt(strangers, 5 * (200 - 50) - 10); /* nothing is left unused */
    gate_free(gate);
}
END_TEST

START_TEST(refusals_shut_the_gate_for_a_minute)
{
    struct gate *gate = gate_new(1);

    for (int i = 0; i < GATE_REFUSALS_MAX; i++) {
        ck_assert_uint_eq(knock(gate, "1.1.1.1:1", false, 1), 1);
        gate_on_refusal(gate, now, mn_span_str("1.1.1.1:1"));
        gate_on_refusal(gate, now, mn_span_str("127.0.0.1:1"));
        now.mono += 100 * MN_MS;
    }
    ck_assert_uint_eq(knock(gate, "1.1.1.1:1", false, 10), 0);
    ck_assert_uint_ge(knock(gate, "127.0.0.1:1", true, 10), 10);
    ck_assert_uint_ge(knock(gate, "1.1.1.2:1", false, 10), 10);
    now.mono += MN_MINUTE;
    ck_assert_uint_ge(knock(gate, "1.1.1.1:1", false, 10), 10);
    gate_free(gate);
}
END_TEST

START_TEST(bans_double_up_to_an_hour)
{
    struct gate *gate = gate_new(1);
    mn_id node = {{1}}, other = {{2}};
    mn_time length = MN_MINUTE;

    for (int i = 0; i < 10; i++) {
        mn_time until = gate_ban(gate, now, &node);
        ck_assert_uint_eq(until - now.mono, length);
        ck_assert(gate_is_banned(gate, now, &node));
        ck_assert(!gate_is_banned(gate, now, &other));
        now.mono = until;
        ck_assert(!gate_is_banned(gate, now, &node));
        length = length * 2 < MN_HOUR ? length * 2 : MN_HOUR;
    }
    now.mono += 2 * MN_DAY;
    ck_assert_uint_eq(gate_ban(gate, now, &node) - now.mono, MN_MINUTE); /* forgiven */
    gate_free(gate);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gate");
    TCase *tcase = tcase_create("gate");

    tcase_add_loop_test(tcase, hosts_and_loopback, 0, sizeof addresses / sizeof *addresses);
    tcase_add_test(tcase, limits_apply_to_networks);
    tcase_add_test(tcase, bursts_and_rates);
    tcase_add_test(tcase, knocks_are_counted_apart);
    tcase_add_test(tcase, all_together_are_limited_and_memory_is_bounded);
    tcase_add_test(tcase, strangers_from_everywhere_leave_room_for_members);
    tcase_add_test(tcase, refusals_shut_the_gate_for_a_minute);
    tcase_add_test(tcase, bans_double_up_to_an_hour);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
