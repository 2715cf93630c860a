/* Whole cores that found, join, offer, call, die and come back. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/token.h"
#include "proto/base/text.h"
#include "tests/core/mesh_world.h"
#include "tests/suite.h"

static void found(uint32_t node)
{
    world_start(node, &(struct world_config){.seed_node = -1});
    world_run(100 * MN_MS);
    ck_assert_int_eq(core_self(world_core(node)).state, CORE_MEMBER);
}

static void join(uint32_t node)
{
    world_start(node, &(struct world_config){.token = world_token(), .seed_node = 0});
}

static void restart(uint32_t node)
{
    world_start(node, &(struct world_config){.seed_node = node == 0 ? -1 : 0});
}

/* Node 0 founds, the others join. */
static void mesh(uint32_t count)
{
    found(0);
    for (uint32_t i = 1; i < count; i++)
        join(i);
    world_until(world_is_whole, 5 * MN_SEC);
    world_run(500 * MN_MS);
}

static void assert_result(const struct world_call *call, const char *payload)
{
    ck_assert(call->is_done);
    ck_assert_msg(call->kind == CALL_EVENT_RESULT, "failed: %s", call->text);
    ck_assert_str_eq(call->payload, payload);
}

static void assert_failed(const struct world_call *call, enum call_failure failure)
{
    ck_assert(call->is_done);
    ck_assert_int_eq(call->kind, CALL_EVENT_FAILED);
    ck_assert_str_eq(call_failure_name(call->failure), call_failure_name(failure));
}

/* ---- coming together ---- */

START_TEST(a_founder_has_a_mesh_of_one)
{
    struct core_self self;

    found(0);
    self = core_self(world_core(0));
    ck_assert(self.is_issuer && self.is_ready);
    ck_assert_uint_eq(self.incarnation, 1);
    ck_assert(!mn_id_is_zero(&self.mesh_id));
    ck_assert_uint_eq(world_secrets(0), 2); /* root key and join token */
    ck_assert_uint_eq(strlen(world_token()), 65);
}
END_TEST

START_TEST(a_node_with_a_token_is_in_within_two_seconds)
{
    found(0);
    join(1);
    world_until(world_is_whole, 2 * MN_SEC);
    world_run(200 * MN_MS);
    ck_assert(core_self(world_core(1)).is_ready);
    ck_assert(!core_self(world_core(1)).is_issuer);
    ck_assert(memcmp(core_self(world_core(1)).mesh_id.bytes, core_self(world_core(0)).mesh_id.bytes,
                     16) == 0);
}
END_TEST

START_TEST(six_nodes_become_one_mesh)
{
    mesh(WORLD_NODES);
}
END_TEST

START_TEST(a_wrong_token_is_refused_for_good)
{
    char token[80];

    found(0);
    /* well-formed, of this mesh, and unknown to it: another secret */
    world_start(1,
                &(struct world_config){
                    .seed_node = 0,
                    .token = "mnt1-agvkvkvkvkvkvkvkvkvkvkvkvkvlxo53xo53xo53xo53xo53xo53wgf7t52a"});
    world_run(MN_MINUTE);
    ck_assert_int_eq(world_fatal(1), 77);
    ck_assert_ptr_nonnull(strstr(world_fatal_text(1), "mesh_mismatch"));
    world_crash(1);
    memcpy(token, world_token(), 66);
    token[20] = token[20] == 'a' ? 'b' : 'a';
    world_start(1, &(struct world_config){.seed_node = 0, .token = token});
    ck_assert_int_eq(world_fatal(1), 77);
}
END_TEST

START_TEST(without_a_token_nobody_gets_in)
{
    found(0);
    world_start(1, &(struct world_config){.seed_node = 0});
    world_run(MN_HOUR); /* its link is kept all the time, as long as nobody decides */
    ck_assert_int_eq(core_self(world_core(1)).state, CORE_JOINING);
    ck_assert_int_eq(core_self(world_core(1)).last_refusal, MESHNODE__TRUST__CODE__CODE_PENDING);
    ck_assert_uint_eq(membership_count(core_membership(world_core(0)), MEMBER_ALIVE), 1);
    ck_assert_uint_eq(peers_counts(core_peers(world_core(0))).waiting, 1);
    ck_assert_uint_eq(peers_counts(core_peers(world_core(0))).guests, 0);
    ck_assert_uint_eq(peers_counts(core_peers(world_core(0))).handshakes_done, 1);
}
END_TEST

START_TEST(joining_waits_for_the_seed_for_ever)
{
    found(0);
    world_crash(0);
    join(1);
    world_run(5 * MN_MINUTE);
    ck_assert_int_eq(core_self(world_core(1)).state, CORE_JOINING);
    restart(0);
    world_until(world_is_whole, 40 * MN_SEC);
}
END_TEST

START_TEST(required_joining_gives_up)
{
    world_start(1, &(struct world_config){.seed_node = 0, .is_join_required = true});
    world_run(31 * MN_SEC);
    ck_assert_int_eq(world_fatal(1), 75);
}
END_TEST

START_TEST(a_list_of_only_itself_is_a_mistake)
{
    world_start(1, &(struct world_config){.seed_node = 1});
    world_run(MN_SEC);
    ck_assert_int_eq(world_fatal(1), 78);
    ck_assert_ptr_nonnull(strstr(world_fatal_text(1), "--bootstrap"));
}
END_TEST

START_TEST(a_second_process_with_a_live_identity_is_refused)
{
    mesh(2);
    world_start(2, &(struct world_config){
                       .seed_node = 0, .token = world_token(), .identity = 2, .name = "clone"});
    world_run(10 * MN_SEC);
    ck_assert_int_eq(world_fatal(2), 77);
    ck_assert_ptr_nonnull(strstr(world_fatal_text(2), "identity_in_use"));
    world_crash(2);
    ck_assert(world_is_whole());
}
END_TEST

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

    found(0);
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

    found(0);
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

    mesh(2);
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
        join(i);
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
    restart(0);
    world_until(world_is_whole, 10 * MN_MINUTE);
}
END_TEST

/* ---- nothing before it is durable ---- */

START_TEST(a_mesh_is_founded_once_it_is_durable)
{
    world_stall(0, true);
    world_start(0, &(struct world_config){.seed_node = -1});
    world_run(MN_SEC);
    ck_assert_int_eq(core_self(world_core(0)).state, CORE_JOINING);
    ck_assert(!core_self(world_core(0)).is_ready);
    world_stall(0, false);
    world_run(100 * MN_MS);
    ck_assert(core_self(world_core(0)).is_ready);
}
END_TEST

START_TEST(a_grant_leaves_once_its_use_is_durable)
{
    found(0);
    world_stall(0, true);
    join(1);
    world_run(MN_SEC);
    ck_assert_int_eq(core_self(world_core(1)).state, CORE_JOINING);
    world_stall(0, false);
    world_until(world_is_whole, 5 * MN_SEC);
}
END_TEST

START_TEST(an_issuer_killed_before_its_write_admitted_nobody)
{
    const struct core_reply *reply;
    char token[80];

    found(0);
    reply = world_command(
        0, (struct core_command){.type = CORE_TOKEN_CREATE, .uses = 1, .ttl_ms = 3600000});
    snprintf(token, sizeof token, "%.*s", (int)reply->text.size, (const char *)reply->text.data);
    world_stall(0, true);
    world_start(1, &(struct world_config){.token = token, .seed_node = 0});
    world_run(MN_SEC);
    world_crash(0);
    world_crash(1);
    world_stall(0, false);
    restart(0);
    world_start(2, &(struct world_config){.token = token, .seed_node = 0}); /* its use is free */
    world_until(world_is_whole, 5 * MN_SEC);
}
END_TEST

START_TEST(a_member_announces_itself_once_it_is_durable)
{
    found(0);
    world_stall(1, true);
    join(1);
    world_run(2 * MN_SEC);
    ck_assert_uint_eq(membership_count(core_membership(world_core(0)), MEMBER_ALIVE), 1);
    world_stall(1, false);
    world_until(world_is_whole, 5 * MN_SEC);
}
END_TEST

/* ---- coming back ---- */

START_TEST(a_restarted_node_needs_no_token_and_counts_up)
{
    mesh(3);
    world_crash(1);
    world_run(2 * MN_SEC);
    restart(1);
    world_until(world_is_whole, 5 * MN_SEC);
    ck_assert_uint_gt(core_self(world_core(1)).incarnation, 1);
}
END_TEST

START_TEST(a_restarted_node_needs_no_seed_either)
{
    mesh(3);
    world_crash(0); /* the seed of all */
    world_crash(1);
    world_run(30 * MN_SEC);
    restart(1);
    world_until(world_is_whole, 10 * MN_SEC);
}
END_TEST

START_TEST(all_restart_at_once)
{
    mesh(4);
    for (uint32_t i = 0; i < 4; i++)
        world_crash(i);
    for (uint32_t i = 0; i < 4; i++)
        restart(i);
    world_until(world_is_whole, 40 * MN_SEC);
}
END_TEST

START_TEST(a_lost_disk_with_the_old_key_comes_back)
{
    mesh(2);
    world_crash(1);
    world_wipe(1);
    world_run(20 * MN_SEC);
    world_start(1, &(struct world_config){.seed_node = 0, .is_identity_old = true});
    world_until(world_is_whole, 20 * MN_SEC);
    ck_assert_uint_gt(core_self(world_core(1)).incarnation, 1);
}
END_TEST

START_TEST(who_leaves_is_gone_at_once)
{
    mesh(3);
    world_offer(2, "files", "x", 0);
    world_run(MN_SEC);
    ck_assert_str_eq(world_listed(0), "files=x*1");
    world_leave(2);
    world_run(500 * MN_MS);
    ck_assert_str_eq(world_listed(0), "");
    ck_assert_int_eq(membership_find(core_membership(world_core(0)), world_id(2))->status,
                     MEMBER_LEFT);
    restart(2);
    world_until(world_is_whole, 5 * MN_SEC);
    world_run(MN_SEC);
    ck_assert_str_eq(world_listed(0), "files=x*1");
}
END_TEST

START_TEST(leaving_while_joining_stops_too)
{
    world_start(1, &(struct world_config){.seed_node = 0});
    world_run(MN_SEC);
    world_leave(1);
}
END_TEST

/* ---- offers and services ---- */

START_TEST(an_offer_is_a_service_everywhere)
{
    mesh(4);
    world_offer(2, "files", "x", 0);
    world_run(MN_SEC);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_str_eq(world_services(i), "files=x*1 files.n2=x*1?");
}
END_TEST

START_TEST(an_offer_made_before_joining_comes_along)
{
    found(0);
    join(1);
    world_offer(1, "files", "x", 0);
    world_until(world_is_whole, 2 * MN_SEC);
    world_run(MN_SEC);
    ck_assert_str_eq(world_listed(0), "files=x*1");
}
END_TEST

START_TEST(a_late_joiner_learns_everything)
{
    mesh(3);
    for (uint32_t i = 0; i < 3; i++)
        world_offer(i, "files", "x", 'k');
    world_offer(1, "mail", "m", 0);
    world_run(MN_SEC);
    join(3);
    world_until(world_is_whole, 2 * MN_SEC);
    world_run(MN_SEC);
    ck_assert_str_eq(world_listed(3), "files=x*3 mail=m*1");
}
END_TEST

START_TEST(different_servers_of_one_name_are_kept_apart)
{
    mesh(3);
    world_offer(1, "files", "x", 'k');
    world_offer(2, "files", "y", 'l');
    world_run(MN_SEC);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_str_eq(world_services(i), "files! files.n1=x*1 files.n2=y*1");
    assert_failed(world_call(0, "files", false), CALL_CONFLICT);
    world_offer(2, "files", NULL, 0);
    world_run(MN_SEC);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_str_eq(world_services(i), "files=x*1 files.n1=x*1?");
}
END_TEST

START_TEST(a_changed_body_changes_everywhere)
{
    mesh(3);
    world_offer(1, "files", "x", 'k');
    world_run(MN_SEC);
    world_offer(1, "files", "y", 'k');
    world_run(MN_SEC);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_str_eq(world_listed(i), "files=y*1");
}
END_TEST

START_TEST(the_dead_vanish_from_lists_and_return)
{
    mesh(4);
    world_offer(3, "files", "x", 0);
    world_run(MN_SEC);
    world_crash(3);
    world_run(10 * MN_SEC);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_str_eq(world_listed(i), "");
    restart(3);
    world_run(3 * MN_SEC);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_str_eq(world_listed(i), "files=x*1");
}
END_TEST

/* ---- calls ---- */

START_TEST(a_tool_of_another_node_is_called)
{
    struct world_call *call;

    mesh(3);
    world_offer(2, "files", "x", 0);
    world_run(MN_SEC);
    call = world_call(1, "files", false);
    world_run(10 * MN_MS);
    assert_result(call, "files@n2");
    ck_assert(mn_id_equal(&call->by, world_id(2)));
}
END_TEST

START_TEST(a_call_in_flight_to_a_killed_node_is_unknown_at_once)
{
    struct world_call *call, *later;

    mesh(3);
    world_offer(2, "files", "x", 0);
    world_serving(2, WORLD_HANGS);
    world_run(MN_SEC);
    call = world_call(1, "files", false);
    world_run(10 * MN_MS);
    ck_assert_uint_eq(world_executing(2), 1);
    world_crash(2);
    world_run(10 * MN_MS);
    assert_failed(call, CALL_OUTCOME_UNKNOWN);
    later = world_call(1, "files", false); /* no new call goes there */
    assert_failed(later, CALL_UNAVAILABLE);
}
END_TEST

START_TEST(an_idempotent_call_goes_to_the_other_replica)
{
    struct world_call *call;
    uint32_t first;

    mesh(3);
    world_offer(1, "files", "x", 'k');
    world_offer(2, "files", "x", 'k');
    world_serving(1, WORLD_HANGS);
    world_serving(2, WORLD_HANGS);
    world_run(MN_SEC);
    ck_assert_str_eq(world_listed(0), "files=x*2");
    call = world_call(0, "files", true);
    world_run(10 * MN_MS);
    first = world_executing(1) == 1 ? 1 : 2;
    world_serving(3 - first, WORLD_ANSWERS);
    world_crash(first);
    world_run(10 * MN_MS);
    assert_result(call, first == 1 ? "files@n2" : "files@n1");
}
END_TEST

START_TEST(a_server_that_is_down_is_left_for_a_replica)
{
    mesh(3);
    world_offer(0, "files", "x", 'k');
    world_offer(1, "files", "x", 'k');
    world_serving(0, WORLD_REFUSES);
    world_run(MN_SEC);
    for (uint32_t i = 0; i < 5; i++) {
        struct world_call *call = world_call(0, "files", false);
        world_run(10 * MN_MS);
        assert_result(call, "files@n1");
    }
}
END_TEST

START_TEST(a_frozen_node_gets_no_new_calls_after_four_seconds)
{
    mesh(4);
    world_offer(2, "files", "x", 'k');
    world_offer(3, "files", "x", 'k');
    world_run(MN_SEC);
    world_freeze(3, true);
    world_run(4 * MN_SEC);
    for (uint32_t i = 0; i < 20; i++) {
        struct world_call *call = world_call(0, "files", false);
        world_run(10 * MN_MS);
        assert_result(call, "files@n2");
    }
    world_run(11 * MN_SEC);
    ck_assert_str_eq(world_listed(0), "files=x*1");
    world_freeze(3, false);
    world_run(40 * MN_SEC);
    ck_assert_str_eq(world_listed(0), "files=x*2");
}
END_TEST

START_TEST(a_call_to_a_frozen_node_ends_with_its_time)
{
    struct world_call *call;

    mesh(2);
    world_offer(1, "files", "x", 0);
    world_run(MN_SEC);
    world_freeze(1, true);
    call = world_call_for(0, "files", 500 * MN_MS);
    world_run(600 * MN_MS);
    assert_failed(call, CALL_TIMED_OUT);
    world_freeze(1, false);
    world_run(MN_SEC);
    ck_assert_uint_eq(world_executing(1), 0);
}
END_TEST

START_TEST(a_call_to_a_frozen_node_is_unknown_once_that_is_dead)
{
    struct world_call *call;

    mesh(3);
    world_offer(1, "files", "x", 0);
    world_run(MN_SEC);
    world_freeze(1, true);
    call = world_call(0, "files", false);
    world_run(16 * MN_SEC);
    assert_failed(call, CALL_OUTCOME_UNKNOWN);
}
END_TEST

START_TEST(a_cancel_reaches_the_other_node)
{
    struct world_call *call;

    mesh(2);
    world_offer(1, "files", "x", 0);
    world_serving(1, WORLD_HANGS);
    world_run(MN_SEC);
    call = world_call(0, "files", false);
    world_run(10 * MN_MS);
    world_cancel(call);
    world_run(10 * MN_MS);
    ck_assert(!call->is_done);
    ck_assert_uint_eq(world_cancelled(1), 1);
    ck_assert_uint_eq(world_executing(1), 0);
}
END_TEST

START_TEST(a_callee_cancels_what_a_dead_caller_asked)
{
    mesh(3);
    world_offer(1, "files", "x", 0);
    world_serving(1, WORLD_HANGS);
    world_run(MN_SEC);
    (void)world_call(2, "files", false);
    world_run(10 * MN_MS);
    ck_assert_uint_eq(world_executing(1), 1);
    world_crash(2);
    world_run(10 * MN_MS);
    ck_assert_uint_eq(world_executing(1), 0);
}
END_TEST

START_TEST(local_servers_work_without_a_mesh)
{
    struct world_call *call;

    world_start(1, &(struct world_config){.seed_node = 0});
    world_offer(1, "files", "x", 0);
    world_run(100 * MN_MS);
    ck_assert_str_eq(world_listed(1), "files=x*1");
    call = world_call(1, "files", false);
    assert_result(call, "files@n1");
}
END_TEST

START_TEST(many_calls_at_once_all_end)
{
    struct world_call *calls[400];

    mesh(4);
    for (uint32_t i = 1; i < 4; i++)
        world_offer(i, "files", "x", 'k');
    world_run(MN_SEC);
    for (uint32_t i = 0; i < 400; i++)
        calls[i] = world_call(0, "files", false);
    world_run(MN_SEC);
    for (uint32_t i = 0; i < 400; i++)
        ck_assert(calls[i]->is_done && calls[i]->kind == CALL_EVENT_RESULT);
    ck_assert_uint_eq(world_executed(1) + world_executed(2) + world_executed(3), 400);
    for (uint32_t i = 1; i < 4; i++)
        ck_assert_uint_gt(world_executed(i), 40);
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
    mesh(5);
    world_crash(4);
    world_until(has_grown, 2 * MN_MINUTE);
    restart(4);
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

    mesh(4);
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

/* With links to all, a call in flight there, and part of the mesh cut off: two gossip periods where
 * the news comes, the rest when the cut heals; and the new key never gets there. */
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

START_TEST(a_revoked_node_is_out_at_once)
{
    struct world_call *call;
    const struct keyring *own;
    uint32_t closed;

    mesh(6);
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

/* ---- faults ---- */

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

    mesh(3);
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

    mesh(2);
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

    mesh(2);
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

START_TEST(a_partition_heals)
{
    mesh(4);
    for (uint32_t i = 0; i < 4; i++)
        world_offer(i, i < 2 ? "left" : "right", "x", 'k');
    world_run(MN_SEC);
    for (uint32_t a = 0; a < 2; a++)
        for (uint32_t b = 2; b < 4; b++)
            world_cut(a, b, true);
    world_run(40 * MN_SEC);
    ck_assert_str_eq(world_listed(0), "left=x*2");
    ck_assert_str_eq(world_listed(3), "right=x*2");
    for (uint32_t a = 0; a < 2; a++)
        for (uint32_t b = 2; b < 4; b++)
            world_cut(a, b, false);
    world_until(world_is_whole, 2 * MN_MINUTE);
    world_run(5 * MN_SEC);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_str_eq(world_listed(i), "left=x*2 right=x*2");
}
END_TEST

static bool is_answered_clearly(const struct world_call *call)
{
    return call->is_done && (call->kind == CALL_EVENT_RESULT || call->text[0] != '\0');
}

/* Crashes, cuts and freezes under load; then all is well. */
/* Its own grants look ended to it, or not begun; the others never notice more than its absence. */
START_TEST(a_clock_that_is_far_off_harms_its_own_node_only)
{
    static const int64_t offs[] = {40 * (int64_t)MN_DAY, -40 * (int64_t)MN_DAY};

    mesh(5);
    world_set_clock((uint32_t)_i / 2, offs[_i % 2]);
    world_run(5 * MN_MINUTE);
    for (uint32_t i = 0; i < 5; i++) {
        int64_t off = admission_clock_off_ms(core_admission(world_core(i)));
        ck_assert_int_eq(world_fatal(i), 0);
        if (i == (uint32_t)_i / 2)
            ck_assert_int_lt(llabs(off + offs[_i % 2] / (int64_t)MN_MS), 1000);
        else
            ck_assert_int_eq(off, 0);
    }
    world_set_clock((uint32_t)_i / 2, 0);
    world_until(world_is_whole, 3 * MN_MINUTE);
    world_run(2 * MN_MINUTE);
    ck_assert(world_is_whole());
    ck_assert_int_eq(admission_clock_off_ms(core_admission(world_core((uint32_t)_i / 2))), 0);
}
END_TEST

START_TEST(all_is_well_after_faults)
{
    struct world_call *calls[600];
    uint8_t seed[RNG_SEED_SIZE] = {(uint8_t)_i, 77};
    uint32_t count = 0;
    struct rng rng;

    rng_init(&rng, seed);
    mesh(4);
    for (uint32_t i = 0; i < 4; i++)
        world_offer(i, i % 2 ? "odd" : "even", "x", 'k');
    world_run(MN_SEC);
    for (uint32_t round = 0; round < 40; round++) {
        uint32_t node = 1 + rng_below(&rng, 3), other = rng_below(&rng, 4);
        switch (rng_below(&rng, 5)) {
        case 0:
            if (world_core(node) != NULL)
                world_crash(node);
            else
                restart(node);
            break;
        case 1: world_freeze(node, rng_below(&rng, 2) == 0); break;
        case 2:
            if (node != other) world_cut(node, other, rng_below(&rng, 2) == 0);
            break;
        default: break;
        }
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t caller = rng_below(&rng, 4);
            if (world_core(caller) == NULL) continue;
            calls[count] =
                world_call(caller, rng_below(&rng, 2) ? "odd" : "even", rng_below(&rng, 2) == 0);
            if (caller == 0) count++; /* callers that crash answer nobody */
        }
        world_run(rng_below_u64(&rng, 3 * MN_SEC));
    }
    for (uint32_t i = 0; i < 4; i++) {
        world_freeze(i, false);
        for (uint32_t j = 0; j < 4; j++)
            if (j != i) world_cut(i, j, false);
        if (world_core(i) == NULL) restart(i);
    }
    world_run(2 * MN_MINUTE);
    ck_assert(world_is_whole());
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_str_eq(world_listed(i), "even=x*2 odd=x*2");
    for (uint32_t i = 0; i < count; i++)
        ck_assert(is_answered_clearly(calls[i]));
    rng_done(&rng);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_mesh");
    TCase *tcase = tcase_create("core");

    tcase_set_timeout(tcase, 240);
    tcase_add_checked_fixture(tcase, world_begin, world_end);
    tcase_add_test(tcase, a_founder_has_a_mesh_of_one);
    tcase_add_test(tcase, a_node_with_a_token_is_in_within_two_seconds);
    tcase_add_test(tcase, six_nodes_become_one_mesh);
    tcase_add_test(tcase, a_wrong_token_is_refused_for_good);
    tcase_add_test(tcase, without_a_token_nobody_gets_in);
    tcase_add_test(tcase, joining_waits_for_the_seed_for_ever);
    tcase_add_test(tcase, required_joining_gives_up);
    tcase_add_test(tcase, a_list_of_only_itself_is_a_mistake);
    tcase_add_test(tcase, a_second_process_with_a_live_identity_is_refused);
    tcase_add_test(tcase, a_token_admits_as_often_as_it_says);
    tcase_add_test(tcase, a_withdrawn_token_admits_nobody);
    tcase_add_test(tcase, only_an_issuer_makes_tokens);
    tcase_add_test(tcase, grants_are_renewed_without_a_link_lost);
    tcase_add_test(tcase, members_whose_grants_ended_come_back_with_the_issuer);
    tcase_add_test(tcase, a_mesh_is_founded_once_it_is_durable);
    tcase_add_test(tcase, a_grant_leaves_once_its_use_is_durable);
    tcase_add_test(tcase, an_issuer_killed_before_its_write_admitted_nobody);
    tcase_add_test(tcase, a_member_announces_itself_once_it_is_durable);
    tcase_add_test(tcase, a_restarted_node_needs_no_token_and_counts_up);
    tcase_add_test(tcase, a_restarted_node_needs_no_seed_either);
    tcase_add_test(tcase, all_restart_at_once);
    tcase_add_test(tcase, a_lost_disk_with_the_old_key_comes_back);
    tcase_add_test(tcase, who_leaves_is_gone_at_once);
    tcase_add_test(tcase, leaving_while_joining_stops_too);
    tcase_add_test(tcase, an_offer_is_a_service_everywhere);
    tcase_add_test(tcase, an_offer_made_before_joining_comes_along);
    tcase_add_test(tcase, a_late_joiner_learns_everything);
    tcase_add_test(tcase, different_servers_of_one_name_are_kept_apart);
    tcase_add_test(tcase, a_changed_body_changes_everywhere);
    tcase_add_test(tcase, the_dead_vanish_from_lists_and_return);
    tcase_add_test(tcase, a_tool_of_another_node_is_called);
    tcase_add_test(tcase, a_call_in_flight_to_a_killed_node_is_unknown_at_once);
    tcase_add_test(tcase, an_idempotent_call_goes_to_the_other_replica);
    tcase_add_test(tcase, a_server_that_is_down_is_left_for_a_replica);
    tcase_add_test(tcase, a_frozen_node_gets_no_new_calls_after_four_seconds);
    tcase_add_test(tcase, a_call_to_a_frozen_node_ends_with_its_time);
    tcase_add_test(tcase, a_call_to_a_frozen_node_is_unknown_once_that_is_dead);
    tcase_add_test(tcase, a_cancel_reaches_the_other_node);
    tcase_add_test(tcase, a_callee_cancels_what_a_dead_caller_asked);
    tcase_add_test(tcase, local_servers_work_without_a_mesh);
    tcase_add_test(tcase, many_calls_at_once_all_end);
    tcase_add_test(tcase, the_authority_grows_to_three_and_the_founder_may_go);
    tcase_add_test(tcase, who_missed_the_growth_catches_up);
    tcase_add_test(tcase, the_root_key_repairs_a_mesh_without_issuers);
    tcase_add_test(tcase, a_revoked_node_is_out_at_once);
    tcase_add_test(tcase, a_token_is_revoked_with_all_that_came_by_it);
    tcase_add_test(tcase, a_token_that_ended_long_ago_is_revoked_all_the_same);
    tcase_add_test(tcase, what_an_issuer_can_not_sign_any_more_it_says);
    tcase_add_test(tcase, a_partition_heals);
    tcase_add_loop_test(tcase, a_clock_that_is_far_off_harms_its_own_node_only, 0, 4);
    tcase_add_loop_test(tcase, all_is_well_after_faults, 0, 20);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
