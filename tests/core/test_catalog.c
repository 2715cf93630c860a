/* Catalogs of two or three nodes that talk to each other directly, in virtual time. */
#include <check.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/core/catalog.h"
#include "node/core/catalog_wire.h"
#include "tests/suite.h"

#define NODES 3

static struct identity selves[NODES];
static struct catalog *catalogs[NODES];
static bool linked[NODES][NODES];
static struct catalog_outbox outboxes[NODES];
static struct mn_arena arenas[NODES];
static struct mn_now now;
static uint32_t changed[NODES][NODES], published[NODES], sent;
static bool lose_bodies;
static size_t memory_max;
static const mn_id mesh = {{7}};
static uint8_t roots[NODES][CATALOG_ROOT_SIZE]; /* as published last */

struct letter {
    uint32_t from, to;
    struct mn_buf *buf;
};
static struct letter letters[4096];
static uint32_t letters_read, letters_written;

static uint32_t index_of(const mn_id *node)
{
    for (uint32_t i = 0; i < NODES; i++)
        if (mn_id_equal(&selves[i].node_id, node)) return i;
    ck_abort_msg("a node of the test");
    return 0;
}

static void step(uint32_t node, const struct catalog_input *input);

/* The record of [of], as membership would tell it to all others. */
static void announce(uint32_t of, const uint8_t *root)
{
    struct catalog_input input = {.type = CATALOG_IN_MEMBER, .node = selves[of].node_id};

    memcpy(input.member.sign_pk, selves[of].key.pk, sizeof input.member.sign_pk);
    memcpy(input.member.root, root, sizeof input.member.root);
    for (uint32_t i = 0; i < NODES; i++)
        if (i != of && catalogs[i] != NULL) step(i, &input);
}

static void drain(uint32_t node)
{
    struct catalog_outbox out = outboxes[node];

    outboxes[node] = (struct catalog_outbox){.arena = &arenas[node]};
    for (uint32_t i = 0; i < out.count; i++) {
        struct catalog_output *item = &out.items[i];
        switch (item->type) {
        case CATALOG_OUT_SEND:
            ck_assert_uint_lt(letters_written, 4096);
            letters[letters_written++] = (struct letter){node, index_of(&item->node), item->buf};
            sent++;
            break;
        case CATALOG_OUT_CHANGED: changed[node][index_of(&item->node)]++; break;
        case CATALOG_OUT_PUBLISH:
            published[node]++;
            memcpy(roots[node], item->root, sizeof roots[node]);
            announce(node, roots[node]);
            break;
        }
    }
}

static void step(uint32_t node, const struct catalog_input *input)
{
    catalog_step(catalogs[node], now, input, &outboxes[node]);
    catalog_check(catalogs[node]);
    drain(node);
}

static bool is_body(struct mn_span bytes)
{
    struct mn_arena arena = {0};
    struct catalog_wire_message message;
    bool is = catalog_wire_decode(bytes, &mesh, &arena, &message) == MN_OK &&
              message.type == CATALOG_WIRE_BODY;

    mn_arena_done(&arena);
    return is;
}

static void deliver(void)
{
    while (letters_read < letters_written) {
        struct letter letter = letters[letters_read++];
        bool is_lost =
            !linked[letter.from][letter.to] || (lose_bodies && is_body(mn_buf_span(letter.buf)));
        if (!is_lost)
            step(letter.to, &(struct catalog_input){.type = CATALOG_IN_MESSAGE,
                                                    .node = selves[letter.from].node_id,
                                                    .message = mn_buf_span(letter.buf)});
        mn_buf_unref(letter.buf);
    }
    letters_read = letters_written = 0;
    for (uint32_t i = 0; i < NODES; i++)
        mn_arena_reset(&arenas[i]);
}

static void run(mn_time time)
{
    mn_time end = now.mono + time;

    for (;;) {
        mn_time next = end;
        deliver();
        for (uint32_t i = 0; i < NODES; i++)
            next = mn_time_min(next, catalog_deadline(catalogs[i]));
        if (next >= end) break;
        if (next > now.mono) now.mono = next;
        for (uint32_t i = 0; i < NODES; i++)
            step(i, &(struct catalog_input){.type = CATALOG_IN_TICK});
    }
    now.mono = end;
}

static void offer(uint32_t node, const char *name, const char *body, char key)
{
    struct call_offer made = {.name = mn_span_str(name)};

    if (body != NULL) made.body = mn_buf_copy(mn_span_str(body));
    made.replica_key[0] = (uint8_t)key;
    step(node, &(struct catalog_input){.type = CATALOG_IN_OFFER, .offer = &made});
    mn_buf_unref(made.body);
}

static void link_set(uint32_t a, uint32_t b, bool is_up)
{
    struct catalog_input input = {.type = is_up ? CATALOG_IN_LINK_UP : CATALOG_IN_LINK_DOWN};

    linked[a][b] = linked[b][a] = is_up;
    input.node = selves[b].node_id;
    step(a, &input);
    input.node = selves[a].node_id;
    step(b, &input);
}

static void start(uint32_t node, uint64_t epoch)
{
    step(node, &(struct catalog_input){.type = CATALOG_IN_MESH, .mesh_id = mesh});
    step(node, &(struct catalog_input){.type = CATALOG_IN_START, .epoch = epoch});
}

static void create(uint32_t node)
{
    struct catalog_config config = {.self = &selves[node],
                                    .memory_max = memory_max,
                                    .coalesce = 50 * MN_MS,
                                    .retry = MN_SEC,
                                    .seed = {(uint8_t)node}};

    catalog_free(catalogs[node]);
    catalogs[node] = catalog_new(&config);
    outboxes[node] = (struct catalog_outbox){.arena = &arenas[node]};
}

static void setup(void)
{
    ck_assert_int_ge(sodium_init(), 0);
    now = (struct mn_now){100 * MN_SEC, 0};
    memory_max = (size_t)1 << 24;
    for (uint8_t i = 0; i < NODES; i++) {
        uint8_t seed[IDENTITY_SEED_SIZE] = {i};
        identity_init(&selves[i], seed);
        create(i);
        start(i, 1);
    }
    for (uint32_t i = 0; i < NODES; i++) {
        static const uint8_t nothing[CATALOG_ROOT_SIZE];
        announce(i, nothing);
        for (uint32_t j = 0; j < i; j++)
            link_set(i, j, true);
    }
    run(MN_SEC);
    sent = 0;
}

static void teardown(void)
{
    for (uint32_t i = 0; i < NODES; i++) {
        catalog_check(catalogs[i]);
        catalog_free(catalogs[i]);
        catalogs[i] = NULL;
        mn_arena_done(&arenas[i]);
    }
    lose_bodies = false;
    memset(changed, 0, sizeof changed);
    memset(published, 0, sizeof published);
}

/* What [at] knows of [of], as "name=body ...". */
static const char *known(uint32_t at, uint32_t of)
{
    static char text[512];
    uint32_t count;
    const struct catalog_offer *offers = catalog_offers(catalogs[at], &selves[of].node_id, &count);

    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        size_t size = strlen(text);
        ck_assert_uint_lt(size + offers[i].name.size + 16, sizeof text);
        snprintf(text + size, sizeof text - size, "%s%.*s=%.*s", i == 0 ? "" : " ",
                 (int)offers[i].name.size, (const char *)offers[i].name.data,
                 offers[i].body == NULL ? 1 : (int)offers[i].body->size,
                 offers[i].body == NULL ? "?" : (const char *)offers[i].body->bytes);
    }
    return text;
}

START_TEST(an_offer_comes_to_everyone)
{
    offer(0, "files", "body", 'k');
    run(60 * MN_MS);
    ck_assert_str_eq(known(0, 0), "files=body");
    ck_assert_str_eq(known(1, 0), "files=body");
    ck_assert_str_eq(known(2, 0), "files=body");
    ck_assert_uint_eq(changed[1][0], 1);
    ck_assert_uint_eq(sent, 8); /* two pulls and two pulls of the body, answered */
}
END_TEST

START_TEST(changes_within_the_time_are_one_version)
{
    offer(0, "b", "1", 0);
    run(20 * MN_MS);
    offer(0, "a", "2", 0);
    offer(0, "c", "3", 0);
    run(40 * MN_MS);
    ck_assert_str_eq(known(1, 0), "a=2 b=1 c=3");
    ck_assert_uint_eq(published[0], 1);
    offer(0, "b", NULL, 0);
    run(60 * MN_MS);
    ck_assert_str_eq(known(1, 0), "a=2 c=3");
    ck_assert_uint_eq(catalog_stats(catalogs[0]).version, 2);
}
END_TEST

START_TEST(what_did_not_change_is_not_published)
{
    offer(0, "files", "body", 0);
    run(MN_SEC);
    offer(0, "files", "body", 0);
    offer(0, "none", NULL, 0);
    run(MN_SEC);
    ck_assert_uint_eq(published[0], 1);
    offer(0, "files", NULL, 0);
    run(MN_SEC);
    ck_assert_uint_eq(published[0], 2);
    ck_assert_str_eq(known(1, 0), "");
    ck_assert_uint_eq(changed[1][0], 2);
}
END_TEST

START_TEST(a_changed_offer_never_vanishes)
{
    offer(0, "files", "old", 0);
    run(MN_SEC);
    lose_bodies = true;
    offer(0, "files", "new", 0);
    run(3 * MN_SEC);
    ck_assert_str_eq(known(1, 0), "files=old");
    lose_bodies = false;
    run(10 * MN_SEC);
    ck_assert_str_eq(known(1, 0), "files=new");
    ck_assert_uint_eq(changed[1][0], 2);
}
END_TEST

START_TEST(replicas_share_one_body)
{
    offer(0, "files", "body", 'k');
    run(MN_SEC);
    sent = 0;
    offer(1, "files", "body", 'k');
    run(MN_SEC);
    ck_assert_str_eq(known(2, 1), "files=body");
    ck_assert_uint_eq(sent, 4); /* the bodies were here */
}
END_TEST

START_TEST(an_own_body_settles_a_wanted_one)
{
    lose_bodies = true;
    offer(0, "files", "body", 'k');
    run(MN_SEC / 2);
    ck_assert_str_eq(known(1, 0), "");
    offer(1, "files", "body", 'k');
    run(MN_SEC / 2);
    ck_assert_str_eq(known(1, 0), "files=body");
    ck_assert_str_eq(known(1, 1), "files=body");
}
END_TEST

START_TEST(without_a_link_to_the_owner_others_hand_it_on)
{
    link_set(0, 2, false);
    offer(0, "files", "body", 0);
    run(3 * MN_SEC);
    ck_assert_str_eq(known(2, 0), "files=body");
}
END_TEST

/* What comes is newer than what was known, and not what was announced: the question stays open. */
START_TEST(an_older_answer_than_announced_does_not_end_the_asking)
{
    offer(0, "files", "1", 0);
    run(MN_SEC);
    link_set(0, 2, false);
    link_set(1, 2, false);
    offer(0, "files", "2", 0);
    run(MN_SEC);
    link_set(0, 1, false);
    offer(0, "files", "3", 0); /* the records say so, wherever they come from */
    run(MN_MINUTE);
    ck_assert_str_eq(known(1, 0), "files=2");
    ck_assert_str_eq(known(2, 0), "files=1");
    link_set(1, 2, true);
    run(MN_SEC);
    ck_assert_str_eq(known(2, 0), "files=2");
    link_set(0, 1, true);
    run(40 * MN_SEC);
    ck_assert_str_eq(known(1, 0), "files=3");
    ck_assert_str_eq(known(2, 0),
                     "files=3"); /* nothing happened to it that would make it ask again */
}
END_TEST

START_TEST(without_any_link_it_comes_with_the_link)
{
    link_set(0, 1, false);
    link_set(0, 2, false);
    offer(0, "files", "body", 0);
    run(MN_MINUTE);
    ck_assert_str_eq(known(1, 0), "");
    link_set(0, 1, true);
    deliver();
    ck_assert_str_eq(known(1, 0), "files=body");
}
END_TEST

/* Others were asked before, and do not have it yet either. */
START_TEST(a_body_comes_with_the_link_to_its_owner)
{
    char name[8], body[8];
    uint32_t count;

    link_set(0, 2, false);
    lose_bodies = true;
    for (uint32_t i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "s%u", i);
        snprintf(body, sizeof body, "b%u", i);
        offer(0, name, body, 0);
    }
    run(1500 * MN_MS); /* its catalog has come */
    lose_bodies = false;
    ck_assert_str_eq(known(2, 0), "");
    link_set(0, 2, true);
    deliver();
    (void)catalog_offers(catalogs[2], &selves[0].node_id, &count);
    ck_assert_uint_eq(count, 8);
}
END_TEST

/* A joiner hears of others while its own incarnation is still on its way to the disk. */
START_TEST(others_are_known_before_our_own_epoch)
{
    offer(0, "files", "body", 0);
    run(MN_SEC);
    create(1);
    step(1, &(struct catalog_input){.type = CATALOG_IN_MESH, .mesh_id = mesh});
    announce(0, roots[0]);
    link_set(0, 1, true);
    deliver();
    ck_assert_str_eq(known(1, 0), "files=body");
    ck_assert_uint_eq(catalog_stats(catalogs[1]).refused, 0);
}
END_TEST

START_TEST(who_is_gone_offers_nothing)
{
    offer(0, "files", "body", 0);
    run(MN_SEC);
    step(1, &(struct catalog_input){.type = CATALOG_IN_GONE, .node = selves[0].node_id});
    ck_assert_str_eq(known(1, 0), "");
    ck_assert_uint_eq(changed[1][0], 2);
    ck_assert_uint_eq(catalog_stats(catalogs[1]).catalogs, 0);
    ck_assert_uint_eq(catalog_stats(catalogs[1]).memory_used, 0);
}
END_TEST

START_TEST(a_restarted_owner_begins_anew)
{
    static const uint8_t nothing[CATALOG_ROOT_SIZE];

    offer(0, "files", "body", 0);
    offer(0, "mail", "body", 0);
    run(MN_SEC);
    offer(0, "mail", NULL, 0);
    run(MN_SEC);
    create(0);
    start(0, 2);
    announce(0, nothing);
    ck_assert_str_eq(known(1, 0), "");
    offer(0, "other", "body", 0);
    link_set(0, 1, true);
    run(MN_SEC);
    ck_assert_str_eq(known(1, 0), "other=body"); /* version 1 of epoch 2 is newer */
}
END_TEST

START_TEST(an_owner_that_forgot_an_epoch_is_believed_in_a_higher_one)
{
    offer(0, "files", "old", 0);
    run(MN_SEC);
    create(0);
    start(0, 1); /* as before: 1 cannot tell that it is another run */
    link_set(0, 1, true);
    offer(0, "files", "new", 0);
    run(MN_SEC);
    ck_assert_str_eq(known(1, 0), "files=old");
    step(0, &(struct catalog_input){.type = CATALOG_IN_START, .epoch = 2});
    run(MN_SEC);
    ck_assert_str_eq(known(1, 0), "files=new");
}
END_TEST

START_TEST(offers_serve_at_home_before_there_is_a_mesh)
{
    create(0);
    offer(0, "files", "body", 0);
    run(MN_SEC);
    ck_assert_str_eq(known(0, 0), "files=body");
    ck_assert_uint_eq(published[0], 0);
    start(0, 5);
    link_set(0, 1, true);
    run(MN_SEC);
    ck_assert_uint_eq(published[0], 1);
    ck_assert_str_eq(known(1, 0), "files=body");
}
END_TEST

/* Takes the message with the catalog of node 0 that has one offer. */
static struct mn_buf *signed_catalog(uint64_t epoch, uint64_t version)
{
    struct mn_arena arena = {0};
    struct catalog_wire_offer one = {.name = mn_span_str("files"), .size = 4};
    struct catalog_wire wire = {.epoch = epoch, .version = version, .offers = &one, .count = 1};
    struct mn_buf *buf;

    catalog_wire_hash(mn_span_str("body"), one.hash);
    buf = catalog_wire_sign(&wire, &selves[0], &mesh, &arena);
    mn_arena_done(&arena);
    return buf;
}

static void receive(uint32_t at, uint32_t from, struct mn_span bytes)
{
    step(at, &(struct catalog_input){
                 .type = CATALOG_IN_MESSAGE, .node = selves[from].node_id, .message = bytes});
}

START_TEST(older_versions_are_ignored)
{
    struct mn_buf *older = signed_catalog(1, 1), *newer = signed_catalog(1, 2);

    receive(1, 0, mn_buf_span(newer));
    run(MN_SEC / 2);
    sent = 0;
    receive(1, 0, mn_buf_span(older));
    receive(1, 0, mn_buf_span(newer));
    ck_assert_uint_eq(sent, 0);
    ck_assert_uint_eq(catalog_stats(catalogs[1]).refused, 0);
    mn_buf_unref(older);
    mn_buf_unref(newer);
}
END_TEST

START_TEST(every_flipped_bit_is_refused)
{
    struct mn_buf *buf = signed_catalog(1, 1);
    uint32_t accepted = 0;

    for (uint32_t bit = 0; bit < buf->size * 8; bit++) {
        struct mn_arena arena = {0};
        struct catalog_wire_message message;
        buf->bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        accepted += catalog_wire_decode(mn_buf_span(buf), &mesh, &arena, &message) == MN_OK &&
                    message.type == CATALOG_WIRE_CATALOG;
        buf->bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        mn_arena_done(&arena);
    }
    ck_assert_uint_eq(accepted, 0);
    mn_buf_unref(buf);
}
END_TEST

START_TEST(strangers_catalogs_are_refused)
{
    struct mn_arena arena = {0};
    struct identity stranger;
    uint8_t seed[IDENTITY_SEED_SIZE] = {99};
    struct catalog_wire wire = {.epoch = 1, .version = 1};
    struct mn_buf *buf;

    identity_init(&stranger, seed);
    buf = catalog_wire_sign(&wire, &stranger, &mesh, &arena);
    receive(1, 0, mn_buf_span(buf));
    ck_assert_uint_eq(catalog_stats(catalogs[1]).refused, 1);
    mn_buf_unref(buf);
    buf = catalog_wire_sign(&wire, &selves[0], &(mn_id){{8}}, &arena); /* of another mesh */
    receive(1, 0, mn_buf_span(buf));
    ck_assert_uint_eq(catalog_stats(catalogs[1]).refused, 2);
    mn_buf_unref(buf);
    mn_arena_done(&arena);
}
END_TEST

START_TEST(malformed_catalogs_are_refused)
{
    static const char *const names[] = {"", "a b", "a.b", "caf\xc3\xa9", "a"};
    struct mn_arena arena = {0};

    for (uint32_t i = 0; i < 5; i++) { /* the last is twice in it */
        struct catalog_wire_offer two[2] = {{.name = mn_span_str(names[i])},
                                            {.name = mn_span_str(names[i])}};
        struct catalog_wire wire = {
            .epoch = 1, .version = 1, .offers = two, .count = i == 4 ? 2 : 1};
        struct mn_buf *buf = catalog_wire_sign(&wire, &selves[0], &mesh, &arena);
        receive(1, 0, mn_buf_span(buf));
        ck_assert_uint_eq(catalog_stats(catalogs[1]).refused, i + 1);
        mn_buf_unref(buf);
    }
    receive(1, 0, mn_span_str("garbage"));
    receive(1, 0, mn_span_str(""));
    ck_assert_uint_eq(catalog_stats(catalogs[1]).refused, 7);
    mn_arena_done(&arena);
}
END_TEST

START_TEST(what_finds_no_memory_is_left_out)
{
    static char big[5001];

    memset(big, 'x', sizeof big - 1);
    memory_max = 4000;
    create(1);
    start(1, 2);
    link_set(0, 1, true);
    offer(0, "big", big, 0);
    offer(0, "small", "body", 0);
    run(MN_SEC);
    ck_assert_str_eq(known(1, 0), "big=? small=body");
    ck_assert_uint_gt(catalog_stats(catalogs[1]).refused, 0);
    ck_assert_uint_le(catalog_stats(catalogs[1]).memory_used, memory_max);
}
END_TEST

START_TEST(own_offers_are_bounded)
{
    struct call_offer bad = {.name = mn_span_str("a.b"), .body = mn_buf_new(0)};
    char name[8];

    step(0, &(struct catalog_input){.type = CATALOG_IN_OFFER, .offer = &bad});
    ck_assert_uint_eq(catalog_stats(catalogs[0]).refused, 1);
    for (uint32_t i = 0; i <= CATALOG_OFFERS_MAX; i++) {
        snprintf(name, sizeof name, "s%u", i);
        offer(0, name, "body", 0);
    }
    ck_assert_uint_eq(catalog_stats(catalogs[0]).refused, 2);
    run(MN_SEC);
    offer(0, "s0", "changed", 0); /* a known name is no further offer */
    ck_assert_uint_eq(catalog_stats(catalogs[0]).refused, 2);
    mn_buf_unref(bad.body);
}
END_TEST

START_TEST(many_bodies_come_a_few_at_a_time)
{
    char name[8], body[8];
    uint32_t count;

    lose_bodies = true;
    for (uint32_t i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "s%u", i);
        snprintf(body, sizeof body, "b%u", i);
        offer(0, name, body, 0);
    }
    run(60 * MN_MS);
    ck_assert_uint_le(sent, 2 * (2 + 2 * 16));
    lose_bodies = false;
    run(MN_MINUTE);
    (void)catalog_offers(catalogs[2], &selves[0].node_id, &count);
    ck_assert_uint_eq(count, 200);
    ck_assert_uint_eq(catalog_stats(catalogs[2]).pulls, 0);
}
END_TEST

/* Random offers, cuts, losses; then all is well, and everyone knows the truth. */
START_TEST(everyone_learns_the_truth_after_all)
{
    struct rng rng;
    uint8_t seed[RNG_SEED_SIZE] = {(uint8_t)_i};
    char truth[512], name[2] = "a", body[2] = "0";

    rng_init(&rng, seed);
    for (uint32_t i = 0; i < 80; i++) {
        uint32_t node = rng_below(&rng, NODES), other = (node + 1 + rng_below(&rng, 2)) % NODES;
        name[0] = (char)('a' + rng_below(&rng, 4));
        body[0] = (char)('0' + rng_below(&rng, 4));
        switch (rng_below(&rng, 5)) {
        case 0: link_set(node, other, !linked[node][other]); break;
        case 1: lose_bodies = !lose_bodies; break;
        case 2: offer(node, name, NULL, 0); break;
        default: offer(node, name, body, 'k'); break;
        }
        run(rng_below_u64(&rng, 300 * MN_MS));
    }
    lose_bodies = false;
    for (uint32_t i = 0; i < NODES; i++)
        for (uint32_t j = 0; j < i; j++)
            if (!linked[i][j]) link_set(i, j, true);
    run(2 * MN_MINUTE);
    for (uint32_t i = 0; i < NODES; i++) {
        snprintf(truth, sizeof truth, "%s", known(i, i));
        for (uint32_t j = 0; j < NODES; j++)
            ck_assert_str_eq(known(j, i), truth);
        ck_assert_uint_eq(catalog_stats(catalogs[i]).pulls, 0);
    }
    rng_done(&rng);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("catalog");
    TCase *tcase = tcase_create("core");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, an_offer_comes_to_everyone);
    tcase_add_test(tcase, changes_within_the_time_are_one_version);
    tcase_add_test(tcase, what_did_not_change_is_not_published);
    tcase_add_test(tcase, a_changed_offer_never_vanishes);
    tcase_add_test(tcase, replicas_share_one_body);
    tcase_add_test(tcase, an_own_body_settles_a_wanted_one);
    tcase_add_test(tcase, without_a_link_to_the_owner_others_hand_it_on);
    tcase_add_test(tcase, an_older_answer_than_announced_does_not_end_the_asking);
    tcase_add_test(tcase, without_any_link_it_comes_with_the_link);
    tcase_add_test(tcase, a_body_comes_with_the_link_to_its_owner);
    tcase_add_test(tcase, others_are_known_before_our_own_epoch);
    tcase_add_test(tcase, who_is_gone_offers_nothing);
    tcase_add_test(tcase, a_restarted_owner_begins_anew);
    tcase_add_test(tcase, an_owner_that_forgot_an_epoch_is_believed_in_a_higher_one);
    tcase_add_test(tcase, offers_serve_at_home_before_there_is_a_mesh);
    tcase_add_test(tcase, older_versions_are_ignored);
    tcase_add_test(tcase, every_flipped_bit_is_refused);
    tcase_add_test(tcase, strangers_catalogs_are_refused);
    tcase_add_test(tcase, malformed_catalogs_are_refused);
    tcase_add_test(tcase, what_finds_no_memory_is_left_out);
    tcase_add_test(tcase, own_offers_are_bounded);
    tcase_add_test(tcase, many_bodies_come_a_few_at_a_time);
    tcase_add_loop_test(tcase, everyone_learns_the_truth_after_all, 0, 50);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
