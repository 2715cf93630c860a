/* Records of which several nodes keep a copy: a handful of nodes whose messages the test carries,
 * loses or holds back. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/mcp/records/records.h"
#include "proto/base/check.h"
#include "proto/pb.h"
#include "proto/record.pb-c.h"
#include "tests/suite.h"

#define NODES 6
#define START (1000 * MN_SEC)

static struct node {
    mn_id id;
    struct records *records;
    bool is_up;
    uint32_t stored, copies, found, newer; /* how often it said so; copies: of the last STORED */
    uint32_t ends, relayed;                /* ends: STORED of one */
    bool is_found, is_ended;               /* the last FOUND or NEWER; [body]: or RELAYED */
    char body[64];
    struct records_key mark; /* that it is to keep, of this version; 0: none */
    uint64_t mark_version;
    uint32_t forgotten;  /* marks that it need not keep any more */
    struct mn_buf *kept; /* of the record that it was told to keep last, if there is one */
    struct records_key kept_key;
    uint32_t keeps;
    mn_time age; /* of the last word */
} nodes[NODES];
static struct mn_now now;
static uint32_t sent_count;
static bool is_lossy;        /* what is sent is lost */
static struct node *mute;    /* what it sends is lost */
static uint64_t word_number; /* of the last word that was sent */
static bool is_unchecked;    /* the invariants take long to check when there are thousands */

static struct records_key key_of(uint32_t number)
{
    struct records_key key = {{0}};

    key.bytes[0] = (uint8_t)(number * 37);
    key.bytes[1] = (uint8_t)number;
    key.bytes[2] = (uint8_t)(number >> 8);
    return key;
}

static struct node *node_of(const mn_id *id)
{
    for (int i = 0; i < NODES; i++)
        if (mn_id_equal(&nodes[i].id, id)) return &nodes[i];
    return NULL;
}

static void step(struct node *node, const struct records_input *input);

static void note_word(struct mn_span bytes)
{
    struct mn_arena arena = {0};
    const Meshnode__Record__Packet *packet =
        pb_unpack(&meshnode__record__packet__descriptor, &arena, bytes);

    ck_assert_ptr_nonnull(packet);
    if (packet->what_case == MESHNODE__RECORD__PACKET__WHAT_RELAY)
        word_number = packet->relay->number;
    mn_arena_done(&arena);
}

static void note(struct node *node, const struct records_output *output)
{
    node->is_found = output->is_found;
    node->is_ended = output->is_ended;
    snprintf(node->body, sizeof node->body, "%.*s", (int)output->body.size,
             output->body.size == 0 ? "" : (const char *)output->body.data);
}

static void hear(struct node *node, const struct records_output *output)
{
    struct records_input message = {.type = RECORDS_IN_MESSAGE};
    struct node *to;

    switch (output->type) {
    case RECORDS_OUT_STORED:
        node->stored++;
        node->ends += output->is_ended;
        node->copies = output->copies_count;
        break;
    case RECORDS_OUT_FOUND:
        node->found++;
        note(node, output);
        break;
    case RECORDS_OUT_NEWER:
        node->newer++;
        note(node, output);
        break;
    case RECORDS_OUT_RELAYED:
        node->relayed++;
        node->age = output->age;
        note(node, output);
        break;
    case RECORDS_OUT_MARK:
        node->forgotten += !output->is_ended;
        node->mark = output->key;
        node->mark_version = output->is_ended ? output->version : 0;
        break;
    case RECORDS_OUT_KEEP:
        node->keeps++;
        mn_buf_unref(node->kept);
        node->kept = output->body.size == 0 ? NULL : mn_buf_copy(output->body);
        node->kept_key = output->key;
        break;
    case RECORDS_OUT_SEND:
        sent_count++;
        to = node_of(&output->to);
        ck_assert_ptr_nonnull(to);
        ck_assert_ptr_ne(to, node);
        message.message.from = node->id;
        message.message.bytes = mn_buf_span(output->buf);
        note_word(message.message.bytes);
        if (!is_lossy && node != mute && to->is_up) step(to, &message);
        mn_buf_unref(output->buf);
        break;
    }
}

static void step(struct node *node, const struct records_input *input)
{
    struct mn_arena arena = {0};
    struct records_outbox outbox = {.arena = &arena};

    records_step(node->records, now, input, &outbox);
    if (!is_unchecked) records_check(node->records);
    for (uint32_t i = 0; i < outbox.count; i++)
        hear(node, &outbox.items[i]);
    mn_arena_done(&arena);
}

static void tell_nodes(void)
{
    mn_id ids[NODES];
    struct records_input input = {.type = RECORDS_IN_NODES, .nodes = {.items = ids}};

    for (int i = 0; i < NODES; i++)
        if (nodes[i].is_up) ids[input.nodes.count++] = nodes[i].id;
    for (int i = 0; i < NODES; i++)
        if (nodes[i].is_up) step(&nodes[i], &input);
}

static void pass(mn_time time)
{
    mn_time end = now.mono + time;

    for (;;) {
        struct node *next = NULL;
        for (int i = 0; i < NODES; i++)
            if (nodes[i].is_up && (next == NULL || records_deadline(nodes[i].records) <
                                                       records_deadline(next->records)))
                next = &nodes[i];
        if (next == NULL || records_deadline(next->records) > end) break;
        if (records_deadline(next->records) > now.mono) now.mono = records_deadline(next->records);
        step(next, &(struct records_input){.type = RECORDS_IN_TICK});
    }
    now.mono = end;
}

static void put(struct node *node, uint32_t number, const char *body)
{
    step(node, &(struct records_input){
                   .type = RECORDS_IN_PUT, .key = key_of(number), .put = mn_span_str(body)});
}

static void say(struct node *node, enum records_input_type type, uint32_t number)
{
    step(node, &(struct records_input){.type = type, .key = key_of(number)});
}

/* How many nodes besides [but] have it; 0 without any. */
static uint32_t keepers(uint32_t number, const struct node *but)
{
    struct records_key key = key_of(number);
    uint32_t count = 0;

    for (int i = 0; i < NODES; i++)
        count += nodes[i].is_up && &nodes[i] != but && records_has(nodes[i].records, &key);
    return count;
}

static void kill_node(struct node *node)
{
    node->is_up = false;
    tell_nodes();
}

static void setup(void)
{
    static const uint8_t seed[RNG_SEED_SIZE] = {3};

    now = (struct mn_now){.mono = START, .wall = START};
    sent_count = 0;
    is_lossy = is_unchecked = false;
    mute = NULL;
    memset(nodes, 0, sizeof nodes);
    for (int i = 0; i < NODES; i++) {
        struct records_config config = {.seed = seed};
        memset(nodes[i].id.bytes, 17 * i + 5, sizeof nodes[i].id.bytes);
        config.self = nodes[i].id;
        nodes[i].records = records_new(&config);
        nodes[i].is_up = true;
    }
    tell_nodes();
    now.mono += RECORDS_YOUNG;
}

static void teardown(void)
{
    for (int i = 0; i < NODES; i++) {
        records_free(nodes[i].records);
        mn_buf_unref(nodes[i].kept);
    }
}

START_TEST(a_put_is_answered_when_two_others_keep_it)
{
    put(&nodes[0], 1, "one");
    ck_assert_uint_eq(nodes[0].stored, 1);
    ck_assert_uint_eq(nodes[0].copies, 2);
    ck_assert_uint_eq(keepers(1, &nodes[0]), 2);
}
END_TEST

START_TEST(alone_a_put_is_answered_at_once)
{
    for (int i = 1; i < NODES; i++)
        nodes[i].is_up = false;
    tell_nodes();
    put(&nodes[0], 1, "one");
    ck_assert_uint_eq(nodes[0].stored, 1);
    ck_assert_uint_eq(nodes[0].copies, 0);
}
END_TEST

START_TEST(any_node_finds_it_when_its_own_is_dead)
{
    for (uint32_t number = 0; number < 50; number++) {
        char body[16];
        snprintf(body, sizeof body, "body %u", number);
        put(&nodes[number % NODES], number, body);
        if (number % NODES == 2) snprintf(body, sizeof body, "later %u", number);
        if (number % NODES == 2) put(&nodes[2], number, body);
    }
    kill_node(&nodes[2]);
    for (uint32_t number = 2; number < 50; number += NODES)
        for (int i = 0; i < NODES; i++) {
            char body[16];
            if (i == 2) continue;
            snprintf(body, sizeof body, "later %u", number);
            nodes[i].found = 0;
            say(&nodes[i], RECORDS_IN_ASK, number);
            ck_assert_uint_eq(nodes[i].found, 1);
            ck_assert(nodes[i].is_found && !nodes[i].is_ended);
            ck_assert_str_eq(nodes[i].body, body);
        }
}
END_TEST

START_TEST(nobody_has_what_was_never_put)
{
    say(&nodes[3], RECORDS_IN_ASK, 9);
    ck_assert_uint_eq(nodes[3].found, 1);
    ck_assert(!nodes[3].is_found);
}
END_TEST

START_TEST(a_dead_copy_is_replaced)
{
    struct node *keeper = NULL;
    struct records_key key = key_of(4);

    put(&nodes[0], 4, "four");
    for (int i = 1; i < NODES; i++)
        if (records_has(nodes[i].records, &key)) keeper = &nodes[i];
    kill_node(keeper);
    pass(MN_SEC);
    ck_assert_uint_eq(keepers(4, &nodes[0]), 2);
    ck_assert_uint_eq(nodes[0].stored, 1); /* of the one put */
}
END_TEST

START_TEST(lost_messages_are_sent_again)
{
    is_lossy = true;
    put(&nodes[0], 5, "five");
    ck_assert_uint_eq(nodes[0].stored, 0);
    pass(250 * MN_MS);
    is_lossy = false;
    pass(200 * MN_MS);
    ck_assert_uint_eq(nodes[0].stored, 1);
    ck_assert_uint_eq(nodes[0].copies, 2);
}
END_TEST

START_TEST(who_waits_for_copies_does_not_wait_for_ever)
{
    is_lossy = true;
    put(&nodes[0], 5, "five");
    pass(RECORDS_WAIT - 1);
    ck_assert_uint_eq(nodes[0].stored, 0);
    pass(1);
    ck_assert_uint_eq(nodes[0].stored, 1);
    ck_assert_uint_eq(nodes[0].copies, 0);
    ck_assert_uint_eq(records_stats(nodes[0].records).puts_short, 1);
    is_lossy = false;
    pass(10 * MN_SEC); /* it goes on trying */
    ck_assert_uint_eq(keepers(5, &nodes[0]), 2);
    ck_assert_uint_eq(nodes[0].stored, 1);
}
END_TEST

START_TEST(who_asks_does_not_wait_for_ever)
{
    is_lossy = true;
    say(&nodes[1], RECORDS_IN_ASK, 6);
    pass(RECORDS_LOST_WAIT - 1); /* nobody has said that there is none */
    ck_assert_uint_eq(nodes[1].found, 0);
    pass(1);
    ck_assert_uint_eq(nodes[1].found, 1);
    ck_assert(!nodes[1].is_found);
    put(&nodes[1], 7, "seven");
    say(&nodes[1], RECORDS_IN_ASK, 7);
    pass(RECORDS_ASK_WAIT - 1); /* what is known here may be old */
    ck_assert_uint_eq(nodes[1].found, 1);
    pass(1);
    ck_assert_uint_eq(nodes[1].found, 2);
    ck_assert_str_eq(nodes[1].body, "seven");
}
END_TEST

/* A new run of the node, which has what the one before was told to keep. */
static void restart(struct node *node)
{
    struct records_config config = {.self = node->id, .seed = (const uint8_t[RNG_SEED_SIZE]){4}};
    struct mn_buf *kept = node->kept == NULL ? NULL : mn_buf_ref(node->kept);

    records_free(node->records);
    node->records = records_new(&config);
    node->is_up = true;
    if (kept != NULL)
        step(node, &(struct records_input){
                       .type = RECORDS_IN_KEPT, .key = node->kept_key, .kept = mn_buf_span(kept)});
    mn_buf_unref(kept);
}

START_TEST(a_record_outlives_a_restart_of_all)
{
    put(&nodes[0], 8, "old");
    put(&nodes[0], 8, "eight");
    for (int i = 0; i < NODES; i++)
        nodes[i].is_up = false;
    for (int i = 0; i < NODES; i++)
        restart(&nodes[i]);
    ck_assert_uint_eq(keepers(8, NULL), 3);
    tell_nodes();
    pass(RECORDS_YOUNG + MN_SEC);
    for (int i = 0; i < NODES; i++) {
        nodes[i].found = 0;
        say(&nodes[i], RECORDS_IN_ASK, 8);
        ck_assert_uint_eq(nodes[i].found, 1);
        ck_assert_str_eq(nodes[i].body, "eight");
    }
    put(&nodes[5], 8, "nine"); /* it goes on, as a later version */
    say(&nodes[0], RECORDS_IN_ASK, 8);
    ck_assert_str_eq(nodes[0].body, "nine");
}
END_TEST

START_TEST(what_is_over_is_not_kept)
{
    put(&nodes[0], 8, "eight");
    ck_assert_ptr_nonnull(nodes[0].kept);
    say(&nodes[0], RECORDS_IN_END, 8);
    for (int i = 0; i < NODES; i++)
        ck_assert_ptr_null(nodes[i].kept);
    put(&nodes[0], 9, "nine");
    say(&nodes[0], RECORDS_IN_RELEASE, 9);
    ck_assert_ptr_nonnull(nodes[0].kept);
    pass(RECORDS_LIFE);
    for (int i = 0; i < NODES; i++)
        ck_assert_ptr_null(nodes[i].kept);
}
END_TEST

/* What does not read back is forgotten; a mark of an end counts more than what was kept. */
START_TEST(a_damaged_record_is_forgotten)
{
    struct records_input kept = {.type = RECORDS_IN_KEPT, .key = key_of(8)};
    struct mn_buf *good;

    uint32_t before;

    put(&nodes[0], 8, "eight");
    good = mn_buf_ref(nodes[0].kept);
    say(&nodes[5], RECORDS_IN_END, 8);
    before = nodes[5].keeps;
    kept.kept = mn_buf_span(good);
    step(&nodes[5], &kept); /* it has ended */
    ck_assert_uint_eq(nodes[5].keeps, before + 1);
    kept.key = key_of(9);
    step(&nodes[5], &kept); /* another's */
    kept.kept = mn_span_str("no record");
    step(&nodes[5], &kept);
    ck_assert_uint_eq(nodes[5].keeps, before + 3);
    ck_assert_ptr_null(nodes[5].kept);
    say(&nodes[5], RECORDS_IN_ASK, 8);
    ck_assert(nodes[5].is_ended);
    say(&nodes[5], RECORDS_IN_ASK, 9);
    ck_assert(!nodes[5].is_found);
    mn_buf_unref(good);
}
END_TEST

START_TEST(a_record_that_comes_late_is_waited_for)
{
    for (int i = 0; i < NODES; i++)
        nodes[i].is_up = i == 0;
    tell_nodes();
    put(&nodes[0], 6, "six"); /* nobody else has it */
    restart(&nodes[5]);
    nodes[0].is_up = false;
    tell_nodes();
    say(&nodes[5], RECORDS_IN_ASK, 6);
    pass(2 * MN_SEC);
    ck_assert_uint_eq(nodes[5].found, 0);
    nodes[0].is_up = true;
    tell_nodes();
    ck_assert_uint_eq(nodes[5].found, 1);
    ck_assert_str_eq(nodes[5].body, "six");
}
END_TEST

START_TEST(a_node_that_has_just_come_asks_all_that_it_meets)
{
    nodes[5].is_up = false;
    tell_nodes();
    put(&nodes[0], 6, "six");
    records_free(nodes[5].records); /* it starts anew, and knows nobody yet */
    nodes[5].records = records_new(
        &(struct records_config){.self = nodes[5].id, .seed = (const uint8_t[RNG_SEED_SIZE]){4}});
    nodes[5].is_up = true;
    say(&nodes[5], RECORDS_IN_ASK, 6);
    pass(RECORDS_ASK_WAIT / 2);
    ck_assert_uint_eq(nodes[5].found, 0);
    tell_nodes();
    pass(RECORDS_ASK_WAIT);
    ck_assert_uint_eq(nodes[5].found, 1);
    ck_assert_str_eq(nodes[5].body, "six");
}
END_TEST

START_TEST(the_newest_version_wins_everywhere)
{
    put(&nodes[0], 7, "old");
    say(&nodes[4], RECORDS_IN_ASK, 7);
    put(&nodes[4], 7, "new"); /* the client went on at another node, though the first one lives */
    pass(RECORDS_REFRESH + MN_SEC);
    say(&nodes[5], RECORDS_IN_ASK, 7);
    ck_assert_str_eq(nodes[5].body, "new");
    ck_assert_uint_ge(nodes[0].newer, 1);
    ck_assert_str_eq(nodes[0].body, "new");
}
END_TEST

/* It heard the word that long ago. */
static void relay_late(struct node *node, uint32_t number, const char *word, mn_time age)
{
    step(node, &(struct records_input){.type = RECORDS_IN_RELAY,
                                       .key = key_of(number),
                                       .relay = {mn_span_str(word), now.mono - age}});
}

static void relay(struct node *node, uint32_t number, const char *word)
{
    relay_late(node, number, word, 0);
}

START_TEST(a_word_goes_to_those_that_wrote_last)
{
    const uint32_t last = RECORDS_FORMER + 1;

    relay(&nodes[0], 1, "of what nobody knows");
    put(&nodes[0], 1, "first");
    relay(&nodes[0], 1, "nobody wrote before");
    for (uint32_t i = 1; i <= last; i++) {
        say(&nodes[i], RECORDS_IN_ASK, 1);
        pass(RECORDS_LOST_WAIT);
        put(&nodes[i], 1, "later");
    }
    relay(&nodes[last], 1, "who has it?");
    ck_assert_uint_eq(nodes[0].relayed, 0); /* it is too long ago */
    for (uint32_t i = 1; i < last; i++) {
        ck_assert_uint_eq(nodes[i].relayed, 1);
        ck_assert_str_eq(nodes[i].body, "who has it?");
    }
    ck_assert_uint_eq(nodes[last].relayed, 0);
}
END_TEST

static int sender = 1; /* of what follows */

/* A packet to node 0. */
static void receive(const Meshnode__Record__Packet *packet)
{
    struct records_input input = {.type = RECORDS_IN_MESSAGE};
    struct mn_buf *bytes = pb_pack(&packet->base);

    input.message.from = nodes[sender].id;
    input.message.bytes = mn_buf_span(bytes);
    step(&nodes[0], &input);
    mn_buf_unref(bytes);
}

/* The record goes from 0 to 1, where the client says what is for 0. */
static void move_to_1(uint32_t number)
{
    put(&nodes[0], number, "first");
    say(&nodes[1], RECORDS_IN_ASK, number);
    put(&nodes[1], number, "later");
}

static void come_back(struct node *node)
{
    node->is_up = true;
    tell_nodes();
}

START_TEST(a_word_that_is_lost_is_said_again)
{
    move_to_1(1);
    is_lossy = true;
    relay_late(&nodes[1], 1, "a word", MN_SEC);
    pass(RECORDS_RETRY / 2);
    is_lossy = false;
    pass(RECORDS_RETRY);
    ck_assert_uint_eq(nodes[0].relayed, 1);
    ck_assert_str_eq(nodes[0].body, "a word");
    ck_assert_uint_ge(nodes[0].age, MN_SEC + RECORDS_RETRY);
    ck_assert_uint_le(nodes[0].age, MN_SEC + 3 * RECORDS_RETRY);
    pass(2 * RECORDS_RELAY_LIFE); /* it is confirmed, and so not said any more */
    ck_assert_uint_eq(nodes[0].relayed, 1);
    ck_assert_uint_eq(records_stats(nodes[1].records).words, 0);
    ck_assert_uint_eq(records_stats(nodes[1].records).words_lost, 0);
}
END_TEST

START_TEST(a_word_whose_confirmation_is_lost_comes_twice)
{
    move_to_1(1);
    mute = &nodes[0];
    relay(&nodes[1], 1, "a word");
    ck_assert_uint_eq(nodes[0].relayed, 1);
    ck_assert_uint_eq(records_stats(nodes[1].records).words, 1);
    mute = NULL;
    pass(RECORDS_RETRY);
    ck_assert_uint_eq(nodes[0].relayed, 2);
    ck_assert_uint_eq(records_stats(nodes[1].records).words, 0);
}
END_TEST

START_TEST(a_word_waits_for_a_node_that_is_away)
{
    uint32_t before;

    move_to_1(1);
    kill_node(&nodes[0]);
    relay(&nodes[1], 1, "a word");
    pass(RECORDS_LOST_WAIT); /* until all that else is said is confirmed */
    before = sent_count;
    pass(RECORDS_RELAY_LIFE - RECORDS_LOST_WAIT - 1);
    ck_assert_uint_eq(sent_count, before); /* nobody is there to be told */
    come_back(&nodes[0]);
    ck_assert_uint_eq(nodes[0].relayed, 1);
    ck_assert_str_eq(nodes[0].body, "a word");
    ck_assert_uint_eq(records_stats(nodes[1].records).words, 0);
}
END_TEST

START_TEST(a_word_is_not_kept_for_ever)
{
    move_to_1(1);
    kill_node(&nodes[0]);
    relay(&nodes[1], 1, "a word");
    pass(RECORDS_RELAY_LIFE);
    ck_assert_uint_eq(records_stats(nodes[1].records).words, 0);
    ck_assert_uint_eq(records_stats(nodes[1].records).words_lost, 1);
    come_back(&nodes[0]);
    pass(RECORDS_RELAY_LIFE);
    ck_assert_uint_eq(nodes[0].relayed, 0);
}
END_TEST

START_TEST(the_oldest_word_makes_room)
{
    static char word[RECORDS_RELAY_MAX];
    char short_word[16];
    uint32_t fit = (uint32_t)(RECORDS_WORDS_SIZE_MAX / sizeof word);

    move_to_1(1);
    kill_node(&nodes[0]);
    is_unchecked = true;
    for (uint32_t i = 0; i < RECORDS_WORDS_MAX + 3; i++) {
        snprintf(short_word, sizeof short_word, "%u", i);
        relay(&nodes[1], 1, short_word);
    }
    ck_assert_uint_eq(records_stats(nodes[1].records).words, RECORDS_WORDS_MAX);
    ck_assert_uint_eq(records_stats(nodes[1].records).words_lost, 3);
    come_back(&nodes[0]);
    ck_assert_uint_eq(nodes[0].relayed, RECORDS_WORDS_MAX); /* in the order they were said in */
    ck_assert_str_eq(nodes[0].body, short_word);
    kill_node(&nodes[0]);
    memset(word, 'x', sizeof word - 1);
    for (uint32_t i = 0; i < fit + 3; i++)
        relay(&nodes[1], 1, word);
    ck_assert_uint_ge(records_stats(nodes[1].records).words, fit - 1);
    ck_assert_uint_le(records_stats(nodes[1].records).words, fit);
    records_check(nodes[1].records);
}
END_TEST

static void receive_relay(uint64_t number)
{
    Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
    Meshnode__Record__Relay relay = MESHNODE__RECORD__RELAY__INIT;
    struct records_key key = key_of(1);

    relay.key = pb_bytes(mn_span(&key, sizeof key));
    relay.message = pb_bytes(mn_span_str("a word"));
    relay.number = number;
    packet.what_case = MESHNODE__RECORD__PACKET__WHAT_RELAY;
    packet.relay = &relay;
    receive(&packet);
}

static void receive_relayed(uint32_t key_number, uint64_t number)
{
    Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
    Meshnode__Record__Relayed relayed = MESHNODE__RECORD__RELAYED__INIT;
    struct records_key key = key_of(key_number);

    relayed.key = pb_bytes(mn_span(&key, sizeof key));
    relayed.number = number;
    packet.what_case = MESHNODE__RECORD__PACKET__WHAT_RELAYED;
    packet.relayed = &relayed;
    receive(&packet);
}

START_TEST(a_word_is_confirmed_by_whom_it_is_for)
{
    put(&nodes[1], 1, "first");
    say(&nodes[0], RECORDS_IN_ASK, 1);
    put(&nodes[0], 1, "later");
    kill_node(&nodes[1]);
    relay(&nodes[0], 1, "a word");
    word_number = 0;
    mute = &nodes[1];
    come_back(&nodes[1]);
    ck_assert_uint_ne(word_number, 0);
    receive_relayed(1, word_number + 1);
    receive_relayed(2, word_number);
    sender = 2;
    receive_relayed(1, word_number);
    sender = 1;
    ck_assert_uint_eq(records_stats(nodes[0].records).words, 1);
    receive_relayed(1, word_number);
    ck_assert_uint_eq(records_stats(nodes[0].records).words, 0);
    receive_relayed(1, word_number); /* twice is fine */
}
END_TEST

/* As nodes of an earlier version say it, which do not know the answer. */
START_TEST(a_word_without_a_number_is_not_confirmed)
{
    receive_relay(0);
    ck_assert_uint_eq(nodes[0].relayed, 1);
    ck_assert_uint_eq(sent_count, 0);
    receive_relay(7);
    ck_assert_uint_eq(nodes[0].relayed, 2);
    ck_assert_uint_eq(sent_count, 1);
}
END_TEST

START_TEST(an_end_is_answered_when_two_others_know_of_it)
{
    put(&nodes[0], 8, "eight");
    is_lossy = true;
    say(&nodes[0], RECORDS_IN_END, 8);
    pass(RECORDS_RETRY - 1);
    ck_assert_uint_eq(nodes[0].ends, 0);
    is_lossy = false;
    pass(1);
    ck_assert_uint_eq(nodes[0].ends, 1);
    ck_assert_uint_eq(nodes[0].copies, 2);
    pass(RECORDS_WAIT);
    ck_assert_uint_eq(nodes[0].ends, 1);
}
END_TEST

START_TEST(an_end_is_final)
{
    put(&nodes[0], 8, "eight");
    say(&nodes[5], RECORDS_IN_ASK, 8);
    put(&nodes[5], 8, "of five");
    say(&nodes[0], RECORDS_IN_END, 8);
    pass(RECORDS_REFRESH + MN_SEC); /* five says it again, and hears that it is over */
    ck_assert(nodes[5].newer > 0 && nodes[5].is_ended);
    for (int i = 0; i < NODES; i++) {
        nodes[i].found = 0;
        say(&nodes[i], RECORDS_IN_ASK, 8);
        ck_assert_uint_eq(nodes[i].found, 1);
        ck_assert(nodes[i].is_found && nodes[i].is_ended);
        put(&nodes[i], 8, "again");
        ck_assert(nodes[i].is_ended);
    }
}
END_TEST

START_TEST(copies_expire_when_their_owner_is_silent)
{
    put(&nodes[0], 10, "ten");
    pass(3 * RECORDS_LIFE); /* kept fresh */
    ck_assert_uint_eq(keepers(10, &nodes[0]), 2);
    say(&nodes[0], RECORDS_IN_RELEASE, 10);
    pass(RECORDS_LIFE + MN_MINUTE);
    ck_assert_uint_eq(keepers(10, NULL), 0);
    put(&nodes[1], 11, "eleven");
    kill_node(&nodes[1]);
    pass(RECORDS_LIFE - 2 * MN_SEC);
    ck_assert_uint_eq(keepers(11, NULL), 2);
    pass(3 * MN_SEC);
    ck_assert_uint_eq(keepers(11, NULL), 0);
}
END_TEST

static void receive_put(uint32_t number, uint64_t version, struct mn_span body, bool is_ended)
{
    Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
    Meshnode__Record__Record record = MESHNODE__RECORD__RECORD__INIT;
    struct records_key key = key_of(number);

    record.key = pb_bytes(mn_span(&key, sizeof key));
    record.version = version;
    record.writer = pb_id_bytes(&nodes[sender].id);
    record.life_ms = UINT64_MAX;
    record.is_ended = is_ended;
    record.body = pb_bytes(body);
    packet.what_case = MESHNODE__RECORD__PACKET__WHAT_PUT;
    packet.put = &record;
    receive(&packet);
}

START_TEST(nonsense_is_counted_and_dropped)
{
    static uint8_t long_body[RECORDS_BODY_MAX + 1];
    struct records_input input = {.type = RECORDS_IN_MESSAGE, .message.from = nodes[1].id};

    input.message.bytes = mn_span_str("no packet at all");
    step(&nodes[0], &input);
    receive_put(1, 0, mn_span_str("version 0"), false);
    receive_put(1, UINT64_MAX, mn_span_str("no version after this one"), false);
    receive_put(1, 1, mn_span(NULL, 0), false);
    receive_put(1, 1, mn_span_str("an end with a body"), true);
    receive_put(1, 1, mn_span(long_body, sizeof long_body), false);
    ck_assert_uint_eq(records_stats(nodes[0].records).malformed, 6);
    ck_assert_uint_eq(records_stats(nodes[0].records).kept, 0);
    ck_assert_uint_eq(sent_count, 0);
}
END_TEST

START_TEST(memory_is_bounded_and_what_is_ours_stays)
{
    static uint8_t body[RECORDS_BODY_MAX];
    uint32_t fit = (uint32_t)(RECORDS_SIZE_MAX / sizeof body), before;

    put(&nodes[0], 0, "ours");
    before = records_stats(nodes[0].records).kept;
    memset(body, 'x', sizeof body);
    is_unchecked = true;
    for (uint32_t i = 0; i < fit + 100; i++) {
        now.mono += MN_MS;
        receive_put(1000 + i, 1, mn_span(body, sizeof body), false);
    }
    ck_assert_uint_le(records_stats(nodes[0].records).size, RECORDS_SIZE_MAX);
    ck_assert_uint_ge(records_stats(nodes[0].records).kept, fit - 1);
    ck_assert_uint_le(records_stats(nodes[0].records).kept, fit + before);
    ck_assert_uint_eq(keepers(0, NULL), 3);
    ck_assert_uint_eq(keepers(1000, NULL), 0); /* the oldest went */
    for (uint32_t i = 0; i < RECORDS_ENDED_MAX + 100; i++)
        receive_put(10000 + i, 1, mn_span(NULL, 0), true);
    ck_assert_uint_eq(records_stats(nodes[0].records).ended, RECORDS_ENDED_MAX);
    ck_assert_uint_eq(nodes[0].forgotten, 100);
    records_check(nodes[0].records);
}
END_TEST

/* Nor for copies of what was put before. */
START_TEST(who_ends_it_does_not_wait_for_ever)
{
    is_lossy = true;
    put(&nodes[0], 8, "eight");
    say(&nodes[0], RECORDS_IN_END, 8);
    ck_assert_uint_eq(nodes[0].stored, 1);
    ck_assert_uint_eq(nodes[0].ends, 0);
    pass(RECORDS_WAIT - 1);
    ck_assert_uint_eq(nodes[0].ends, 0);
    pass(1);
    ck_assert_uint_eq(nodes[0].ends, 1);
    say(&nodes[0], RECORDS_IN_END, 9); /* of what it does not know; other ends make it go */
    for (uint32_t i = 0; i < RECORDS_ENDED_MAX; i++)
        receive_put(10000 + i, 1, mn_span(NULL, 0), true);
    ck_assert_uint_eq(nodes[0].ends, 2);
    for (int i = 1; i < NODES; i++)
        nodes[i].is_up = false;
    tell_nodes();
    say(&nodes[0], RECORDS_IN_END, 10);
    ck_assert_uint_eq(nodes[0].ends, 3);
}
END_TEST

/* How many changes of one record by [sender] are taken, of more than anybody could make. */
static uint32_t taken(struct mn_span body, uint64_t *version)
{
    uint32_t before = nodes[0].keeps;

    for (size_t size = 0; size < 2 * RECORDS_PACE_MAX; size += body.size)
        receive_put(7, ++*version, body, false);
    return nodes[0].keeps - before;
}

START_TEST(who_changes_records_without_end_is_slowed_down)
{
    static uint8_t body[RECORDS_BODY_MAX];
    uint32_t most = (uint32_t)(RECORDS_PACE_MAX / sizeof body);
    uint64_t version = 0;

    memset(body, 'x', sizeof body);
    is_unchecked = true;
    ck_assert_uint_ge(taken(mn_span(body, sizeof body), &version), most - most / 50);
    ck_assert_uint_le(nodes[0].keeps, most); /* as much as all that is kept here, at once */
    ck_assert_uint_gt(records_stats(nodes[0].records).throttled, most / 2);
    now.mono += MN_SEC;
    most = (uint32_t)(MN_SEC * RECORDS_PACE / sizeof body);
    ck_assert_uint_ge(taken(mn_span(body, sizeof body), &version), most - 5);
    ck_assert_uint_le(taken(mn_span(body, sizeof body), &version), 1);
    sender = 2; /* others are not */
    receive_put(8, 1, mn_span_str("of another"), false);
    ck_assert_uint_eq(keepers(8, NULL), 1);
    sender = 1;
    now.mono += MN_MINUTE;
    ck_assert_uint_le(taken(mn_span(body, sizeof body), &version),
                      (uint32_t)(RECORDS_PACE_MAX / sizeof body));
}
END_TEST

/* Who has all of them, and shall keep them elsewhere, says all of them at once. */
START_TEST(all_records_at_once_are_taken)
{
    char body[1200];

    memset(body, 'x', sizeof body);
    is_unchecked = true;
    for (uint32_t i = 0; i < RECORDS_MAX; i++)
        receive_put(100 + i, 1, mn_span(body, sizeof body), false);
    ck_assert_uint_eq(records_stats(nodes[0].records).throttled, 0);
    ck_assert_uint_eq(records_stats(nodes[0].records).kept, RECORDS_MAX);
}
END_TEST

START_TEST(an_end_outlives_a_restart_of_all)
{
    uint32_t marks = 0;

    put(&nodes[0], 8, "eight");
    say(&nodes[0], RECORDS_IN_END, 8);
    for (int i = 0; i < NODES; i++) {
        struct records_config config = {.self = nodes[i].id, .seed = (const uint8_t[32]){3}};
        struct records_input mark = {.type = RECORDS_IN_MARK, .key = nodes[i].mark};
        records_free(nodes[i].records);
        nodes[i].records = records_new(&config);
        mark.mark = nodes[i].mark_version;
        if (mark.mark == 0) continue;
        ck_assert_mem_eq(&nodes[i].mark, &(struct records_key[]){key_of(8)}, sizeof nodes[i].mark);
        ck_assert_uint_eq(mark.mark, 2);
        step(&nodes[i], &mark);
        step(&nodes[i], &mark); /* twice is fine */
        marks++;
    }
    ck_assert_uint_eq(marks, 3); /* where it ended, and the two that kept it */
    sent_count = 0;
    tell_nodes();
    pass(RECORDS_YOUNG + MN_SEC);
    ck_assert_uint_eq(sent_count, 0);
    for (int i = 0; i < NODES; i++) {
        nodes[i].found = 0;
        say(&nodes[i], RECORDS_IN_ASK, 8);
        ck_assert_uint_eq(nodes[i].found, 1);
        ck_assert(nodes[i].is_found && nodes[i].is_ended);
    }
}
END_TEST

START_TEST(copies_are_spread_evenly)
{
    uint32_t each[NODES] = {0};

    is_unchecked = true;
    for (uint32_t number = 0; number < 600; number++) {
        struct records_key key = key_of(number);
        put(&nodes[0], number, "x");
        for (int i = 1; i < NODES; i++)
            each[i] += records_has(nodes[i].records, &key);
    }
    for (int i = 1; i < NODES; i++) /* 240 each on average; sigma is 12 */
        ck_assert_msg(each[i] > 170 && each[i] < 310, "node %d has %u", i, each[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("records");
    TCase *tcase = tcase_create("core");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_put_is_answered_when_two_others_keep_it);
    tcase_add_test(tcase, alone_a_put_is_answered_at_once);
    tcase_add_test(tcase, any_node_finds_it_when_its_own_is_dead);
    tcase_add_test(tcase, nobody_has_what_was_never_put);
    tcase_add_test(tcase, a_dead_copy_is_replaced);
    tcase_add_test(tcase, lost_messages_are_sent_again);
    tcase_add_test(tcase, who_waits_for_copies_does_not_wait_for_ever);
    tcase_add_test(tcase, who_asks_does_not_wait_for_ever);
    tcase_add_test(tcase, a_node_that_has_just_come_asks_all_that_it_meets);
    tcase_add_test(tcase, the_newest_version_wins_everywhere);
    tcase_add_test(tcase, a_word_goes_to_those_that_wrote_last);
    tcase_add_test(tcase, a_word_that_is_lost_is_said_again);
    tcase_add_test(tcase, a_word_whose_confirmation_is_lost_comes_twice);
    tcase_add_test(tcase, a_word_waits_for_a_node_that_is_away);
    tcase_add_test(tcase, a_word_is_not_kept_for_ever);
    tcase_add_test(tcase, the_oldest_word_makes_room);
    tcase_add_test(tcase, a_word_is_confirmed_by_whom_it_is_for);
    tcase_add_test(tcase, a_word_without_a_number_is_not_confirmed);
    tcase_add_test(tcase, an_end_is_answered_when_two_others_know_of_it);
    tcase_add_test(tcase, who_ends_it_does_not_wait_for_ever);
    tcase_add_test(tcase, an_end_is_final);
    tcase_add_test(tcase, an_end_outlives_a_restart_of_all);
    tcase_add_test(tcase, a_record_outlives_a_restart_of_all);
    tcase_add_test(tcase, what_is_over_is_not_kept);
    tcase_add_test(tcase, a_damaged_record_is_forgotten);
    tcase_add_test(tcase, a_record_that_comes_late_is_waited_for);
    tcase_add_test(tcase, copies_expire_when_their_owner_is_silent);
    tcase_add_test(tcase, nonsense_is_counted_and_dropped);
    tcase_add_test(tcase, memory_is_bounded_and_what_is_ours_stays);
    tcase_add_test(tcase, who_changes_records_without_end_is_slowed_down);
    tcase_add_test(tcase, all_records_at_once_are_taken);
    tcase_add_test(tcase, copies_are_spread_evenly);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
