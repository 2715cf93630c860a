/* Whole cores that let nodes in and put them out: tokens, grants, issuers, revocation. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/token.h"
#include "proto/base/text.h"
#include "tests/core/mesh_world.h"
#include "tests/suite.h"

/* ---- tokens ---- */

/* A new token, and where [id] is given all digits of its id. */
static char *make_token(uint32_t issuer, uint32_t uses, char text[80], char id[33])
{
    const struct core_reply *reply = world_command(
        issuer, (struct core_command){.type = CORE_TOKEN_CREATE, .uses = uses, .ttl_ms = 3600000});

    ck_assert_int_eq(reply->status, MN_OK);
    snprintf(text, 80, "%.*s", (int)reply->text.size, (const char *)reply->text.data);
    if (id != NULL) mn_hex_encode(mn_span(reply->items[0].id.bytes, sizeof(mn_id)), id);
    return text;
}

static mn_status revoke_token(uint32_t node, const char *id)
{
    return world_command(node, (struct core_command){.type = CORE_TOKEN_WITHDRAW,
                                                     .nodes = true,
                                                     .id = mn_span_str(id)})
        ->status;
}

static void join_with(uint32_t node, const char *token)
{
    world_start(node, &(struct world_config){.token = token, .seed_node = 0});
    world_run(5 * MN_SEC);
}

START_TEST(a_token_admits_as_often_as_it_says)
{
    const struct core_reply *reply;
    char token[80];

    world_found(0);
    reply = world_command(
        0, (struct core_command){.type = CORE_TOKEN_CREATE, .uses = 1, .ttl_ms = 3600000});
    ck_assert_int_eq(reply->status, MN_OK);
    ck_assert_uint_eq(reply->count, 1);
    snprintf(token, sizeof token, "%.*s", (int)reply->text.size, (const char *)reply->text.data);
    join_with(1, token);
    ck_assert_int_eq(core_self(world_core(1)).state, CORE_MEMBER);
    join_with(2, token);
    ck_assert_int_eq(world_fatal(2), 77);
    ck_assert_ptr_nonnull(strstr(world_fatal_text(2), "token_used"));
    reply = world_command(0, (struct core_command){.type = CORE_TOKEN_LIST});
    ck_assert_uint_eq(reply->count, 2); /* and the one of the founding */
}
END_TEST

START_TEST(a_withdrawn_token_admits_nobody)
{
    const struct core_reply *reply;
    char token[80], id[TOKEN_ID_TEXT_SIZE];

    world_found(0);
    reply = world_command(0, (struct core_command){.type = CORE_TOKEN_CREATE, .ttl_ms = 3600000});
    snprintf(token, sizeof token, "%.*s", (int)reply->text.size, (const char *)reply->text.data);
    (void)token_id_format(&reply->items[0].id, id);
    reply =
        world_command(0, (struct core_command){.type = CORE_TOKEN_WITHDRAW, .id = mn_span_str(id)});
    ck_assert_int_eq(reply->status, MN_OK);
    join_with(1, token);
    ck_assert_int_eq(world_fatal(1), 77);
    ck_assert_ptr_nonnull(strstr(world_fatal_text(1), "token_withdrawn"));
}
END_TEST

START_TEST(only_an_issuer_makes_tokens)
{
    const struct core_reply *reply;

    world_mesh(2);
    reply = world_command(1, (struct core_command){.type = CORE_TOKEN_CREATE, .ttl_ms = 3600000});
    ck_assert_int_eq(reply->status, MN_DENIED);
    ck_assert_uint_gt(reply->text.size, 0);
    world_start(2, &(struct world_config){.seed_node = 5}); /* not even a member */
    reply = world_command(2, (struct core_command){.type = CORE_TOKEN_LIST});
    ck_assert_int_eq(reply->status, MN_STATE);
}
END_TEST

/* ---- grants ---- */

static void mesh_of_an_hour(uint32_t count)
{
    world_start(0, &(struct world_config){.seed_node = -1, .grant_ttl_ms = 3600000});
    world_run(100 * MN_MS);
    for (uint32_t i = 1; i < count; i++)
        world_join(i);
    world_until(world_is_whole, 5 * MN_SEC);
}

START_TEST(grants_are_renewed_without_a_link_lost)
{
    struct world_call *call;

    mesh_of_an_hour(3);
    world_offer(2, "files", "x", 0);
    world_serving(2, WORLD_HANGS);
    world_run(MN_SEC);
    call = world_call_for(1, "files", MN_DAY);
    world_run(3 * MN_HOUR);
    ck_assert(world_is_whole());
    ck_assert(!call->is_done); /* its link lives since hours */
    ck_assert_uint_gt(admission_counts(core_admission(world_core(1))).renewals, 1);
}
END_TEST

START_TEST(members_whose_grants_ended_come_back_with_the_issuer)
{
    mesh_of_an_hour(3);
    world_crash(0);
    world_run(3 * MN_HOUR);
    ck_assert_ptr_null(peers_find(core_peers(world_core(1)), world_id(2)));
    world_restart(0);
    world_until(world_is_whole, 10 * MN_MINUTE);
}
END_TEST

/* ---- trust: growth, revocation ---- */

static uint64_t head_version(uint32_t node)
{
    return admission_authority(core_admission(world_core(node)))->version;
}

static bool has_grown(void)
{
    for (uint32_t i = 0; i < WORLD_NODES; i++)
        if (world_core(i) != NULL && (!world_is_whole() || head_version(i) != 2)) return false;
    return true;
}

static uint32_t first_issuer_but(uint32_t but)
{
    for (uint32_t i = 0; i < WORLD_NODES; i++)
        if (i != but && world_core(i) != NULL && admission_is_issuer(core_admission(world_core(i))))
            return i;
    ck_abort_msg("there is another issuer");
    return 0;
}

START_TEST(the_authority_grows_to_three_and_the_founder_may_go)
{
    const struct core_reply *reply;
    char text[128];
    uint32_t issuer, issuers = 0, before = 0;

    world_start(0, &(struct world_config){.seed_node = -1, .grant_ttl_ms = 2 * 3600000});
    world_run(MN_SEC);
    for (uint32_t i = 1; i < 4; i++)
        world_start(i, &(struct world_config){.seed_node = 0, .token = world_token()});
    world_until(has_grown, 2 * MN_MINUTE);
    for (uint32_t i = 0; i < 4; i++)
        issuers += admission_is_issuer(core_admission(world_core(i)));
    ck_assert_uint_eq(issuers, 3);
    ck_assert(admission_is_issuer(core_admission(world_core(0))));
    issuer = first_issuer_but(0);
    world_crash(0);
    world_wipe(0); /* for good */
    world_run(30 * MN_SEC);

    /* Joining, by a token of another issuer, through whichever seed. */
    reply = world_command(issuer, (struct core_command){.type = CORE_TOKEN_CREATE,
                                                        .uses = 1,
                                                        .ttl_ms = 3600000,
                                                        .role = MESHNODE__TRUST__ROLE__ROLE_AUTO});
    ck_assert_int_eq(reply->status, MN_OK);
    ck_assert_uint_lt(reply->text.size, sizeof text);
    memcpy(text, reply->text.data, reply->text.size);
    text[reply->text.size] = '\0';
    for (uint32_t seed = 1; seed < 4; seed++)
        if (!admission_is_issuer(core_admission(world_core(seed))))
            world_start(4, &(struct world_config){.seed_node = (int32_t)seed, .token = text});
    world_until(world_is_whole, MN_MINUTE);

    /* Renewing: half of the two hours and a tenth later all have new grants. */
    world_run(90 * MN_MINUTE);
    ck_assert(world_is_whole());
    for (uint32_t i = 1; i < 5; i++) {
        const struct grant *grant = admission_grant(core_admission(world_core(i)));
        ck_assert_uint_gt(grant->not_after_ms, mn_wall_ms(world_now()) + MN_HOUR / MN_MS);
        before =
            keyring_sealing(trustset_keyring(core_trustset(world_core(i))), mn_wall_ms(world_now()))
                ->announced.key_id;
    }

    /* Revoking, and minting with it. */
    reply = world_command(issuer,
                          (struct core_command){.type = CORE_NODE_REVOKE, .node = *world_id(4)});
    ck_assert_int_eq(reply->status, MN_OK);
    world_run(MN_MINUTE);
    ck_assert_int_eq(world_fatal(4), 77);
    ck_assert_ptr_nonnull(strstr(world_fatal_text(4), "identity_revoked"));
    for (uint32_t i = 1; i < 4; i++) {
        const struct keyring *ring = trustset_keyring(core_trustset(world_core(i)));
        ck_assert_ptr_null(membership_find(core_membership(world_core(i)), world_id(4)));
        ck_assert_uint_ne(keyring_sealing(ring, mn_wall_ms(world_now()))->announced.key_id, before);
    }
}
END_TEST

/* A founder that comes back with the disk of the day before learns of the growth from the others.
 */
START_TEST(who_missed_the_growth_catches_up)
{
    world_mesh(5);
    world_crash(4);
    world_until(has_grown, 2 * MN_MINUTE);
    world_restart(4);
    world_until(has_grown, 2 * MN_MINUTE);
    ck_assert_uint_eq(head_version(4), 2);
}
END_TEST

static bool has_recovered(void)
{
    for (uint32_t i = 1; i < 4; i++)
        if (!world_is_whole() || head_version(i) != 2) return false;
    return true;
}

/* Founder gone before the growth: one member becomes the issuer by the root key, all take it, and
 * nobody loses the grant it has. With another key nothing changes. */
START_TEST(the_root_key_repairs_a_mesh_without_issuers)
{
    static const uint8_t other[SIGN_SEED_SIZE] = {9};

    world_mesh(4);
    world_crash(0);
    world_wipe(0);
    world_crash(1);
    world_start(1, &(struct world_config){.seed_node = 2, .root = other});
    world_until(world_is_whole, MN_MINUTE);
    ck_assert_uint_eq(head_version(1), 1);
    world_crash(1);
    world_start(1, &(struct world_config){.seed_node = 2, .root = world_root()});
    world_until(has_recovered, MN_MINUTE);
    ck_assert(admission_is_issuer(core_admission(world_core(1))));
    ck_assert_int_eq(
        world_command(1, (struct core_command){.type = CORE_TOKEN_CREATE,
                                               .uses = 1,
                                               .ttl_ms = 3600000,
                                               .role = MESHNODE__TRUST__ROLE__ROLE_AUTO})
            ->status,
        MN_OK);
    world_until(world_is_whole, MN_MINUTE);
}
END_TEST

static bool is_cut_off(void)
{
    for (uint32_t i = 0; i < 4; i++) {
        const struct member *member = membership_find(core_membership(world_core(i)), world_id(5));
        if (member != NULL || peers_find(core_peers(world_core(i)), world_id(5)) != NULL)
            return false;
    }
    return true;
}

/* The key that a node seals with; 0: none yet. */
static uint32_t sealing(uint32_t node)
{
    const struct keyring_key *key =
        keyring_sealing(trustset_keyring(core_trustset(world_core(node))), mn_wall_ms(world_now()));

    return key == NULL ? 0 : key->announced.key_id;
}

/* The first key is made some seconds after the mesh, and travels. */
static bool all_seal(void)
{
    for (uint32_t i = 0; i < WORLD_NODES; i++)
        if (world_core(i) != NULL && sealing(i) == 0) return false;
    return true;
}

/* With links to all, a call in flight there, and part of the mesh cut off: two gossip periods where
 * the news comes, the rest when the cut heals; and the new key never gets there. */
START_TEST(a_revoked_node_is_out_at_once)
{
    struct world_call *call;
    const struct keyring *own;
    uint32_t closed;

    world_mesh(6);
    world_offer(5, "files", "x", 'k');
    world_serving(5, WORLD_HANGS);
    world_until(all_seal, MN_MINUTE);
    world_run(MN_SEC);
    closed = sealing(5);
    call = world_call(1, "files", true);
    world_run(MN_SEC);
    ck_assert(!call->is_done);
    for (uint32_t i = 0; i < 4; i++)
        world_cut(i, 4, true);
    ck_assert_int_eq(
        world_command(0, (struct core_command){.type = CORE_NODE_REVOKE, .node = *world_id(5)})
            ->status,
        MN_OK);
    world_until(is_cut_off, 400 * MN_MS);
    world_run(100 * MN_MS);
    ck_assert(call->is_done && call->kind != CALL_EVENT_RESULT);
    ck_assert_str_eq(world_listed(1), "");
    /* Node 4 has not heard; it is the revoked one's last friend. */
    world_run(40 * MN_SEC);
    for (uint32_t i = 0; i < 4; i++)
        world_cut(i, 4, false);
    world_run(2 * MN_MINUTE);
    ck_assert_ptr_null(membership_find(core_membership(world_core(4)), world_id(5)));
    for (uint32_t i = 0; i < 5; i++) {
        own = trustset_keyring(core_trustset(world_core(i)));
        ck_assert_ptr_null(keyring_opening(own, closed, mn_wall_ms(world_now())));
        ck_assert_ptr_nonnull(keyring_sealing(own, mn_wall_ms(world_now())));
    }
    if (world_core(5) != NULL) { /* it may not have been told */
        const struct keyring *theirs = trustset_keyring(core_trustset(world_core(5)));
        ck_assert_ptr_null(
            keyring_find(theirs, keyring_sealing(own, mn_wall_ms(world_now()))->announced.key_id));
    }
    /* Nor does it get in again, with its disk or without. */
    world_crash(5);
    world_wipe(5);
    world_start(5, &(struct world_config){.seed_node = 0, .is_identity_old = true});
    world_run(MN_MINUTE);
    ck_assert_int_eq(world_fatal(5), 77);
}
END_TEST

/* ---- tokens that are revoked ---- */

static bool is_rid_of_both(void)
{
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t j = 3; j < 5; j++)
            if (membership_find(core_membership(world_core(i)), world_id(j)) != NULL ||
                peers_find(core_peers(world_core(i)), world_id(j)) != NULL)
                return false;
    return true;
}

/* Two came by a token: their links, offers, services and calls go in the step in which it is
 * revoked, and with the news elsewhere. */
START_TEST(a_token_is_revoked_with_all_that_came_by_it)
{
    struct world_call *calls[3];
    char token[80], id[33];
    uint32_t closed;

    world_mesh(3);
    make_token(0, 2, token, id);
    for (uint32_t i = 3; i < 5; i++) {
        world_offer(i, i == 3 ? "files" : "more", "x", 'k');
        world_serving(i, WORLD_HANGS);
        world_start(i, &(struct world_config){.token = token, .seed_node = 1});
    }
    world_until(world_is_whole, 10 * MN_SEC);
    world_until(all_seal, MN_MINUTE);
    world_run(MN_SEC);
    closed = sealing(3);
    calls[0] = world_call(0, "files", true);
    calls[1] = world_call(1, "more", true);
    calls[2] = world_call(2, "files", false);
    world_run(MN_SEC);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert(!calls[i]->is_done);
    ck_assert_int_eq(revoke_token(1, id), MN_DENIED); /* not an issuer, and nothing happens */
    ck_assert(!is_rid_of_both());
    ck_assert_int_eq(revoke_token(0, id), MN_OK);
    world_until(is_rid_of_both, 400 * MN_MS);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert(calls[i]->is_done && calls[i]->kind != CALL_EVENT_RESULT);
        ck_assert_str_eq(world_listed(i), "");
        ck_assert_uint_ne(sealing(i), closed);
    }
    ck_assert_int_eq(revoke_token(0, id), MN_OK); /* again: as it is */
    world_run(MN_SEC);
    for (uint32_t i = 3; i < 5; i++) {
        ck_assert_int_eq(world_fatal(i), 77);
        world_crash(i);
        if (i == 4) world_wipe(i);
        world_start(
            i, &(struct world_config){.token = token, .seed_node = 1, .is_identity_old = i == 4});
    }
    world_run(MN_MINUTE);
    for (uint32_t i = 3; i < 5; i++)
        ck_assert_int_eq(world_fatal(i), 77);
    ck_assert(is_rid_of_both());
}
END_TEST

/* A thief is often noticed when the token has ended and no list has it any more. */
START_TEST(a_token_that_ended_long_ago_is_revoked_all_the_same)
{
    const struct core_reply *reply;
    char token[80], id[33];

    world_mesh(2);
    make_token(0, 1, token, id);
    world_start(2, &(struct world_config){.token = token, .seed_node = 0});
    world_until(world_is_whole, 10 * MN_SEC);
    for (uint32_t i = 0; i < 3; i++) /* two peers do not make an alarm */
        world_set_clock(i, 26 * (int64_t)MN_HOUR);
    world_run(61 * MN_MINUTE);
    reply = world_command(0, (struct core_command){.type = CORE_TOKEN_LIST});
    ck_assert_uint_eq(reply->count, 1); /* the one of the founding */
    ck_assert_int_eq(
        world_command(0, (struct core_command){.type = CORE_TOKEN_WITHDRAW, .id = mn_span_str(id)})
            ->status,
        MN_NOT_FOUND);
    ck_assert_int_eq(revoke_token(0, id), MN_OK);
    world_run(MN_SEC);
    ck_assert_int_eq(world_fatal(2), 77);
    ck_assert_ptr_null(membership_find(core_membership(world_core(0)), world_id(2)));
}
END_TEST

/* Until nothing more fits: then each is told so, and has not happened. What is kept for revoking
 * does not go to tokens. */
START_TEST(what_an_issuer_can_not_sign_any_more_it_says)
{
    char token[80], first[33];
    mn_id node = {{1, 2, 3}};
    mn_status status = MN_OK;
    uint32_t made = 1, revoked = 0;

    world_mesh(2);
    make_token(0, 1, token, first);
    while (status == MN_OK) {
        status =
            world_command(
                0, (struct core_command){.type = CORE_TOKEN_CREATE, .uses = 1, .ttl_ms = 3600000})
                ->status;
        made += status == MN_OK;
    }
    ck_assert_int_eq(status, MN_FULL);
    ck_assert_uint_eq(made + 1, 1024); /* with the one of the founding */
    for (status = MN_OK; status == MN_OK; revoked += status == MN_OK) {
        node.bytes[8]++;
        status =
            world_command(0, (struct core_command){.type = CORE_NODE_REVOKE, .node = node})->status;
    }
    ck_assert_int_eq(status, MN_BUSY);
    ck_assert_uint_ge(revoked, 45); /* each with a key: two documents */
    ck_assert_int_eq(revoke_token(0, first), MN_BUSY);
    world_run(MN_HOUR);
    ck_assert_int_eq(revoke_token(0, first), MN_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_trust");
    TCase *tcase = tcase_create("core");

    tcase_set_timeout(tcase, 240);
    tcase_add_checked_fixture(tcase, world_begin, world_end);
    tcase_add_test(tcase, a_token_admits_as_often_as_it_says);
    tcase_add_test(tcase, a_withdrawn_token_admits_nobody);
    tcase_add_test(tcase, only_an_issuer_makes_tokens);
    tcase_add_test(tcase, grants_are_renewed_without_a_link_lost);
    tcase_add_test(tcase, members_whose_grants_ended_come_back_with_the_issuer);
    tcase_add_test(tcase, the_authority_grows_to_three_and_the_founder_may_go);
    tcase_add_test(tcase, who_missed_the_growth_catches_up);
    tcase_add_test(tcase, the_root_key_repairs_a_mesh_without_issuers);
    tcase_add_test(tcase, a_revoked_node_is_out_at_once);
    tcase_add_test(tcase, a_token_is_revoked_with_all_that_came_by_it);
    tcase_add_test(tcase, a_token_that_ended_long_ago_is_revoked_all_the_same);
    tcase_add_test(tcase, what_an_issuer_can_not_sign_any_more_it_says);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
