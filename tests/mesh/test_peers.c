#include <stdio.h>

#include "tests/crypto/support.h"
#include "tests/mesh/peers_world.h"

#define MEMBER MESHNODE__WIRE__HELLO_KIND__HELLO_MEMBER
#define JOIN MESHNODE__WIRE__HELLO_KIND__HELLO_JOIN
#define CODE(name) MESHNODE__TRUST__CODE__CODE_##name

static struct world *world;

static void setup(void)
{
    world = world_new();
}

static void teardown(void)
{
    world_free(world);
}

static const mn_id *id_of(int node)
{
    return &world->nodes[node].identity.node_id;
}

static struct peers_counts counts_of(int node)
{
    return peers_counts(world->nodes[node].peers);
}

/* ---- members ---- */

START_TEST(members_link_and_know_each_other)
{
    const struct peers_link *link;

    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_dial(world, 0, 1, true);
    world_run(world, 10 * MN_MS);
    ck_assert(world_is_linked(world, 0, 1));
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_UP), 1);
    ck_assert_uint_eq(world_count(world, 1, PEERS_OUT_UP), 1);
    link = peers_find(world->nodes[1].peers, id_of(0));
    ck_assert_int_eq(link->kind, PEERS_MEMBER);
    ck_assert(!link->is_dialer);
    ck_assert_str_eq(link->name, "node");
    ck_assert_str_eq(link->address, "10.0.0.0:40000");
    ck_assert(mn_id_equal(&link->boot_id, &world->nodes[0].boot_id));
    ck_assert_mem_eq(link->grant.sign_pk, world->nodes[0].identity.key.pk, SIGN_PK_SIZE);
    ck_assert_mem_eq(link->pin, authority_pin(&world->authority), DIGEST_PIN_SIZE);
    ck_assert_int_eq(link->wall_difference_ms, 0);
    world_run(world, MN_SEC);
    ck_assert_uint_gt(peers_link_stats(link)->rtt_us, 0);
    ck_assert_ptr_eq(peers_next(world->nodes[1].peers, NULL), link);
    ck_assert_ptr_null(peers_next(world->nodes[1].peers, link));
}
END_TEST

START_TEST(envelopes_cross_in_order)
{
    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_dial(world, 0, 1, true);
    world_run(world, 10 * MN_MS);
    world_forget(world);
    for (uint32_t i = 0; i < 100; i++)
        world_send(world, 0, 1, i, i * 300, i + 1);
    world_run(world, MN_SEC);
    ck_assert_uint_eq(world_count(world, 1, PEERS_OUT_ENVELOPE), 100);
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_UNSENT), 0);
    for (uint32_t i = 0, seen = 0; i < world->nodes[1].log_count; i++) {
        const struct said *said = &world->nodes[1].log[i];
        if (said->type != PEERS_OUT_ENVELOPE) continue;
        ck_assert_uint_eq(said->sequence, seen);
        ck_assert_uint_eq(said->bytes->size, seen * 300);
        ck_assert(mn_id_equal(&said->node_id, id_of(0)));
        seen++;
    }
}
END_TEST

START_TEST(envelope_without_a_link_comes_back)
{
    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_send(world, 0, 1, 1, 10, 77);
    ck_assert_uint_eq(world_last(world, 0, PEERS_OUT_UNSENT)->tag, 77);
    ck_assert_int_eq(world_last(world, 0, PEERS_OUT_UNSENT)->status, MN_NOT_FOUND);
}
END_TEST

START_TEST(killed_peer_is_reported_with_what_was_never_sent)
{
    const struct said *unsent, *down;

    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_dial(world, 0, 1, true);
    world_run(world, 10 * MN_MS);
    world->nodes[1].is_frozen = true;
    for (uint32_t i = 1; i <= 10; i++)
        world_send(world, 0, 1, i, 60000, i); /* the first one is out, the rest waits */
    world_kill(world, 1);
    world_run(world, 20 * MN_MS);
    down = world_last(world, 0, PEERS_OUT_DOWN);
    unsent = world_last(world, 0, PEERS_OUT_UNSENT);
    ck_assert_int_eq(down->status, MN_IO); /* no goodbye: evidence */
    ck_assert(unsent < down);
    ck_assert_uint_eq(unsent->tag, 10);
    ck_assert_int_eq(unsent->status, MN_CLOSED);
    ck_assert_uint_lt(world_count(world, 0, PEERS_OUT_UNSENT), 10);
    ck_assert_uint_ge(world_count(world, 0, PEERS_OUT_UNSENT), 8);
}
END_TEST

START_TEST(kept_target_is_dialed_until_it_is_back)
{
    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_dial(world, 0, 1, true);
    world_run(world, 20 * MN_SEC);
    ck_assert(world_is_linked(world, 0, 1));
    world_kill(world, 1);
    world_run(world, 2 * MN_SEC);
    ck_assert_uint_ge(counts_of(0).dials_failed, 3); /* 100 ms, 200 ms, ... */
    world_start(world, 1, 2, MEMBER);                /* the same key, another boot id */
    world_run(world, 4 * MN_SEC);
    ck_assert(world_is_linked(world, 0, 1));
    world_kill(world, 1);
    world_forget(world);
    world_run(world, 10 * MN_MINUTE);
    ck_assert_uint_le(world_count(world, 0, PEERS_OUT_DIAL), 55); /* 15..30 s apart in the end */
    ck_assert_uint_ge(world_count(world, 0, PEERS_OUT_DIAL), 20);
}
END_TEST

START_TEST(wish_not_kept_is_one_round)
{
    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_kill(world, 1);
    world_dial(world, 0, 1, false);
    world_run(world, MN_MINUTE);
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_DIAL), 1);
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_DIAL_FAILED), 1);
    ck_assert_uint_eq(counts_of(0).targets, 0);
}
END_TEST

START_TEST(frozen_peer_goes_down_by_time)
{
    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_dial(world, 0, 1, true);
    world_run(world, MN_SEC);
    world->nodes[1].is_frozen = true;
    world_run(world, 16 * MN_SEC);
    ck_assert_int_eq(world_last(world, 0, PEERS_OUT_DOWN)->status, MN_TIMEOUT);
}
END_TEST

START_TEST(goodbye_is_no_evidence_of_death)
{
    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_dial(world, 0, 1, true);
    world_run(world, MN_SEC);
    world_input(world, 1, &(struct peers_input){.type = PEERS_IN_STOP});
    world_run(world, 100 * MN_MS);
    ck_assert_int_eq(world_last(world, 0, PEERS_OUT_DOWN)->status, MN_CLOSED);
    ck_assert_int_eq(world_last(world, 1, PEERS_OUT_DOWN)->status, MN_OK);
    ck_assert_uint_eq(world_count(world, 1, PEERS_OUT_IDLE), 1);
}
END_TEST

START_TEST(own_address_is_noticed_and_not_dialed_again)
{
    world_start(world, 0, 1, MEMBER);
    world_dial_address(world, 0, world->nodes[0].address, true);
    world_run(world, MN_MINUTE);
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_OWN_ADDRESS), 1);
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_DIAL), 1);
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_UP), 0);
}
END_TEST

/* ---- who is not let in ---- */

START_TEST(member_without_a_good_grant_is_refused)
{
    struct world_node *node;
    struct mn_buf *grant;
    struct identity other;
    uint8_t seed[IDENTITY_SEED_SIZE] = {99};

    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    node = &world->nodes[1];
    identity_init(&other, seed);
    switch (_i) {
    case 0: grant = world_grant(world, &node->identity, mn_wall_ms(world->now) - 400000); break;
    case 1: grant = world_grant(world, &other, mn_wall_ms(world->now) + 1000000); break;
    case 2:
        grant = mn_buf_copy(mn_buf_span(node->grant));
        grant->bytes[grant->size - 1] ^= 1;
        break;
    default: grant = mn_buf_new(0);
    }
    node->self.grant = mn_buf_span(grant);
    world_input(world, 1, &(struct peers_input){.type = PEERS_IN_SELF, .self = &node->self});
    world_dial(world, 1, 0, true);
    world_run(world, 100 * MN_MS);
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_UP), 0);
    ck_assert_uint_ge(world_count(world, 0, PEERS_OUT_REFUSED), 1);
    ck_assert(!world_last(world, 0, PEERS_OUT_REFUSED)->flag);
    ck_assert_uint_ge(world_count(world, 1, PEERS_OUT_REFUSED), 1);
    ck_assert(world_last(world, 1, PEERS_OUT_REFUSED)->flag);
    ck_assert_int_eq(world_last(world, 0, PEERS_OUT_REFUSED)->status,
                     world_last(world, 1, PEERS_OUT_REFUSED)->status);
    mn_buf_unref(grant);
}
END_TEST

START_TEST(member_of_another_mesh_is_refused)
{
    struct world_node *node;

    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    node = &world->nodes[1];
    node->self.mesh_id.bytes[3] ^= 1;
    world_input(world, 1, &(struct peers_input){.type = PEERS_IN_SELF, .self = &node->self});
    world_dial(world, 0, 1, false);
    world_run(world, 100 * MN_MS);
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_UP), 0);
    ck_assert_int_eq(world_last(world, 1, PEERS_OUT_REFUSED)->code, CODE(MESH_MISMATCH));
    ck_assert_int_eq(world_last(world, 0, PEERS_OUT_REFUSED)->code, CODE(MESH_MISMATCH));
}
END_TEST

START_TEST(two_strangers_do_not_link)
{
    world_start(world, 0, 1, JOIN);
    world_start(world, 1, 2, JOIN);
    world_dial_address(world, 0, world->nodes[1].address, false);
    world_run(world, 100 * MN_MS);
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_UP), 0);
    ck_assert_uint_eq(world_count(world, 1, PEERS_OUT_UP), 0);
}
END_TEST

START_TEST(expired_grant_cuts_its_link)
{
    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, JOIN);
    world->nodes[1].grant =
        world_grant(world, &world->nodes[1].identity, mn_wall_ms(world->now) + 60000);
    world_set_self(world, 1, MEMBER);
    world_dial(world, 1, 0, true);
    world_run(world, MN_SEC);
    ck_assert(world_is_linked(world, 0, 1));
    world_run(world, 5 * MN_MINUTE);
    ck_assert(world_is_linked(world, 0, 1)); /* the tolerance */
    world_run(world, 2 * MN_MINUTE + 10 * MN_SEC);
    ck_assert(!world_is_linked(world, 0, 1));
    ck_assert_uint_ge(world_count(world, 0, PEERS_OUT_DOWN), 1);
}
END_TEST

START_TEST(renewed_grant_keeps_its_link)
{
    struct mn_buf *grant;

    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, JOIN);
    world->nodes[1].grant =
        world_grant(world, &world->nodes[1].identity, mn_wall_ms(world->now) + 60000);
    world_set_self(world, 1, MEMBER);
    world_dial(world, 1, 0, true);
    world_run(world, MN_SEC);
    grant = world_grant(world, &world->nodes[1].identity, mn_wall_ms(world->now) + 3600000);
    world_input(world, 0,
                &(struct peers_input){
                    .type = PEERS_IN_GRANT, .node_id = *id_of(1), .bytes = mn_buf_span(grant)});
    mn_buf_unref(grant);
    world_run(world, 10 * MN_MINUTE);
    ck_assert(world_is_linked(world, 0, 1));
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_DOWN), 0);
}
END_TEST

/* ---- joining ---- */

static void control(int node, uint64_t link, const char *text, bool is_refusal)
{
    world_input(world, node,
                &(struct peers_input){.type = PEERS_IN_CONTROL,
                                      .link = link,
                                      .bytes = mn_span_str(text),
                                      .flag = is_refusal});
}

START_TEST(guest_talks_admission_and_becomes_a_member_on_the_same_link)
{
    const struct said *guest, *sponsor;

    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, JOIN);
    world_dial_address(world, 1, world->nodes[0].address, true);
    world_run(world, 10 * MN_MS);
    guest = world_last(world, 0, PEERS_OUT_UP);
    sponsor = world_last(world, 1, PEERS_OUT_UP);
    ck_assert_int_eq(guest->kind, PEERS_GUEST);
    ck_assert_int_eq(sponsor->kind, PEERS_SPONSOR);
    ck_assert_str_eq(peers_get(world->nodes[1].peers, sponsor->link)->name,
                     ""); /* not for guests */
    ck_assert_uint_gt(peers_get(world->nodes[1].peers, sponsor->link)->grant_bytes.size, 0);

    control(1, sponsor->link, "ask", false);
    world_run(world, 10 * MN_MS);
    ck_assert_mem_eq(world_last(world, 0, PEERS_OUT_CONTROL)->bytes->bytes, "ask", 3);
    control(0, guest->link, "answer", false);
    world_send(world, 0, 1, 1, 10, 5); /* not a member yet */
    world_run(world, 10 * MN_MS);
    ck_assert_mem_eq(world_last(world, 1, PEERS_OUT_CONTROL)->bytes->bytes, "answer", 6);
    ck_assert_uint_eq(world_last(world, 0, PEERS_OUT_UNSENT)->tag, 5);

    world_input(world, 0, &(struct peers_input){.type = PEERS_IN_ADMITTED, .link = guest->link});
    world_set_self(world, 1, MEMBER);
    world_run(world, 10 * MN_MS);
    ck_assert(world_is_linked(world, 0, 1));
    ck_assert_uint_eq(world_last(world, 0, PEERS_OUT_UP)->link, guest->link);
    ck_assert_int_eq(world_last(world, 0, PEERS_OUT_UP)->kind, PEERS_MEMBER);
    ck_assert_int_eq(world_last(world, 1, PEERS_OUT_UP)->kind, PEERS_MEMBER);
    ck_assert_uint_eq(world_count(world, 1, PEERS_OUT_DIAL), 1);
    world_send(world, 0, 1, 2, 10, 6);
    world_run(world, 10 * MN_MS);
    ck_assert_uint_eq(world_count(world, 1, PEERS_OUT_ENVELOPE), 1);
    world_run(world, MN_MINUTE);
    ck_assert(world_is_linked(world, 0, 1)); /* the guest's time is no longer counted */
}
END_TEST

/* It is in, tells so on its old link, and is dialed by the other at the same time. */
START_TEST(new_member_that_is_dialed_ends_up_with_one_link)
{
    world_start(world, 0, (uint8_t)(_i + 1), MEMBER);
    world_start(world, 1, (uint8_t)(100 - _i), JOIN);
    world_dial_address(world, 1, world->nodes[0].address, true);
    world_run(world, 10 * MN_MS);
    if (_i % 2 == 0) world_dial(world, 0, 1, true);
    world_run(world, (mn_time)(_i / 2) * 100 * MN_US);
    world_set_self(world, 1, MEMBER);
    if (_i % 2 == 1) world_dial(world, 0, 1, true);
    world_run(world, 5 * MN_SEC);
    ck_assert(world_is_linked(world, 0, 1));
    ck_assert_uint_eq(counts_of(0).members, 1);
    ck_assert_uint_eq(counts_of(0).guests, 0);
    ck_assert_mem_eq(peers_find(world->nodes[0].peers, id_of(1))->peer->handshake,
                     peers_find(world->nodes[1].peers, id_of(0))->peer->handshake, NOISE_HASH_SIZE);
    world_run(world, MN_MINUTE);
    ck_assert(world_is_linked(world, 0, 1));
}
END_TEST

START_TEST(guest_has_thirty_seconds)
{
    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, JOIN);
    world_dial_address(world, 1, world->nodes[0].address, false);
    world_run(world, 29 * MN_SEC);
    ck_assert_uint_eq(counts_of(0).guests, 1);
    world_run(world, 2 * MN_SEC);
    ck_assert_uint_eq(counts_of(0).guests, 0);
    ck_assert_int_eq(world_last(world, 0, PEERS_OUT_DOWN)->kind, PEERS_GUEST);
}
END_TEST

START_TEST(guests_are_bounded)
{
    world->limits.guests = 2;
    world_start(world, 0, 1, MEMBER);
    for (int i = 1; i <= 3; i++) {
        world_start(world, i, (uint8_t)(i + 1), JOIN);
        world_dial_address(world, i, world->nodes[0].address, false);
        world_run(world, 10 * MN_MS);
    }
    ck_assert_uint_eq(counts_of(0).guests, 2);
    ck_assert_int_eq(world_last(world, 3, PEERS_OUT_REFUSED)->code, CODE(PENDING_FULL));
}
END_TEST

START_TEST(guest_that_pours_is_cut)
{
    char text[4001];
    uint64_t link;

    memset(text, 'x', 4000);
    text[4000] = 0;
    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, JOIN);
    world_dial_address(world, 1, world->nodes[0].address, false);
    world_run(world, 10 * MN_MS);
    link = world_last(world, 1, PEERS_OUT_UP)->link;
    for (int i = 0; i < 20; i++) {
        control(1, link, text, false);
        world_run(world, 10 * MN_MS);
    }
    ck_assert_uint_eq(counts_of(0).guests, 0);
    ck_assert_uint_le(world_count(world, 0, PEERS_OUT_CONTROL), 9);
    ck_assert_int_eq(world_last(world, 0, PEERS_OUT_DOWN)->status, MN_TOO_BIG);
}
END_TEST

START_TEST(thirty_refused_joins_close_the_door_for_a_minute)
{
    uint32_t up = 0;

    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, JOIN);
    for (int i = 0; i < 40; i++) {
        world_forget(world);
        world_dial_address(world, 1, world->nodes[0].address, false);
        world_run(world, 200 * MN_MS);
        if (world_last(world, 0, PEERS_OUT_UP) == NULL) continue;
        up++;
        control(0, world_last(world, 0, PEERS_OUT_UP)->link, "no", true);
        world_input(world, 0,
                    &(struct peers_input){.type = PEERS_IN_CLOSE,
                                          .link = world_last(world, 0, PEERS_OUT_UP)->link,
                                          .status = MN_DENIED,
                                          .code = CODE(TOKEN_UNKNOWN)});
        world_run(world, 100 * MN_MS);
    }
    ck_assert_uint_eq(up, 30);
    ck_assert_uint_ge(counts_of(0).refused_rate, 9);
    world_run(world, MN_MINUTE);
    world_dial_address(world, 1, world->nodes[0].address, false);
    world_run(world, 200 * MN_MS);
    ck_assert_uint_eq(counts_of(0).guests, 1);
}
END_TEST

/* ---- two links to one node ---- */

START_TEST(simultaneous_dials_leave_one_link_and_lose_nothing)
{
    const struct peers_link *a, *b;
    uint32_t tag = 0;

    world->has_delay_by_wire = _i % 2 == 1;
    world_start(world, 0, (uint8_t)(_i / 2 + 1), MEMBER);
    world_start(world, 1, (uint8_t)(_i / 2 + 100), MEMBER);
    world_dial(world, 0, 1, true);
    world_dial(world, 1, 0, true);
    for (int i = 0; i < 40; i++) {
        if (peers_find(world->nodes[0].peers, id_of(1)) != NULL) {
            tag++;
            world_send(world, 0, 1, tag, 100, tag);
        }
        world_run(world, 150 * MN_US);
    }
    world_run(world, 3 * MN_SEC);
    ck_assert(world_is_linked(world, 0, 1));
    ck_assert_uint_eq(counts_of(0).members, 1);
    a = peers_find(world->nodes[0].peers, id_of(1));
    b = peers_find(world->nodes[1].peers, id_of(0));
    ck_assert_mem_eq(a->peer->handshake, b->peer->handshake, NOISE_HASH_SIZE); /* the same one */
    ck_assert_uint_eq(world_count(world, 1, PEERS_OUT_ENVELOPE), tag);
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_UNSENT), 0);
    for (int i = 0; i < 2; i++) { /* a member that is replaced was never away */
        const struct said *down = world_last(world, i, PEERS_OUT_DOWN);
        ck_assert(down == NULL || down->status == MN_EXISTS);
    }
    world_run(world, MN_MINUTE);
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_DIAL), 1);
    ck_assert_uint_eq(world_count(world, 1, PEERS_OUT_DIAL), 1);
}
END_TEST

START_TEST(clone_of_a_live_member_is_refused)
{
    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_dial(world, 1, 0, true);
    world_run(world, MN_SEC);
    world_start(world, 2, 2, _i == 0 ? MEMBER : JOIN); /* the same key */
    world_dial_address(world, 2, world->nodes[0].address, false);
    world_run(world, 2 * MN_SEC);
    ck_assert(world_is_linked(world, 0, 1)); /* the first one stays */
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_DOWN), 0);
    if (_i == 0) {
        ck_assert_int_eq(world_last(world, 2, PEERS_OUT_REFUSED)->code, CODE(IDENTITY_IN_USE));
        ck_assert_uint_eq(world_count(world, 2, PEERS_OUT_UP), 0);
    } else { /* a guest is told by admission */
        ck_assert_int_eq(world_last(world, 0, PEERS_OUT_UP)->kind, PEERS_GUEST);
        ck_assert_int_eq(world_last(world, 0, PEERS_OUT_UP)->refuse, CODE(IDENTITY_IN_USE));
    }
    ck_assert_uint_eq(counts_of(0).challenged, 1);
}
END_TEST

START_TEST(restarted_node_replaces_its_dead_link_after_the_challenge)
{
    mn_time began;

    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_dial(world, 1, 0, true);
    world_run(world, MN_SEC);
    for (uint32_t i = 0; i < world->wires_count; i++)
        world->wires[i].is_blackhole = true; /* a host that went down without a word */
    world_kill(world, 1);
    world_start(world, 1, 2, MEMBER);
    began = world->now.mono;
    world_forget(world);
    world_dial(world, 1, 0, true);
    world_run(world, 1200 * MN_MS);
    ck_assert(world_is_linked(world, 0, 1));
    ck_assert_int_eq(world_last(world, 0, PEERS_OUT_DOWN)->status, MN_TIMEOUT);
    ck_assert_uint_ge(world_last(world, 0, PEERS_OUT_UP)->at, began + MN_SEC);
    ck_assert(mn_id_equal(&peers_find(world->nodes[0].peers, id_of(1))->boot_id,
                          &world->nodes[1].boot_id));
}
END_TEST

static uint32_t count_gaps(int node)
{
    uint32_t gaps = 0;

    for (uint32_t i = 0; i < world->nodes[node].log_count; i++) {
        const struct said *said = &world->nodes[node].log[i];
        gaps += said->type == PEERS_OUT_DOWN && said->status != MN_EXISTS;
    }
    return gaps;
}

/* One end lost the link and dials again before the other one noticed: what was under way is lost,
 * and both must say so. */
START_TEST(link_lost_at_one_end_is_a_gap_at_both)
{
    int loser = _i % 2, dialer = _i / 2 % 2;
    struct wire *wire;

    world_start(world, 0, (uint8_t)(_i + 1), MEMBER);
    world_start(world, 1, (uint8_t)(200 - _i), MEMBER);
    world_dial(world, dialer, 1 - dialer, false);
    world_run(world, MN_SEC);
    wire = &world->wires[0];
    wire->is_blackhole = true;
    wire->is_closed[wire->node[1] == loser] = true;
    world_forget(world);
    world_input(world, loser,
                &(struct peers_input){.type = PEERS_IN_CLOSED,
                                      .conn = wire->conn[wire->node[1] == loser],
                                      .status = MN_IO});
    world_dial(world, loser, 1 - loser, true);
    world_run(world, 5 * MN_SEC);
    ck_assert(world_is_linked(world, 0, 1));
    ck_assert_uint_ge(count_gaps(0), 1);
    ck_assert_uint_ge(count_gaps(1), 1);
}
END_TEST

START_TEST(two_addresses_of_one_node_make_one_link)
{
    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    strcpy(world->nodes[2].address, "10.0.0.2:7000");
    world_dial_address(world, 0, world->nodes[1].address, true);
    strcpy(world->nodes[3].address, world->nodes[1].address);
    strcpy(world->nodes[1].address, "node-1:7000"); /* its other name */
    world_dial_address(world, 0, world->nodes[1].address, true);
    strcpy(world->nodes[1].address, world->nodes[3].address);
    world->wires[1].node[1] = 1;
    world_run(world, MN_SEC);
    ck_assert_uint_eq(counts_of(0).members, 1);
    ck_assert_uint_eq(counts_of(0).handshakes_done, 2);
    world_run(world, MN_MINUTE);
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_DIAL), 2);
}
END_TEST

START_TEST(old_link_gets_a_successor_without_loss)
{
    uint64_t old;
    uint32_t sent = 0;

    world->timing.renew = 2 * MN_SEC;
    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_dial(world, 0, 1, true);
    world_run(world, MN_SEC);
    old = peers_find(world->nodes[0].peers, id_of(1))->link;
    for (int i = 0; i < 2000; i++) {
        sent++;
        world_send(world, 0, 1, sent, 50, sent);
        if (i % 100 == 99) world_forget(world);
        world_run(world, MN_MS);
    }
    world_run(world, 100 * MN_MS);
    ck_assert(world_is_linked(world, 0, 1));
    ck_assert_uint_ne(peers_find(world->nodes[0].peers, id_of(1))->link, old);
    ck_assert_uint_ge(counts_of(0).replaced, 1);
    ck_assert_uint_eq(counts_of(0).unsent, 0);
    ck_assert_uint_eq(counts_of(0).members, 1);
}
END_TEST

/* ---- a peer that stops reading ---- */

START_TEST(slow_reader_slows_only_itself)
{
    uint32_t busy = 0;

    world->limits.link.queue.bytes_max[ENVELOPE_NORMAL] = 1 << 20;
    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_start(world, 2, 3, MEMBER);
    world_dial(world, 0, 1, true);
    world_dial(world, 0, 2, true);
    world_run(world, MN_SEC);
    world_input(world, 1,
                &(struct peers_input){.type = PEERS_IN_PAUSE,
                                      .link = peers_find(world->nodes[1].peers, id_of(0))->link,
                                      .flag = true});
    world_forget(world);
    for (uint32_t i = 1; i <= 500; i++) {
        world_send(world, 0, 1, i, 10000, i);
        world_send(world, 0, 2, i, 1000, 1000 + i);
        world_run(world, MN_MS);
    }
    ck_assert_uint_eq(world_count(world, 2, PEERS_OUT_ENVELOPE), 500);
    ck_assert_uint_eq(world_count(world, 1, PEERS_OUT_ENVELOPE), 0);
    for (uint32_t i = 0; i < world->nodes[0].log_count; i++) {
        const struct said *said = &world->nodes[0].log[i];
        if (said->type != PEERS_OUT_UNSENT) continue;
        ck_assert_uint_le(said->tag, 500);
        ck_assert_int_eq(said->status, MN_BUSY);
        busy++;
    }
    ck_assert_uint_ge(busy, 380); /* the megabyte that may wait, and what is under way */
    world_input(world, 1,
                &(struct peers_input){.type = PEERS_IN_PAUSE,
                                      .link = peers_find(world->nodes[1].peers, id_of(0))->link});
    world_run(world, MN_SEC);
    ck_assert_uint_eq(world_count(world, 1, PEERS_OUT_ENVELOPE), 500 - busy);
}
END_TEST

/* ---- abuse ---- */

START_TEST(garbage_costs_a_counter)
{
    world_start(world, 0, 1, MEMBER);
    for (int i = 0; i < 10; i++) {
        world_say(world, world_knock(world, 0, "203.0.113.9:1000"),
                  mn_span_str("GET /mcp HTTP/1.1\r\nHost: x\r\n\r\n"));
        world_say(world, world_knock(world, 0, "203.0.113.9:1000"),
                  mn_span("\x16\x03\x01\x00\xa5", 5));
        world_run(world, MN_SEC);
    }
    ck_assert_uint_eq(counts_of(0).garbage_http, 10);
    ck_assert_uint_eq(counts_of(0).garbage_tls, 10);
    ck_assert_uint_eq(counts_of(0).half_open, 0);
    ck_assert_uint_eq(world_count(world, 0, PEERS_OUT_SEND), 0); /* no answer either */
}
END_TEST

START_TEST(half_open_connections_leave_room_for_members)
{
    char address[40];

    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_dial(world, 0, 1, true);
    world_run(world, MN_SEC);
    world_start(world, 1, 2, MEMBER); /* forgot everything; its old connection is left open */
    for (int i = 0; i < 64; i++) {
        snprintf(address, sizeof address, "203.0.113.%d:1000", i);
        world_knock(world, 0, address);
    }
    ck_assert_uint_eq(counts_of(0).half_open, 32);
    ck_assert_uint_eq(counts_of(0).refused_half_open, 32);
    world_knock(world, 0, "10.0.0.1:40000");
    ck_assert_uint_eq(counts_of(0).half_open, 33);
    world_run(world, 3 * MN_SEC);
    ck_assert_uint_eq(counts_of(0).half_open, 0);
}
END_TEST

/* Those who say nothing, or begin and go no further, hold places only until others want them. */
START_TEST(idlers_give_way_to_newcomers)
{
    bool says_preamble = _i == 1;
    char address[40];

    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    for (int i = 0; i < 32; i++) {
        snprintf(address, sizeof address, "203.0.113.%d:1000", i);
        struct wire *wire = world_knock(world, 0, address);
        if (says_preamble) world_say(world, wire, mn_span_str("MESH"));
    }
    world_run(world, says_preamble ? 900 * MN_MS : 30 * MN_MS);
    world_knock(world, 0, "203.0.114.1:1000");
    ck_assert_uint_eq(counts_of(0).refused_half_open, 1); /* they may still be on their way */
    world_run(world, 100 * MN_MS);
    world_dial(world, 1, 0, true);
    world_run(world, 500 * MN_MS);
    ck_assert_ptr_nonnull(peers_find(world->nodes[0].peers, id_of(1)));
    ck_assert_uint_eq(counts_of(0).evicted, 1);
    ck_assert_uint_eq(counts_of(0).refused_half_open, 1);
    world_run(world, 3 * MN_SEC);
    ck_assert_uint_eq(counts_of(0).half_open, 0);
}
END_TEST

/* So many begin a handshake that comes to nothing. */
static void begin_handshakes(const char *address, unsigned count)
{
    static const char bytes[] = FRAME_PREAMBLE "\x00\x28 message one must not have a payload....";

    _Static_assert(sizeof bytes - 1 == FRAME_PREAMBLE_SIZE + 2 + 0x28,
                   "a message one and its length");
    for (unsigned i = 0; i < count; i++)
        world_say(world, world_knock(world, 0, address), mn_span(bytes, sizeof bytes - 1));
}

START_TEST(handshakes_are_limited_per_network)
{
    world_start(world, 0, 1, MEMBER);
    begin_handshakes("203.0.113.9:1000", 50);
    begin_handshakes("[2001:db8:0:1::7]:1000", 50);
    ck_assert_uint_eq(counts_of(0).handshakes_failed, 40); /* two bursts of 20 */
    ck_assert_uint_eq(counts_of(0).refused_rate, 60);
    world_run(world, MN_SEC);
    begin_handshakes("203.0.113.9:1000", 50);
    ck_assert_uint_eq(counts_of(0).handshakes_failed, 50); /* ten a second */
}
END_TEST

START_TEST(knocking_is_limited_per_network)
{
    world_start(world, 0, 1, MEMBER);
    for (int i = 0; i < 120; i++) {
        world_say(world, world_knock(world, 0, "203.0.113.9:1000"), mn_span("x", 1));
        world_say(world, world_knock(world, 0, "[2001:db8:0:1::7]:1000"), mn_span("x", 1));
    }
    ck_assert_uint_eq(counts_of(0).garbage_other, 200); /* two bursts of 100 */
    world_run(world, MN_SEC);
    for (int i = 0; i < 120; i++)
        world_say(world, world_knock(world, 0, "203.0.113.9:1000"), mn_span("x", 1));
    ck_assert_uint_eq(counts_of(0).garbage_other, 300); /* a hundred a second */
    begin_handshakes("203.0.113.10:1000", 20);
    ck_assert_uint_eq(counts_of(0).handshakes_failed, 20); /* garbage takes nothing from them */
}
END_TEST

START_TEST(faulty_member_is_throttled_then_sent_away)
{
    struct peers_input fault = {.type = PEERS_IN_FAULT, .points = PEERS_FAULT_SIGNATURE};

    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_dial(world, 1, 0, true);
    world_run(world, MN_SEC);
    fault.node_id = *id_of(1);
    world_input(world, 0, &fault);
    world_send(world, 1, 0, 1, 10, 0);
    world_run(world, 10 * MN_MS);
    ck_assert(world_last(world, 0, PEERS_OUT_PAUSE)->flag);
    world_run(world, 200 * MN_MS);
    ck_assert(!world_last(world, 0, PEERS_OUT_PAUSE)->flag);
    ck_assert(world_is_linked(world, 0, 1));
    world_input(world, 0, &fault);
    world_input(world, 0, &fault);
    ck_assert_int_eq(world_last(world, 0, PEERS_OUT_DOWN)->status, MN_DENIED);
    world_run(world, 50 * MN_SEC);
    ck_assert(!world_is_linked(world, 0, 1));
    ck_assert_uint_eq(counts_of(0).banned, 1);
    world_run(world, 45 * MN_SEC);
    ck_assert(world_is_linked(world, 0, 1));
}
END_TEST

START_TEST(guest_that_waits_is_kept_and_takes_no_place)
{
    struct peers_input wait = {.type = PEERS_IN_WAIT};

    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, JOIN);
    world_dial(world, 1, 0, false);
    world_run(world, MN_SEC);
    ck_assert_uint_eq(counts_of(0).guests, 1);
    wait.link = world_last(world, 0, PEERS_OUT_UP)->link;
    for (unsigned i = 0; i < 60; i++) { /* an hour: its pings are no reason to cut it */
        world_input(world, 0, &wait);
        ck_assert_uint_eq(counts_of(0).waiting, 1);
        ck_assert_uint_eq(counts_of(0).guests, 0);
        world_run(world, MN_MINUTE);
    }
    world_run(world, 2 * MN_MINUTE); /* nobody says any more that it waits */
    ck_assert_uint_eq(counts_of(0).waiting, 0);
}
END_TEST

/* A member that floods admission: what is over the rate is dropped, scored, and in the end it is
 * sent away; at the rate nothing is. */
START_TEST(member_over_its_rate_is_scored)
{
    struct peers_input control = {.type = PEERS_IN_CONTROL, .bytes = mn_span("x", 1)};
    uint32_t got;

    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_dial(world, 1, 0, true);
    world_run(world, MN_SEC);
    control.link = peers_find(world->nodes[1].peers, id_of(0))->link;
    for (unsigned i = 0; i < 20 * PEERS_CONTROLS_RATE; i++) {
        world_input(world, 1, &control);
        if (i % 10 == 9) world_run(world, 10 * MN_SEC / PEERS_CONTROLS_RATE);
    }
    world_run(world, 100 * MN_MS);
    ck_assert_uint_eq(counts_of(0).over_rate, 0);
    ck_assert_uint_eq(peers_find(world->nodes[0].peers, id_of(1))->score, 0);
    for (unsigned i = 0; i < PEERS_CONTROLS_BURST + 200; i++) {
        world_input(world, 1, &control);
        if (i % 100 == 99) world_run(world, MN_MS);
    }
    world_run(world, 20 * MN_SEC);
    got = (uint32_t)counts_of(0).over_rate;
    ck_assert_uint_ge(got, 30);
    ck_assert(!world_is_linked(world, 0, 1));
    ck_assert_uint_gt(peers_banned_for(world->nodes[0].peers, world->now, id_of(1)), 0);
}
END_TEST

START_TEST(score_decays)
{
    struct peers_input fault = {.type = PEERS_IN_FAULT, .points = PEERS_FAULT_SIGNATURE};

    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_dial(world, 1, 0, true);
    world_run(world, MN_SEC);
    fault.node_id = *id_of(1);
    for (int i = 0; i < 10; i++) {
        world_input(world, 0, &fault);
        world_run(world, 61 * MN_SEC);
    }
    ck_assert(world_is_linked(world, 0, 1));
    ck_assert_uint_le(peers_find(world->nodes[0].peers, id_of(1))->score, 100);
}
END_TEST

/* ---- the same seed, the same outputs ---- */

static uint64_t run_digest(void)
{
    uint64_t digest = 0;

    world_start(world, 0, 1, MEMBER);
    world_start(world, 1, 2, MEMBER);
    world_start(world, 2, 3, JOIN);
    world_dial(world, 0, 1, true);
    world_dial(world, 1, 0, true);
    world_dial_address(world, 2, world->nodes[0].address, true);
    world_run(world, 5 * MN_SEC);
    world_kill(world, 1);
    world_run(world, 40 * MN_SEC);
    for (int i = 0; i < 3; i++)
        for (uint32_t j = 0; j < world->nodes[i].log_count; j++)
            digest = digest * 31 + world->nodes[i].log[j].at * 7 + world->nodes[i].log[j].type;
    return digest;
}

START_TEST(replay_gives_the_same_outputs)
{
    uint64_t first = run_digest();

    teardown();
    setup();
    ck_assert_uint_eq(run_digest(), first);
}
END_TEST

static TCase *members_case(void)
{
    TCase *tcase = tcase_create("members");

    tcase_add_test(tcase, members_link_and_know_each_other);
    tcase_add_test(tcase, envelopes_cross_in_order);
    tcase_add_test(tcase, envelope_without_a_link_comes_back);
    tcase_add_test(tcase, killed_peer_is_reported_with_what_was_never_sent);
    tcase_add_test(tcase, kept_target_is_dialed_until_it_is_back);
    tcase_add_test(tcase, wish_not_kept_is_one_round);
    tcase_add_test(tcase, frozen_peer_goes_down_by_time);
    tcase_add_test(tcase, goodbye_is_no_evidence_of_death);
    tcase_add_test(tcase, own_address_is_noticed_and_not_dialed_again);
    tcase_add_loop_test(tcase, member_without_a_good_grant_is_refused, 0, 4);
    tcase_add_test(tcase, member_of_another_mesh_is_refused);
    tcase_add_test(tcase, two_strangers_do_not_link);
    tcase_add_test(tcase, expired_grant_cuts_its_link);
    tcase_add_test(tcase, renewed_grant_keeps_its_link);
    tcase_add_test(tcase, replay_gives_the_same_outputs);
    return tcase;
}

static TCase *links_case(void)
{
    TCase *tcase = tcase_create("links");

    tcase_add_loop_test(tcase, simultaneous_dials_leave_one_link_and_lose_nothing, 0, 20);
    tcase_add_loop_test(tcase, clone_of_a_live_member_is_refused, 0, 2);
    tcase_add_test(tcase, restarted_node_replaces_its_dead_link_after_the_challenge);
    tcase_add_loop_test(tcase, link_lost_at_one_end_is_a_gap_at_both, 0, 40);
    tcase_add_test(tcase, two_addresses_of_one_node_make_one_link);
    tcase_add_test(tcase, old_link_gets_a_successor_without_loss);
    tcase_add_test(tcase, slow_reader_slows_only_itself);
    return tcase;
}

static TCase *strangers_case(void)
{
    TCase *tcase = tcase_create("strangers");

    tcase_add_test(tcase, guest_talks_admission_and_becomes_a_member_on_the_same_link);
    tcase_add_loop_test(tcase, new_member_that_is_dialed_ends_up_with_one_link, 0, 20);
    tcase_add_test(tcase, guest_has_thirty_seconds);
    tcase_add_test(tcase, guests_are_bounded);
    tcase_add_test(tcase, guest_that_pours_is_cut);
    tcase_add_test(tcase, thirty_refused_joins_close_the_door_for_a_minute);
    tcase_add_test(tcase, garbage_costs_a_counter);
    tcase_add_test(tcase, half_open_connections_leave_room_for_members);
    tcase_add_loop_test(tcase, idlers_give_way_to_newcomers, 0, 2);
    tcase_add_test(tcase, knocking_is_limited_per_network);
    tcase_add_test(tcase, handshakes_are_limited_per_network);
    tcase_add_test(tcase, faulty_member_is_throttled_then_sent_away);
    tcase_add_test(tcase, member_over_its_rate_is_scored);
    tcase_add_test(tcase, guest_that_waits_is_kept_and_takes_no_place);
    tcase_add_test(tcase, score_decays);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("peers");
    TCase *cases[] = {members_case(), links_case(), strangers_case()};

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], setup, teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    return run_suite(suite);
}
