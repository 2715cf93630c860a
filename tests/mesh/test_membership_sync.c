/* Push-pull between two cores: tables far bigger than a packet become equal, in portions. */
#include "tests/crypto/support.h"

#include "mesh/membership.h"
#include "proto/member.pb-c.h"
#include "proto/pb.h"

#define OTHERS 1500
#define WALL_MS ((uint64_t)1700000000000)
#define QUEUE_MAX 4096

static struct sign_key issuer;
static struct authority authority;
static struct identity others[OTHERS], ends[2];
static struct membership *cores[2];
static struct mn_arena arena; /* of the whole test */
static struct mn_now now;
static bool is_linked;

/* Packets on their way between the two ends. */
static struct {
    int to;
    struct mn_span bytes;
} queue[QUEUE_MAX];
static uint32_t queue_first, queue_count;

static size_t items_last; /* records and accusations of the last packet sent */

static struct {
    uint32_t packets_count, items_max, size_max;
    uint64_t bytes;
} seen;

static void note_packet(struct mn_span bytes)
{
    const Meshnode__Member__Packet *packet =
        pb_unpack(&meshnode__member__packet__descriptor, &arena, bytes);

    ck_assert_ptr_nonnull(packet);
    seen.packets_count++;
    seen.bytes += bytes.size;
    if (packet->n_records > seen.items_max) seen.items_max = (uint32_t)packet->n_records;
    if (bytes.size > seen.size_max) seen.size_max = (uint32_t)bytes.size;
}

static size_t count_items(struct mn_span bytes)
{
    const Meshnode__Member__Packet *packet =
        pb_unpack(&meshnode__member__packet__descriptor, &arena, bytes);

    ck_assert_ptr_nonnull(packet);
    return packet->n_records + packet->n_accusations;
}

static void step(int i, const struct membership_input *input)
{
    struct membership_outbox outbox = {.arena = &arena};

    membership_step(cores[i], now, input, &outbox);
    for (uint32_t k = 0; k < outbox.count; k++) {
        const struct membership_output *output = &outbox.items[k];
        if (output->type == MEMBERSHIP_OUT_PERSIST)
            step(i, &(struct membership_input){
                        .type = MEMBERSHIP_IN_PERSISTED,
                        .persisted = {.incarnation = output->persist.incarnation}});
        if (output->type != MEMBERSHIP_OUT_SEND) continue;
        items_last = count_items(output->send.packet);
        if (!is_linked || !mn_id_equal(&output->send.to, &ends[1 - i].node_id)) continue;
        note_packet(output->send.packet);
        ck_assert_uint_lt(queue_count, QUEUE_MAX);
        queue[(queue_first + queue_count) % QUEUE_MAX].to = 1 - i;
        queue[(queue_first + queue_count++) % QUEUE_MAX].bytes = output->send.packet;
    }
}

static void pump(void)
{
    while (queue_count > 0) {
        struct membership_input input = {.type = MEMBERSHIP_IN_PACKET};
        int to = queue[queue_first].to;
        input.packet.from = ends[1 - to].node_id;
        input.packet.bytes = queue[queue_first].bytes;
        queue_first = (queue_first + 1) % QUEUE_MAX;
        queue_count--;
        now.mono += 100;
        step(to, &input);
    }
}

static struct mn_span grant_of(const struct identity *identity)
{
    struct grant grant = {.mesh_id = authority.mesh_id,
                          .name = "n",
                          .role_max = MESHNODE__TRUST__ROLE__ROLE_VOTER,
                          .not_after_ms = WALL_MS + 86400000,
                          .authority_version = 1,
                          .via = MESHNODE__TRUST__VIA__VIA_TOKEN};
    struct mn_buf *buf;
    struct mn_span bytes;

    memcpy(grant.sign_pk, identity->key.pk, SIGN_PK_SIZE);
    buf = grant_sign(&grant, &issuer);
    bytes = mn_arena_copy(&arena, mn_buf_span(buf));
    mn_buf_unref(buf);
    return bytes;
}

static struct record_self self_of(const struct identity *identity)
{
    return (struct record_self){.addrs = {mn_span_str("10.0.0.1:7000")},
                                .addrs_count = 1,
                                .protocol_min = 1,
                                .protocol_max = 1,
                                .grant = grant_of(identity)};
}

static void feed_numbers(int i, int other, struct record_numbers numbers)
{
    struct record_self self = self_of(&others[other]);
    struct membership_input input = {.type = MEMBERSHIP_IN_PACKET};
    Meshnode__Member__Packet packet = MESHNODE__MEMBER__PACKET__INIT;
    ProtobufCBinaryData records[1];
    struct mn_span record;

    ck_assert_int_eq(
        record_sign(&self, &numbers, &others[other], &authority.mesh_id, &arena, &record), MN_OK);
    records[0] = pb_bytes(record);
    packet.records = records;
    packet.n_records = 1;
    input.packet.from = others[other].node_id;
    input.packet.bytes = pb_pack_arena(&packet.base, &arena);
    step(i, &input);
}

static void feed(int i, int other, uint64_t incarnation)
{
    feed_numbers(i, other, (struct record_numbers){.incarnation = incarnation});
}

/* Lets the core tell its news to somebody who drops them, until it has none left. */
static void drain(int i)
{
    struct membership_input input = {.type = MEMBERSHIP_IN_PACKET};
    Meshnode__Member__Packet packet = MESHNODE__MEMBER__PACKET__INIT;

    packet.type = MESHNODE__MEMBER__PACKET__TYPE__PING;
    input.packet.from = others[0].node_id;
    input.packet.bytes = pb_pack_arena(&packet.base, &arena);
    do
        step(i, &input);
    while (items_last > 0);
}

static void bury(int i, int accuser, int subject, uint64_t incarnation)
{
    struct accusation accusation = {.subject = others[subject].node_id,
                                    .accuser = others[accuser].node_id,
                                    .subject_incarnation = incarnation,
                                    .accuser_incarnation = 1,
                                    .kind = ACCUSATION_DEAD};
    struct membership_input input = {.type = MEMBERSHIP_IN_PACKET};
    Meshnode__Member__Packet packet = MESHNODE__MEMBER__PACKET__INIT;
    ProtobufCBinaryData accusations[1];

    accusation_sign(&accusation, &others[accuser].key, &authority.mesh_id, &arena);
    accusations[0] = pb_bytes(accusation.signed_bytes);
    packet.accusations = accusations;
    packet.n_accusations = 1;
    input.packet.from = others[accuser].node_id;
    input.packet.bytes = pb_pack_arena(&packet.base, &arena);
    step(i, &input);
}

static void make_core(int i)
{
    struct membership_config config = {.identity = &ends[i],
                                       .mesh_id = authority.mesh_id,
                                       .boot_id = {{(uint8_t)i, 1}},
                                       .self = self_of(&ends[i]),
                                       .authority = &authority,
                                       .members_max = MEMBERSHIP_MEMBERS_MAX,
                                       .memory_max = (size_t)MEMBERSHIP_MEMBERS_MAX * 2048,
                                       .timing = membership_timing_default()};

    ck_assert_int_eq(membership_new(&config, &cores[i]), MN_OK);
    step(i, &(struct membership_input){.type = MEMBERSHIP_IN_TICK});
}

static void setup(void)
{
    struct authority_genesis genesis = {.root = &issuer,
                                        .founder = issuer.pk,
                                        .grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS,
                                        .created_ms = WALL_MS};
    uint8_t seed[32] = {3};
    struct mn_buf *document;

    sign_key_init(&issuer, seed);
    document = authority_genesis_make(&genesis);
    ck_assert_int_eq(authority_decode(mn_buf_span(document), &authority), MN_OK);
    mn_buf_unref(document);
    now = (struct mn_now){MN_SEC, WALL_MS * MN_MS};
    for (int i = 0; i < OTHERS + 2; i++) {
        mn_store_u32(seed, (uint32_t)i);
        identity_init(i < 2 ? &ends[i] : &others[i - 2], seed);
    }
    make_core(0);
    make_core(1);
}

static void teardown(void)
{
    membership_free(cores[0]);
    membership_free(cores[1]);
    authority_done(&authority);
    mn_arena_done(&arena);
}

static void link_up(void)
{
    is_linked = true;
    for (int i = 0; i < 2; i++) {
        struct membership_input input = {.type = MEMBERSHIP_IN_LINK_UP};
        input.link_up.node = ends[1 - i].node_id;
        step(i, &input);
    }
    pump();
    membership_check(cores[0]);
    membership_check(cores[1]);
}

static void assert_equal_tables(void)
{
    const struct member *a = membership_next(cores[0], NULL), *b = membership_next(cores[1], NULL);

    while (a != NULL && b != NULL) {
        ck_assert(mn_id_equal(&a->node_id, &b->node_id));
        ck_assert_uint_eq(a->incarnation, b->incarnation);
        ck_assert_int_eq(a->status, b->status);
        ck_assert(mn_span_equal(a->record->signed_bytes, b->record->signed_bytes));
        a = membership_next(cores[0], a);
        b = membership_next(cores[1], b);
    }
    ck_assert(a == NULL && b == NULL);
}

/* Whichever side asks, and whichever side knows more. */
START_TEST(empty_table_is_filled_in_portions)
{
    for (int i = 0; i < OTHERS; i++)
        feed(_i, i, 1);
    link_up();
    ck_assert_uint_eq(membership_count(cores[1 - _i], MEMBER_ALIVE), OTHERS + 2);
    assert_equal_tables();
    ck_assert_uint_le(seen.items_max, 64);
    ck_assert_uint_le(seen.size_max, MEMBERSHIP_PACKET_MAX);
    ck_assert_uint_le(seen.bytes, OTHERS * 1000); /* a record, two digests, the news */
}
END_TEST

START_TEST(each_side_gives_what_the_other_lacks)
{
    for (int i = 0; i < 300; i++) {
        if (i % 3 != 0) feed(0, i, 1 + (uint64_t)(i % 4));
        if (i % 3 != 1) feed(1, i, 1 + (uint64_t)(i % 7));
    }
    drain(0);
    drain(1);
    link_up();
    assert_equal_tables();
    ck_assert_uint_eq(membership_count(cores[0], MEMBER_ALIVE), 302);
}
END_TEST

START_TEST(seq_and_status_count_at_equal_incarnations)
{
    for (int i = 0; i < 40; i++) {
        feed_numbers(0, i, (struct record_numbers){.incarnation = 3, .seq = (uint32_t)(i % 3)});
        feed_numbers(1, i, (struct record_numbers){.incarnation = 3, .seq = (uint32_t)(i % 2)});
    }
    for (int i = 10; i < 30; i++)
        bury(i % 2, 1, i, 3);
    feed_numbers(1, 35, (struct record_numbers){.incarnation = 3, .seq = 1, .has_left = true});
    drain(0);
    drain(1);
    link_up();
    assert_equal_tables();
    ck_assert_uint_eq(membership_count(cores[0], MEMBER_DEAD), 20);
    ck_assert_uint_eq(membership_count(cores[0], MEMBER_LEFT), 1);
}
END_TEST

START_TEST(equal_tables_exchange_digests_only)
{
    for (int i = 0; i < 200; i++) {
        feed(0, i, 1);
        feed(1, i, 1);
    }
    drain(0);
    drain(1);
    memset(&seen, 0, sizeof seen);
    link_up();
    assert_equal_tables();
    ck_assert_uint_le(seen.packets_count, 8);
    ck_assert_uint_le(seen.bytes, 16 * 1024); /* 200 digests one way, two records each way */
}
END_TEST

/* Both cores tick for [span]; with no link between them what they send is lost. */
static void run(mn_time span)
{
    mn_time end = now.mono + span;

    for (;;) {
        int first = membership_deadline(cores[0]) <= membership_deadline(cores[1]) ? 0 : 1;
        mn_time due = membership_deadline(cores[first]);
        if (due > end) break;
        if (due > now.mono) now.mono = due;
        step(first, &(struct membership_input){.type = MEMBERSHIP_IN_TICK});
        pump();
    }
    if (now.mono < end) now.mono = end;
}

START_TEST(what_gossip_lost_comes_with_the_next_push_pull)
{
    feed(0, 0, 1);
    feed(1, 0, 1);
    link_up();
    is_linked = false; /* the cores do not know */
    feed_numbers(0, 0, (struct record_numbers){.incarnation = 2, .has_left = true});
    run(2 * MN_SEC);
    drain(0);
    is_linked = true;
    ck_assert_uint_eq(membership_count(cores[1], MEMBER_LEFT), 0);
    run(50 * MN_SEC);
    ck_assert_uint_eq(membership_count(cores[1], MEMBER_LEFT), 1);
    assert_equal_tables();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("push-pull");
    TCase *tcase = tcase_create("sync");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, empty_table_is_filled_in_portions, 0, 2);
    tcase_add_test(tcase, each_side_gives_what_the_other_lacks);
    tcase_add_test(tcase, seq_and_status_count_at_equal_incarnations);
    tcase_add_test(tcase, what_gossip_lost_comes_with_the_next_push_pull);
    tcase_add_test(tcase, equal_tables_exchange_digests_only);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
