/* The trust set in a small world of its own: sets that talk over links which deliver at once, in
 * order. What spreads, what is refused, and that who is out gets nothing any more. */
#include <check.h>
#include <sodium.h>
#include <stdlib.h>

#include "crypto/invite.h"
#include "mesh/trustset.h"
#include "proto/base/buf.h"
#include "proto/base/list.h"
#include "tests/suite.h"

#define NODES 6
#define STORE_MAX 128
#define HOUR_MS ((uint64_t)3600 * 1000)
#define DAY_MS (24 * HOUR_MS)
#define ITEM(name) MESHNODE__TRUST__ITEM_KIND__ITEM_KIND_##name

struct stored {
    struct mn_buf *key, *value;
};

struct node {
    struct identity identity;
    struct trustset *set;
    struct mn_buf *grant;
    bool is_linked[NODES];
    struct stored store[STORE_MAX];
    uint32_t store_count;
    uint32_t items_told, revoked_told, self_revoked, keys_told, chain_needed, faults;
    mn_status revoke_status;
    uint64_t revoke_request;
};

struct letter {
    struct mn_list all;
    unsigned from, to;
    struct mn_buf *bytes;
};

static struct node nodes[NODES];
static struct authority genesis, grown;
static struct sign_key root;
static struct mn_list letters;
static struct mn_now now;
static struct mn_arena arena;
static uint64_t letters_count;
static unsigned dropped_to = NODES; /* letters to this node get lost */

static unsigned index_of(const mn_id *id)
{
    for (unsigned i = 0; i < NODES; i++)
        if (mn_id_equal(&nodes[i].identity.node_id, id)) return i;
    ck_abort_msg("a node of the world");
    return 0;
}

/* ---- the world ---- */

static void store_set(struct node *node, struct mn_span key, struct mn_span value, bool is_delete)
{
    for (uint32_t i = 0; i < node->store_count; i++) {
        struct stored *stored = &node->store[i];
        if (!mn_span_equal(mn_buf_span(stored->key), key)) continue;
        mn_buf_unref(stored->key);
        mn_buf_unref(stored->value);
        *stored = node->store[--node->store_count];
        break;
    }
    if (is_delete) return;
    ck_assert_uint_lt(node->store_count, STORE_MAX);
    node->store[node->store_count++] = (struct stored){mn_buf_copy(key), mn_buf_copy(value)};
}

static void post(unsigned from, const mn_id *to, struct mn_span bytes)
{
    struct letter *letter;
    unsigned number = index_of(to);

    if (!nodes[from].is_linked[number] || number == dropped_to) return;
    letter = calloc(1, sizeof *letter);
    letter->from = from;
    letter->to = number;
    letter->bytes = mn_buf_copy(bytes);
    mn_list_push_back(&letters, &letter->all);
    letters_count++;
}

static void cut(unsigned a, unsigned b);

static void do_output(unsigned number, const struct trustset_output *output)
{
    struct node *node = &nodes[number];

    switch (output->type) {
    case TRUSTSET_OUT_PERSIST:
        store_set(node, output->key, output->value, output->is_delete);
        break;
    case TRUSTSET_OUT_SEND: post(number, &output->node, output->bytes); break;
    case TRUSTSET_OUT_ITEM: node->items_told++; break;
    case TRUSTSET_OUT_REVOKED: node->revoked_told++; break;
    case TRUSTSET_OUT_SELF_REVOKED: node->self_revoked++; break;
    case TRUSTSET_OUT_KEYS: node->keys_told++; break;
    case TRUSTSET_OUT_CHAIN_NEEDED: node->chain_needed++; break;
    case TRUSTSET_OUT_FAULT: node->faults++; break;
    case TRUSTSET_OUT_REVOKE_DONE:
        node->revoke_status = output->status;
        node->revoke_request = output->request;
        break;
    }
}

static void step(unsigned number, const struct trustset_input *input)
{
    struct trustset_outbox outbox = {.arena = &arena};

    trustset_step(nodes[number].set, now, input, &outbox);
    trustset_check(nodes[number].set);
    for (uint32_t i = 0; i < outbox.count; i++)
        do_output(number, &outbox.items[i]);
    mn_arena_reset(&arena);
}

static void deliver(void)
{
    struct mn_list *first;

    while ((first = mn_list_take(&letters)) != NULL) {
        struct letter *letter = MN_CONTAINER(first, struct letter, all);
        if (nodes[letter->from].is_linked[letter->to])
            step(letter->to, &(struct trustset_input){.type = TRUSTSET_IN_MESSAGE,
                                                      .node = nodes[letter->from].identity.node_id,
                                                      .bytes = mn_buf_span(letter->bytes)});
        mn_buf_unref(letter->bytes);
        free(letter);
    }
}

static void link_up(unsigned number, unsigned other)
{
    step(number, &(struct trustset_input){.type = TRUSTSET_IN_LINK_UP,
                                          .node = nodes[other].identity.node_id,
                                          .grant = mn_buf_span(nodes[other].grant)});
}

static void connect(unsigned a, unsigned b)
{
    nodes[a].is_linked[b] = nodes[b].is_linked[a] = true;
    link_up(a, b);
    link_up(b, a);
    deliver();
}

static void cut(unsigned a, unsigned b)
{
    nodes[a].is_linked[b] = nodes[b].is_linked[a] = false;
    step(a, &(struct trustset_input){.type = TRUSTSET_IN_LINK_DOWN,
                                     .node = nodes[b].identity.node_id});
    step(b, &(struct trustset_input){.type = TRUSTSET_IN_LINK_DOWN,
                                     .node = nodes[a].identity.node_id});
}

static void tick(unsigned number, bool is_minter)
{
    step(number, &(struct trustset_input){.type = TRUSTSET_IN_TICK, .is_minter = is_minter});
    deliver();
}

static void set_authority(unsigned number, const struct authority *authority)
{
    step(number, &(struct trustset_input){.type = TRUSTSET_IN_AUTHORITY, .authority = authority});
}

static void pass_ms(uint64_t ms)
{
    now.mono += ms * MN_MS;
    now.wall += ms * MN_MS;
}

static void start(unsigned number)
{
    struct trustset_config config = {.self = &nodes[number].identity,
                                     .seed = {(uint8_t)(number + 1)}};

    nodes[number].set = trustset_new(&config);
}

static void restart(unsigned number)
{
    struct node *node = &nodes[number];

    for (unsigned i = 0; i < NODES; i++)
        if (node->is_linked[i]) cut(number, i);
    trustset_free(node->set);
    start(number);
    for (uint32_t i = 0; i < node->store_count; i++)
        step(number, &(struct trustset_input){.type = TRUSTSET_IN_RECOVER,
                                              .key = mn_buf_span(node->store[i].key),
                                              .value = mn_buf_span(node->store[i].value)});
}

/* ---- the mesh: node 0 is the founder; grown: 0, 1, 2 are issuers ---- */

static struct mn_buf *make_grant(unsigned number, const mn_id *token)
{
    struct grant grant = {.mesh_id = genesis.mesh_id,
                          .serial = {{(uint8_t)number}},
                          .name = "n",
                          .role_max = MESHNODE__TRUST__ROLE__ROLE_VOTER,
                          .not_after_ms = mn_wall_ms(now) + 30 * DAY_MS,
                          .authority_version = 1,
                          .via = MESHNODE__TRUST__VIA__VIA_TOKEN};

    if (token != NULL) grant.token_id = *token;
    memcpy(grant.sign_pk, nodes[number].identity.key.pk, SIGN_PK_SIZE);
    return grant_sign(&grant, &nodes[0].identity.key);
}

/* The second version, by the founder alone: the first [count] nodes are issuers. */
static void make_grown(uint32_t count, struct authority *ret)
{
    struct authority next = {.version = 2,
                             .issuers_count = count,
                             .roots_count = 1,
                             .grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS};
    const struct sign_key *signer = &nodes[0].identity.key;
    struct mn_buf *document, *body;

    next.mesh_id = genesis.mesh_id;
    memcpy(next.prev, genesis.hash, sizeof next.prev);
    memcpy(next.roots[0], root.pk, SIGN_PK_SIZE);
    for (uint32_t i = 0; i < count; i++)
        memcpy(next.issuers[i], nodes[i].identity.key.pk, SIGN_PK_SIZE);
    body = authority_body(&next);
    document = authority_sign(&next.mesh_id, mn_buf_span(body), &signer, 1);
    ck_assert_int_eq(authority_decode(mn_buf_span(document), ret), MN_OK);
    mn_buf_unref(body);
    mn_buf_unref(document);
}

static void make_authorities(void)
{
    struct mn_buf *document = authority_genesis_make(
        &(struct authority_genesis){.root = &root,
                                    .founder = nodes[0].identity.key.pk,
                                    .grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS});

    ck_assert_int_eq(authority_decode(mn_buf_span(document), &genesis), MN_OK);
    mn_buf_unref(document);
    make_grown(3, &grown);
}

static const mn_id bad_token = {{7, 7, 7}};

static void setup(void)
{
    uint8_t seed[32] = {200};

    now = (struct mn_now){MN_SEC, 20000 * DAY_MS * MN_MS};
    mn_list_init(&letters);
    dropped_to = NODES;
    sign_key_init(&root, seed);
    for (unsigned i = 0; i < NODES; i++) {
        seed[0] = (uint8_t)(i + 1);
        nodes[i] = (struct node){.revoke_status = MN_TIMEOUT};
        identity_init(&nodes[i].identity, seed);
    }
    make_authorities();
    for (unsigned i = 0; i < NODES; i++) {
        nodes[i].grant = make_grant(i, i >= 4 ? &bad_token : NULL); /* 4 and 5 came by a token */
        start(i);
        set_authority(i, &genesis);
    }
}

static void teardown(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        trustset_free(nodes[i].set);
        mn_buf_unref(nodes[i].grant);
        for (uint32_t j = 0; j < nodes[i].store_count; j++) {
            mn_buf_unref(nodes[i].store[j].key);
            mn_buf_unref(nodes[i].store[j].value);
        }
    }
    authority_done(&genesis);
    authority_done(&grown);
    mn_arena_done(&arena);
    arena = (struct mn_arena){0};
}

static uint32_t items(unsigned number)
{
    return trustset_counts(nodes[number].set).items;
}

static const struct keyring *ring(unsigned number)
{
    return trustset_keyring(nodes[number].set);
}

static uint32_t sealing(unsigned number)
{
    const struct keyring_key *key = keyring_sealing(ring(number), mn_wall_ms(now));
    return key == NULL ? 0 : key->announced.key_id;
}

static bool is_out(unsigned number, unsigned who)
{
    const struct grant_revoked *revoked = trustset_revoked(nodes[number].set);
    return revoked->has_node(revoked->set, &nodes[who].identity.node_id);
}

static void chain_up(void)
{
    for (unsigned i = 0; i + 1 < NODES; i++)
        connect(i, i + 1);
}

static void add_withdrawal(unsigned number, uint8_t fill, uint64_t at_ms)
{
    struct invite_withdraw withdraw = {.token_id = {{fill, 1}}, .at_ms = at_ms};
    struct mn_buf *bytes;

    bytes = invite_withdraw_sign(&withdraw, &genesis.mesh_id, &nodes[number].identity.key);
    step(number, &(struct trustset_input){
                     .type = TRUSTSET_IN_ADD, .kind = ITEM(WITHDRAW), .bytes = mn_buf_span(bytes)});
    mn_buf_unref(bytes);
    deliver();
}

static void revoke(unsigned by, unsigned who)
{
    step(by, &(struct trustset_input){.type = TRUSTSET_IN_REVOKE,
                                      .revoke = {.request = 9,
                                                 .node_id = nodes[who].identity.node_id,
                                                 .reason = mn_span_str("stolen")}});
}

/* ---- spreading ---- */

START_TEST(what_is_new_is_everywhere_at_once)
{
    chain_up();
    add_withdrawal(0, 1, mn_wall_ms(now));
    for (unsigned i = 0; i < NODES; i++)
        ck_assert_uint_eq(items(i), 1);
    for (unsigned i = 1; i < NODES; i++)
        ck_assert_uint_eq(nodes[i].items_told, 1);
}
END_TEST

START_TEST(what_was_missed_comes_with_the_link)
{
    for (unsigned i = 0; i < 100; i++)
        add_withdrawal(0, (uint8_t)i, mn_wall_ms(now));
    chain_up();
    for (unsigned i = 0; i < NODES; i++)
        ck_assert_uint_eq(items(i), 100);
}
END_TEST

START_TEST(both_sides_of_a_healed_partition_get_all)
{
    for (unsigned i = 0; i < NODES; i++)
        set_authority(i, &grown);
    connect(0, 3);
    connect(1, 4);
    for (unsigned i = 0; i < 40; i++)
        add_withdrawal(0, (uint8_t)i, mn_wall_ms(now));
    for (unsigned i = 0; i < 50; i++)
        add_withdrawal(1, (uint8_t)(100 + i), mn_wall_ms(now));
    ck_assert_uint_eq(items(3), 40);
    ck_assert_uint_eq(items(4), 50);
    connect(3, 4);
    for (unsigned i = 0; i < 5; i++)
        if (i != 2) ck_assert_uint_eq(items(i), 90);
}
END_TEST

START_TEST(a_lost_message_is_made_up_for)
{
    connect(0, 1);
    dropped_to = 1;
    add_withdrawal(0, 1, mn_wall_ms(now));
    dropped_to = NODES;
    ck_assert_uint_eq(items(1), 0);
    for (unsigned i = 0; i < 3; i++) {
        pass_ms(46 * 1000);
        tick(0, false);
        tick(1, false);
    }
    ck_assert_uint_eq(items(1), 1);
}
END_TEST

START_TEST(only_issuers_count)
{
    connect(0, 1);
    add_withdrawal(1, 1, mn_wall_ms(now)); /* not even at home */
    ck_assert_uint_eq(items(1), 0);
    set_authority(1, &grown); /* there it is an issuer; node 0 does not know that yet */
    add_withdrawal(1, 1, mn_wall_ms(now));
    ck_assert_uint_eq(items(1), 1);
    ck_assert_uint_eq(items(0), 0);
    ck_assert_uint_ge(nodes[0].chain_needed, 1);
    ck_assert_uint_eq(nodes[0].faults, 0);
}
END_TEST

START_TEST(what_is_made_with_the_mesh_is_kept_for_it)
{
    restart(0);
    add_withdrawal(0, 1, mn_wall_ms(now));
    ck_assert_uint_eq(nodes[0].store_count, 0);
    set_authority(0, &genesis);
    ck_assert_uint_eq(items(0), 1);
    ck_assert_uint_eq(nodes[0].store_count, 1);
    connect(0, 1);
    ck_assert_uint_eq(items(1), 1);
}
END_TEST

START_TEST(what_a_dropped_issuer_said_goes_with_it)
{
    for (unsigned i = 0; i < 2; i++)
        set_authority(i, &grown);
    connect(0, 1);
    add_withdrawal(1, 1, mn_wall_ms(now));
    ck_assert_uint_eq(items(0), 1);
    set_authority(0, &genesis); /* as if the next document had dropped it */
    ck_assert_uint_eq(items(0), 0);
    ck_assert_uint_eq(nodes[0].store_count, 0);
}
END_TEST

START_TEST(garbage_is_a_fault)
{
    connect(0, 1);
    step(0, &(struct trustset_input){.type = TRUSTSET_IN_MESSAGE,
                                     .node = nodes[1].identity.node_id,
                                     .bytes = mn_span_str("\xff\xff\xff")});
    ck_assert_uint_eq(nodes[0].faults, 1);
}
END_TEST

START_TEST(an_issuer_is_held_to_its_pace)
{
    struct node *node = &nodes[0];

    for (unsigned i = 0; i < TRUSTSET_RATE_MAX + 10; i++) {
        struct invite_withdraw withdraw = {.token_id = {{(uint8_t)i, (uint8_t)(i >> 8), 1}},
                                           .at_ms = mn_wall_ms(now)};
        struct mn_buf *bytes =
            invite_withdraw_sign(&withdraw, &genesis.mesh_id, &node->identity.key);
        struct trustset_outbox outbox = {.arena = &arena};
        trustset_step(node->set, now,
                      &(struct trustset_input){.type = TRUSTSET_IN_ADD,
                                               .kind = ITEM(WITHDRAW),
                                               .bytes = mn_buf_span(bytes)},
                      &outbox);
        mn_arena_reset(&arena);
        mn_buf_unref(bytes);
    }
    ck_assert_uint_eq(items(0), TRUSTSET_RATE_MAX);
    pass_ms(HOUR_MS);
    add_withdrawal(0, 1, mn_wall_ms(now));
    ck_assert_uint_eq(items(0), TRUSTSET_RATE_MAX + 1);
}
END_TEST

START_TEST(items_end_and_revocations_do_not)
{
    connect(0, 1);
    add_withdrawal(0, 1, mn_wall_ms(now));
    revoke(0, 3);
    deliver();
    ck_assert_uint_eq(items(1), 3); /* with the key that was made */
    pass_ms(40 * DAY_MS);
    tick(0, false);
    tick(1, false);
    ck_assert_uint_eq(items(0), 1);
    ck_assert_uint_eq(items(1), 1);
    ck_assert(is_out(1, 3));
}
END_TEST

/* ---- keys ---- */

START_TEST(the_minter_makes_a_key_a_day)
{
    uint32_t first;

    chain_up();
    tick(1, true); /* not an issuer */
    ck_assert_uint_eq(sealing(1), 0);
    tick(0, true);
    first = sealing(0);
    ck_assert_uint_ne(first, 0);
    for (unsigned i = 0; i < NODES; i++) {
        ck_assert_uint_eq(sealing(i), first);
        ck_assert_ptr_nonnull(keyring_recon(ring(i)));
    }
    pass_ms(DAY_MS - 1000);
    tick(0, true);
    ck_assert_uint_eq(sealing(0), first);
    pass_ms(2000 + 5000);
    tick(0, true);
    pass_ms(31 * 1000);
    ck_assert_uint_ne(sealing(0), first);
    ck_assert_uint_eq(sealing(5), sealing(0));
    ck_assert_ptr_nonnull(keyring_opening(ring(5), first, mn_wall_ms(now)));
    ck_assert_uint_eq(ring(5)->count, 3); /* two seal, one recon */
}
END_TEST

START_TEST(keys_are_asked_for_by_whoever_comes_later)
{
    connect(0, 1);
    tick(0, true);
    connect(1, 2);
    ck_assert_uint_ne(sealing(2), 0);
    ck_assert_uint_eq(sealing(2), sealing(0));
}
END_TEST

START_TEST(an_unknown_key_is_asked_for_once_a_minute)
{
    uint64_t before;

    connect(0, 1);
    connect(0, 2);
    connect(0, 3);
    before = letters_count;
    for (unsigned i = 0; i < 10; i++)
        step(0, &(struct trustset_input){.type = TRUSTSET_IN_KEY_WANTED, .key_id = 77});
    ck_assert_uint_eq(letters_count - before, 2);
    deliver();
    pass_ms(61 * 1000);
    step(0, &(struct trustset_input){.type = TRUSTSET_IN_KEY_WANTED, .key_id = 77});
    ck_assert_uint_eq(letters_count - before, 4);
    deliver();
}
END_TEST

START_TEST(a_restart_keeps_items_and_keys)
{
    uint32_t key_id;

    connect(0, 1);
    tick(0, true);
    revoke(0, 3);
    deliver();
    key_id = sealing(1);
    restart(1);
    set_authority(1, &genesis);
    ck_assert_uint_eq(items(1), items(0));
    ck_assert_uint_eq(sealing(1), key_id);
    ck_assert(is_out(1, 3));
}
END_TEST

/* What lies on the disk opens with this node's own key only. */
START_TEST(keys_at_rest_are_sealed)
{
    const struct keyring_key *key;

    tick(0, true);
    key = keyring_sealing(ring(0), mn_wall_ms(now));
    for (uint32_t i = 0; i < nodes[0].store_count; i++) {
        struct mn_span value = mn_buf_span(nodes[0].store[i].value);
        for (size_t at = 0; at + sizeof key->secret <= value.size; at++)
            ck_assert_int_ne(memcmp(value.data + at, key->secret, sizeof key->secret), 0);
    }
    nodes[0].identity.rest_key[0] ^= 1;
    restart(0);
    set_authority(0, &genesis);
    ck_assert_uint_eq(ring(0)->count, 2); /* announced, but not at hand */
    ck_assert_uint_eq(sealing(0), 0);
}
END_TEST

/* ---- revoking ---- */

START_TEST(a_revoked_node_is_out_everywhere_and_gets_no_new_key)
{
    uint32_t before;

    chain_up();
    connect(0, 5);
    tick(0, true);
    pass_ms(60 * 1000);
    before = sealing(5);
    revoke(0, 5);
    ck_assert_int_eq(nodes[0].revoke_status, MN_OK);
    ck_assert_uint_eq(nodes[0].revoke_request, 9);
    ck_assert_uint_eq(nodes[0].revoked_told, 1);
    deliver();
    ck_assert_uint_eq(nodes[5].self_revoked, 1); /* it is told, with the proof */
    for (unsigned i = 0; i < 5; i++) {
        ck_assert(is_out(i, 5));
        ck_assert_uint_ne(sealing(i), before);
        ck_assert_ptr_null(keyring_opening(ring(i), before, mn_wall_ms(now)));
        ck_assert_ptr_null(keyring_find(ring(5), sealing(i)));
    }
    /* It asks, and knocks again: nothing. */
    connect(4, 5);
    step(5, &(struct trustset_input){.type = TRUSTSET_IN_KEY_WANTED, .key_id = sealing(0)});
    deliver();
    ck_assert_ptr_null(keyring_find(ring(5), sealing(0)));
}
END_TEST

START_TEST(a_token_goes_with_all_that_came_by_it)
{
    const struct grant_revoked *revoked;

    chain_up();
    tick(0, true);
    step(0, &(struct trustset_input){.type = TRUSTSET_IN_REVOKE,
                                     .revoke = {.request = 1, .token_id = bad_token}});
    deliver();
    revoked = trustset_revoked(nodes[3].set);
    ck_assert(revoked->has_token(revoked->set, &bad_token));
    ck_assert_uint_eq(trustset_counts(nodes[3].set).links, 1); /* 2; 4 is out */
    ck_assert_ptr_null(keyring_find(ring(4), sealing(3)));
    ck_assert_ptr_null(keyring_find(ring(5), sealing(3)));
}
END_TEST

/* Nodes 0 to 2 are issuers, and 2 came by the token too: else one issuer puts out the others. */
START_TEST(an_issuer_does_not_go_with_its_token)
{
    mn_buf_unref(nodes[2].grant);
    nodes[2].grant = make_grant(2, &bad_token);
    for (unsigned i = 0; i < NODES; i++)
        set_authority(i, &grown);
    connect(0, 1);
    connect(1, 2);
    connect(1, 4);
    step(0, &(struct trustset_input){.type = TRUSTSET_IN_REVOKE,
                                     .revoke = {.request = 1, .token_id = bad_token}});
    deliver();
    ck_assert_uint_eq(trustset_counts(nodes[1].set).links, 2); /* not 4 */
    ck_assert_ptr_nonnull(keyring_find(ring(2), sealing(1)));
    ck_assert_ptr_null(keyring_find(ring(4), sealing(1)));
    set_authority(1, &genesis); /* as if it was an issuer no longer */
    ck_assert_uint_eq(trustset_counts(nodes[1].set).links, 1);
}
END_TEST

START_TEST(a_revocation_crosses_a_partition_when_it_heals)
{
    chain_up();
    tick(0, true);
    cut(2, 3);
    revoke(0, 4);
    deliver();
    ck_assert(is_out(2, 4));
    ck_assert(!is_out(3, 4));
    ck_assert(!is_out(5, 4));
    connect(2, 3);
    ck_assert(is_out(3, 4));
    ck_assert_uint_eq(sealing(3), sealing(0));
    ck_assert_ptr_null(keyring_find(ring(4), sealing(0)));
}
END_TEST

static void send_raw(unsigned to, unsigned from, const Meshnode__Trust__TrustPacket *packet)
{
    struct mn_buf *bytes =
        mn_buf_new(protobuf_c_message_get_packed_size((const ProtobufCMessage *)packet));

    protobuf_c_message_pack((const ProtobufCMessage *)packet, bytes->bytes);
    step(to, &(struct trustset_input){.type = TRUSTSET_IN_MESSAGE,
                                      .node = nodes[from].identity.node_id,
                                      .bytes = mn_buf_span(bytes)});
    mn_buf_unref(bytes);
}

/* The key that was made for a revocation reaches node 1 without it: it stays there. */
START_TEST(a_key_does_not_go_ahead_of_its_revocation)
{
    Meshnode__Trust__TrustPacket packet = MESHNODE__TRUST__TRUST_PACKET__INIT;
    Meshnode__Trust__TrustItem item = MESHNODE__TRUST__TRUST_ITEM__INIT, *item_pointer = &item;
    Meshnode__Trust__KeySecret secret = MESHNODE__TRUST__KEY_SECRET__INIT,
                               *secret_pointer = &secret;
    struct meshkey meshkey = {.key_id = 5,
                              .kind = MESHKEY_SEAL,
                              .created_ms = mn_wall_ms(now),
                              .seal_until_ms = mn_wall_ms(now) + HOUR_MS,
                              .open_until_ms = mn_wall_ms(now) + HOUR_MS,
                              .is_after_revocation = true,
                              .after_revocation = {1, 2, 3}};
    uint8_t bytes[32] = {9};
    struct mn_buf *document;

    connect(0, 1);
    connect(1, 2);
    meshkey_commit(&genesis.mesh_id, bytes, meshkey.commit);
    document = meshkey_sign(&meshkey, &genesis.mesh_id, &nodes[0].identity.key);
    item.kind = ITEM(MESH_KEY);
    item.document = (ProtobufCBinaryData){document->size, document->bytes};
    secret.key_id = 5;
    secret.secret = (ProtobufCBinaryData){sizeof bytes, bytes};
    packet.type = MESHNODE__TRUST__TRUST_PACKET__TYPE__NEWS;
    packet.n_items = packet.n_secrets = 1;
    packet.items = &item_pointer;
    packet.secrets = &secret_pointer;
    send_raw(1, 0, &packet);
    deliver();
    ck_assert(keyring_find(ring(1), 5)->has_secret);
    ck_assert_ptr_nonnull(keyring_find(ring(2), 5)); /* announced; and asked for in vain */
    ck_assert(!keyring_find(ring(2), 5)->has_secret);
    mn_buf_unref(document);
}
END_TEST

/* Both in one message, the key first: the revocation is applied first all the same. */
START_TEST(order_within_a_message_does_not_matter)
{
    chain_up();
    connect(1, 5);
    tick(0, true);
    cut(0, 1);
    revoke(0, 5);
    deliver();
    connect(0, 1); /* sent in order of hashes */
    ck_assert(is_out(1, 5));
    ck_assert_uint_eq(sealing(1), sealing(0));
    ck_assert_ptr_null(keyring_find(ring(5), sealing(0)));
}
END_TEST

START_TEST(who_may_not_revoke)
{
    connect(0, 1);
    revoke(1, 3); /* not an issuer */
    ck_assert_int_eq(nodes[1].revoke_status, MN_DENIED);
    revoke(0, 0); /* an issuer */
    ck_assert_int_eq(nodes[0].revoke_status, MN_DENIED);
    revoke(0, 3);
    ck_assert_int_eq(nodes[0].revoke_status, MN_OK);
    revoke(0, 3);
    ck_assert_int_eq(nodes[0].revoke_status, MN_EXISTS);
    deliver();
}
END_TEST

/* A program that was changed sends what ours refuses to sign: the word of one issuer against
 * another. It is not taken, and not passed on; its word against a plain member is. */
START_TEST(a_bad_issuer_does_not_put_out_another)
{
    const mn_id targets[] = {nodes[2].identity.node_id, nodes[0].identity.node_id,
                             nodes[4].identity.node_id};

    for (unsigned i = 0; i < NODES; i++)
        set_authority(i, &grown);
    connect(0, 1);
    connect(0, 3);
    for (unsigned i = 0; i < 3; i++) {
        Meshnode__Trust__TrustPacket packet = MESHNODE__TRUST__TRUST_PACKET__INIT;
        Meshnode__Trust__TrustItem item = MESHNODE__TRUST__TRUST_ITEM__INIT, *pointer = &item;
        struct revocation revocation = {.node_id = targets[i], .at_ms = mn_wall_ms(now)};
        struct mn_buf *bytes =
            revocation_sign(&revocation, &genesis.mesh_id, &nodes[1].identity.key);

        item.kind = ITEM(REVOCATION);
        item.document = (ProtobufCBinaryData){bytes->size, bytes->bytes};
        packet.type = MESHNODE__TRUST__TRUST_PACKET__TYPE__NEWS;
        packet.n_items = 1;
        packet.items = &pointer;
        send_raw(0, 1, &packet);
        deliver();
        mn_buf_unref(bytes);
        ck_assert_uint_eq(items(0), i / 2);
        ck_assert_uint_eq(items(3), i / 2);
        ck_assert(is_out(3, 4) == (i == 2));
        ck_assert(!is_out(3, 2) && !is_out(3, 0));
    }
}
END_TEST

/* At node 1: what [issuer] says of a token, dated back so that its pace is not what stops it. */
static void withdraw_at(unsigned issuer, unsigned i)
{
    struct invite_withdraw withdraw = {
        .token_id = {{(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 1}},
        .at_ms = mn_wall_ms(now) - i / TRUSTSET_RATE_MAX * HOUR_MS};
    struct mn_buf *bytes =
        invite_withdraw_sign(&withdraw, &genesis.mesh_id, &nodes[issuer].identity.key);
    struct trustset_outbox outbox = {.arena = &arena};

    trustset_step(nodes[1].set, now,
                  &(struct trustset_input){
                      .type = TRUSTSET_IN_ADD, .kind = ITEM(WITHDRAW), .bytes = mn_buf_span(bytes)},
                  &outbox);
    mn_arena_reset(&arena);
    mn_buf_unref(bytes);
}

/* Else a bad issuer fills it, and nobody can be revoked any more. Four of them do: it is full, says
 * so, and takes more once something has ended. */
START_TEST(an_issuer_has_its_share_of_the_set_and_no_more)
{
    struct authority wide;

    make_grown(5, &wide);
    set_authority(1, &wide);
    for (unsigned i = 0; i < TRUSTSET_SHARE_ITEMS_MAX + 100; i++)
        withdraw_at(2, i);
    ck_assert_uint_eq(items(1), TRUSTSET_SHARE_ITEMS_MAX);
    withdraw_at(0, 0);
    ck_assert_uint_eq(items(1), TRUSTSET_SHARE_ITEMS_MAX + 1);
    for (unsigned issuer = 0; issuer < 5; issuer += issuer == 0 ? 3 : 1)
        for (unsigned i = 0; i < TRUSTSET_SHARE_ITEMS_MAX; i++)
            withdraw_at(issuer, i);
    ck_assert_uint_eq(items(1), TRUSTSET_ITEMS_MAX);
    revoke(1, 5);
    ck_assert_int_eq(nodes[1].revoke_status, MN_FULL);
    ck_assert_uint_eq(items(1), TRUSTSET_ITEMS_MAX);
    trustset_check(nodes[1].set);
    pass_ms(31 * DAY_MS); /* the oldest were dated back by 16 hours, and lived for a month */
    step(1, &(struct trustset_input){.type = TRUSTSET_IN_TICK});
    revoke(1, 5);
    ck_assert_int_eq(nodes[1].revoke_status, MN_OK);
    authority_done(&wide);
}
END_TEST

/* Ten bytes that ask for all there is, again and again: it gets no more than a whole set and half
 * of one within a minute, and others are answered as ever. */
START_TEST(a_member_that_asks_without_end_is_not_answered_without_end)
{
    Meshnode__Trust__TrustPacket packet = MESHNODE__TRUST__TRUST_PACKET__INIT;
    uint64_t before;
    unsigned answered = 0;

    for (unsigned i = 0; i < 100; i++)
        add_withdrawal(0, (uint8_t)i, mn_wall_ms(now));
    connect(0, 1);
    packet.type = MESHNODE__TRUST__TRUST_PACKET__TYPE__HASHES;
    dropped_to = 1;
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t faults = nodes[0].faults;
        send_raw(0, 1, &packet);
        answered += nodes[0].faults == faults;
    }
    dropped_to = NODES;
    ck_assert_uint_gt(answered, 1000); /* each about 12 KB */
    ck_assert_uint_lt(answered, 12000);
    ck_assert_uint_eq(trustset_counts(nodes[0].set).messages_over_rate, 20000 - answered);
    connect(0, 2);
    ck_assert_uint_eq(items(2), 100);
    pass_ms(60 * 1000);
    before = letters_count;
    send_raw(0, 1, &packet);
    ck_assert_uint_gt(letters_count, before);
    deliver();
}
END_TEST

/* As long as an invite can be: it is bytes that end the share then. */
static void invite_at(unsigned issuer, unsigned i)
{
    struct invite invite = {.token_pk = {(uint8_t)i, (uint8_t)(i >> 8), 1},
                            .uses = INVITE_USES_MAX,
                            .created_ms = mn_wall_ms(now) - i / TRUSTSET_RATE_INVITES * HOUR_MS,
                            .role_max = MESHNODE__TRUST__ROLE__ROLE_VOTER,
                            .issuer_eligible = true};
    struct trustset_outbox outbox = {.arena = &arena};
    struct mn_buf *bytes;

    invite.token_id = digest_token_id(invite.token_pk);
    invite.not_after_ms = invite.created_ms + INVITE_TTL_MAX_MS;
    memset(invite.name, 'n', sizeof invite.name - 1);
    memset(invite.region, 'r', sizeof invite.region - 1);
    bytes = invite_sign(&invite, &genesis.mesh_id, &nodes[issuer].identity.key);
    trustset_step(nodes[1].set, now,
                  &(struct trustset_input){
                      .type = TRUSTSET_IN_ADD, .kind = ITEM(INVITE), .bytes = mn_buf_span(bytes)},
                  &outbox);
    mn_arena_reset(&arena);
    mn_buf_unref(bytes);
}

START_TEST(an_issuer_has_its_share_of_the_bytes_too)
{
    struct trustset_counts counts;

    set_authority(1, &grown);
    for (unsigned i = 0; i < TRUSTSET_SHARE_ITEMS_MAX; i++)
        invite_at(2, i);
    counts = trustset_counts(nodes[1].set);
    ck_assert_uint_lt(counts.items, TRUSTSET_SHARE_ITEMS_MAX);
    ck_assert_uint_le(counts.bytes, TRUSTSET_SHARE_BYTES_MAX);
    ck_assert_uint_gt(counts.bytes, TRUSTSET_SHARE_BYTES_MAX - INVITE_SIZE_MAX);
    invite_at(0, 0);
    ck_assert_uint_eq(items(1), counts.items + 1);
}
END_TEST

START_TEST(a_benign_removal_replaces_no_key)
{
    uint32_t key_id;

    connect(0, 1);
    tick(0, true);
    key_id = sealing(0);
    step(0, &(struct trustset_input){
                .type = TRUSTSET_IN_REVOKE,
                .revoke = {.node_id = nodes[3].identity.node_id, .is_benign = true}});
    deliver();
    ck_assert(is_out(1, 3));
    ck_assert_uint_eq(sealing(1), key_id);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trustset");
    TCase *tcase = tcase_create("trustset");

    if (sodium_init() < 0) abort();
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 300); /* 65,536 signatures, under sanitizers */
    tcase_add_test(tcase, what_is_new_is_everywhere_at_once);
    tcase_add_test(tcase, what_was_missed_comes_with_the_link);
    tcase_add_test(tcase, both_sides_of_a_healed_partition_get_all);
    tcase_add_test(tcase, a_lost_message_is_made_up_for);
    tcase_add_test(tcase, only_issuers_count);
    tcase_add_test(tcase, what_is_made_with_the_mesh_is_kept_for_it);
    tcase_add_test(tcase, what_a_dropped_issuer_said_goes_with_it);
    tcase_add_test(tcase, garbage_is_a_fault);
    tcase_add_test(tcase, an_issuer_is_held_to_its_pace);
    tcase_add_test(tcase, items_end_and_revocations_do_not);
    tcase_add_test(tcase, the_minter_makes_a_key_a_day);
    tcase_add_test(tcase, keys_are_asked_for_by_whoever_comes_later);
    tcase_add_test(tcase, an_unknown_key_is_asked_for_once_a_minute);
    tcase_add_test(tcase, a_restart_keeps_items_and_keys);
    tcase_add_test(tcase, keys_at_rest_are_sealed);
    tcase_add_test(tcase, a_revoked_node_is_out_everywhere_and_gets_no_new_key);
    tcase_add_test(tcase, a_token_goes_with_all_that_came_by_it);
    tcase_add_test(tcase, an_issuer_does_not_go_with_its_token);
    tcase_add_test(tcase, a_revocation_crosses_a_partition_when_it_heals);
    tcase_add_test(tcase, a_key_does_not_go_ahead_of_its_revocation);
    tcase_add_test(tcase, order_within_a_message_does_not_matter);
    tcase_add_test(tcase, who_may_not_revoke);
    tcase_add_test(tcase, a_bad_issuer_does_not_put_out_another);
    tcase_add_test(tcase, an_issuer_has_its_share_of_the_set_and_no_more);
    tcase_add_test(tcase, a_member_that_asks_without_end_is_not_answered_without_end);
    tcase_add_test(tcase, an_issuer_has_its_share_of_the_bytes_too);
    tcase_add_test(tcase, a_benign_removal_replaces_no_key);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
