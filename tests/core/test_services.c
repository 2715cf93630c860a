/* Names of the mesh: what is listed, what is a conflict, and that only changes are told. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/rng.h"
#include "node/core/services.h"
#include "tests/suite.h"

#define NODES 5

static struct services *services;
static struct mn_arena arena;
static struct call_outbox outbox;
static mn_id ids[NODES];
static struct mn_now now;

static const char *const names[NODES] = {"n0", "n1", "n2", "n3", "n4"};

static void setup(void)
{
    services = services_new(NULL);
    outbox = (struct call_outbox){.arena = &arena};
    for (uint8_t i = 0; i < NODES; i++)
        ids[i] = (mn_id){{(uint8_t)(0xa0 + i), 0xbb, 0xcc, 0xdd, i}};
}

static void teardown(void)
{
    services_check(services);
    services_free(services);
    call_outbox_reset(&outbox);
    mn_arena_done(&arena);
}

static struct catalog_offer offer(const char *name, char body, char key)
{
    struct catalog_offer made = {.name = mn_span_str(name), .hash = {(uint8_t)body}};

    made.body = mn_buf_copy(mn_span(&body, 1));
    made.replica_key[0] = (uint8_t)key;
    return made;
}

static void set_as(struct services *to, uint32_t node, const char *node_name,
                   struct catalog_offer *offers, uint32_t count)
{
    services_set(to, &ids[node], mn_span_str(node_name), offers, count);
    for (uint32_t i = 0; i < count; i++)
        mn_buf_unref(offers[i].body);
}

/* One offer of [name] at a node. */
static void set(uint32_t node, const char *name, char body, char key)
{
    struct catalog_offer one = offer(name, body, key);
    set_as(services, node, names[node], &one, 1);
}

/* Publishes, and tells everything that came out as one line. */
static const char *told(void)
{
    struct mn_writer writer = {0};
    static char text[1024];
    struct mn_buf *buf;

    call_outbox_reset(&outbox);
    services_publish(services, now, &outbox);
    services_check(services);
    mn_writer_str(&writer, "");
    for (uint32_t i = 0; i < outbox.count; i++) {
        const struct call_service *service = &outbox.items[i].service;
        ck_assert_int_eq(outbox.items[i].type, CALL_MESSAGE_SERVICE);
        mn_writer_format(&writer, "%s%.*s", i == 0 ? "" : " ", (int)service->name.size,
                         (const char *)service->name.data);
        if (service->is_conflict)
            mn_writer_str(&writer, "!");
        else if (service->body == NULL)
            mn_writer_str(&writer, "-");
        else
            mn_writer_format(&writer, "=%c*%u%s", service->body->bytes[0], service->providers_count,
                             service->is_listed ? "" : "?");
    }
    buf = mn_writer_done(&writer);
    ck_assert_uint_lt(buf->size, sizeof text);
    memcpy(text, buf->bytes, buf->size);
    text[buf->size] = '\0';
    mn_buf_unref(buf);
    return text;
}

START_TEST(one_offer_is_listed_and_has_an_alias)
{
    set(0, "files", 'x', 0);
    ck_assert_str_eq(told(), "files=x*1 files.n0=x*1?");
    ck_assert_str_eq(told(), "");
}
END_TEST

START_TEST(replicas_are_one_service)
{
    set(0, "files", 'x', 'k');
    set(1, "files", 'x', 'k');
    ck_assert_str_eq(told(), "files=x*2 files.n0=x*1? files.n1=x*1?");
}
END_TEST

START_TEST(equal_bodies_without_a_key_are_no_replicas)
{
    set(0, "files", 'x', 0);
    set(1, "files", 'x', 0);
    ck_assert_str_eq(told(), "files! files.n0=x*1 files.n1=x*1");
}
END_TEST

START_TEST(different_keys_are_no_replicas)
{
    set(0, "files", 'x', 'k');
    set(1, "files", 'x', 'l');
    ck_assert_str_eq(told(), "files! files.n0=x*1 files.n1=x*1");
}
END_TEST

START_TEST(a_replica_with_another_body_is_kept_apart)
{
    set(0, "files", 'x', 'k');
    set(1, "files", 'x', 'k');
    (void)told();
    set(2, "files", 'y', 'k');
    ck_assert_str_eq(told(), "files.n2=y*1");
    services_drop(services, &ids[2]);
    ck_assert_str_eq(told(), "files.n2-");
}
END_TEST

START_TEST(the_largest_part_has_the_name)
{
    struct services_view view;

    set(0, "files", 'x', 'k');
    set(1, "files", 'x', 'k');
    set(2, "files", 'x', 'k');
    (void)told();
    set(2, "files", 'y', 'k');
    ck_assert_str_eq(told(), "files=x*2 files.n2=y*1");
    set(1, "files", 'y', 'k');
    ck_assert_str_eq(told(), "files=y*2 files.n0=x*1 files.n1=y*1? files.n2=y*1?");
    view = services_find(services, mn_span_str("files"));
    ck_assert_uint_eq(view.count, 2);
    ck_assert(mn_id_equal(&view.providers[0].node, &ids[1]));
    services_drop(services, &ids[2]); /* one each: that of the lowest id */
    ck_assert_str_eq(told(), "files=x*1 files.n0=x*1? files.n1=y*1 files.n2-");
    set(0, "files", 'y', 'k');
    ck_assert_str_eq(told(), "files=y*2 files.n0=y*1? files.n1=y*1?");
}
END_TEST

START_TEST(a_part_of_suspects_gives_the_name_to_those_that_live)
{
    set(0, "files", 'x', 'k');
    set(1, "files", 'x', 'k');
    set(2, "files", 'y', 'k');
    (void)told();
    services_set_suspect(services, &ids[0], true); /* one each that is sound; the larger has it */
    ck_assert_str_eq(told(), "");
    services_set_suspect(services, &ids[1], true);
    ck_assert_str_eq(told(), "files=y*1 files.n0=x*1 files.n1=x*1 files.n2=y*1?");
    services_set_suspect(services, &ids[2], true); /* nobody is sound */
    ck_assert_str_eq(told(), "files=x*2 files.n0=x*1? files.n1=x*1? files.n2=y*1");
    services_set_suspect(services, &ids[2], false);
    services_set_suspect(services, &ids[0], false); /* one each again */
    ck_assert_str_eq(told(), "");
}
END_TEST

START_TEST(one_other_key_is_a_conflict_of_all)
{
    set(0, "files", 'x', 'k');
    set(1, "files", 'x', 'k');
    set(2, "files", 'x', 'l');
    ck_assert_str_eq(told(), "files! files.n0=x*1 files.n1=x*1 files.n2=x*1");
}
END_TEST

START_TEST(what_goes_is_told)
{
    set(0, "files", 'x', 0);
    (void)told();
    services_drop(services, &ids[0]);
    ck_assert_str_eq(told(), "files- files.n0-");
    ck_assert_ptr_null(services_next(services, NULL));
    services_drop(services, &ids[0]); /* twice is fine */
    ck_assert_str_eq(told(), "");
}
END_TEST

START_TEST(what_comes_and_goes_unpublished_is_not_told)
{
    set(0, "files", 'x', 0);
    services_drop(services, &ids[0]);
    ck_assert_str_eq(told(), "");
}
END_TEST

START_TEST(only_changes_are_told)
{
    struct catalog_offer two[2] = {offer("a", 'x', 0), offer("b", 'y', 0)};

    set_as(services, 0, "n0", two, 2);
    ck_assert_str_eq(told(), "a=x*1 a.n0=x*1? b=y*1 b.n0=y*1?");
    two[0] = offer("a", 'x', 0);
    two[1] = offer("b", 'z', 0);
    set_as(services, 0, "n0", two, 2);
    ck_assert_str_eq(told(), "b=z*1 b.n0=z*1?");
}
END_TEST

START_TEST(names_that_begin_alike_do_not_mix)
{
    set(0, "a", 'x', 0);
    set(1, "ab", 'x', 0);
    set(2, "a-b", 'x', 0);
    set(3, "a0", 'x', 0);
    (void)told();
    services_drop(services, &ids[0]);
    ck_assert_str_eq(told(), "a- a.n0-");
    ck_assert_int_eq(services_find(services, mn_span_str("a-b.n2")).kind, SERVICES_FOUND);
}
END_TEST

START_TEST(an_offer_without_its_body_is_left_out)
{
    struct catalog_offer one = {.name = mn_span_str("files")};

    set_as(services, 0, "n0", &one, 1);
    ck_assert_str_eq(told(), "");
}
END_TEST

START_TEST(twins_carry_their_ids)
{
    struct catalog_offer one = offer("files", 'x', 0), other = offer("mail", 'y', 0);

    set_as(services, 0, "twin", &one, 1);
    ck_assert_str_eq(told(), "files=x*1 files.twin=x*1?");
    set_as(services, 1, "twin", &other, 1);
    ck_assert_str_eq(told(), "files.twin-a0bbccdd=x*1? files.twin- mail=y*1 "
                             "mail.twin-a1bbccdd=y*1?");
    services_drop(services, &ids[0]);
    ck_assert_str_eq(told(), "files- files.twin-a0bbccdd- mail.twin=y*1? mail.twin-a1bbccdd-");
}
END_TEST

START_TEST(a_twin_with_the_longest_name_fits)
{
    char name[SERVICES_NODE_NAME_MAX + 1], server[CATALOG_OFFER_NAME_MAX + 1];
    struct catalog_offer one, other;

    memset(name, 'n', sizeof name - 1);
    memset(server, 's', sizeof server - 1);
    name[sizeof name - 1] = server[sizeof server - 1] = '\0';
    one = offer(server, 'x', 0);
    other = offer(server, 'y', 0);
    set_as(services, 0, name, &one, 1);
    set_as(services, 1, name, &other, 1);
    call_outbox_reset(&outbox);
    services_publish(services, now, &outbox);
    ck_assert_uint_eq(outbox.count, 3);
    ck_assert_uint_eq(outbox.items[1].service.name.size, CALL_NAME_MAX);
}
END_TEST

START_TEST(a_renamed_node_moves_its_aliases)
{
    struct catalog_offer one = offer("files", 'x', 0);

    set(0, "files", 'x', 0);
    (void)told();
    set_as(services, 0, "other", &one, 1);
    ck_assert_str_eq(told(), "files.other=x*1? files.n0-");
}
END_TEST

START_TEST(names_are_found)
{
    struct services_view view;

    set(0, "files", 'x', 'k');
    set(1, "files", 'x', 'k');
    set(2, "mail", 'x', 0);
    set(3, "mail", 'y', 0);
    view = services_find(services, mn_span_str("files"));
    ck_assert_int_eq(view.kind, SERVICES_FOUND);
    ck_assert_uint_eq(view.count, 2);
    ck_assert(mn_id_equal(&view.providers[1].node, &ids[1]));
    view = services_find(services, mn_span_str("files.n1"));
    ck_assert_int_eq(view.kind, SERVICES_FOUND);
    ck_assert_uint_eq(view.count, 1);
    ck_assert(mn_span_is(view.name, "files"));
    ck_assert(mn_id_equal(&view.providers->node, &ids[1]));
    view = services_find(services, mn_span_str("mail"));
    ck_assert_int_eq(view.kind, SERVICES_CONFLICT);
    ck_assert_uint_eq(view.count, 2);
    ck_assert_int_eq(services_find(services, mn_span_str("mail.n3")).kind, SERVICES_FOUND);
    ck_assert_int_eq(services_find(services, mn_span_str("mail.n1")).kind, SERVICES_NONE);
    ck_assert_int_eq(services_find(services, mn_span_str("mail.")).kind, SERVICES_NONE);
    ck_assert_int_eq(services_find(services, mn_span_str(".n1")).kind, SERVICES_NONE);
    ck_assert_int_eq(services_find(services, mn_span_str("")).kind, SERVICES_NONE);
    ck_assert_int_eq(services_find(services, mn_span_str("none")).kind, SERVICES_NONE);
}
END_TEST

/* ---- whose a name is ---- */

static struct services_owner owner(const char *name, uint32_t node, char key)
{
    struct services_owner made = {.name = mn_span_str(name), .node = ids[node], .rev = 7};

    made.key[0] = (uint8_t)key;
    return made;
}

static void own(const char *name, uint32_t node, char key)
{
    struct services_owner one = owner(name, node, key);
    services_set_owners(services, &one, 1);
}

START_TEST(a_name_stays_its_owners_when_another_server_comes)
{
    set(0, "files", 'x', 0);
    own("files", 0, 0);
    (void)told();
    set(1, "files", 'x', 0); /* even one that is the same */
    ck_assert_str_eq(told(), "files.n1=x*1");
    set(2, "files", 'y', 'k');
    ck_assert_str_eq(told(), "files.n2=y*1");
    ck_assert_uint_eq(services_find(services, mn_span_str("files")).count, 1);
}
END_TEST

START_TEST(a_name_does_not_move_while_its_owner_is_away)
{
    struct services_view view;

    set(0, "files", 'x', 0);
    own("files", 0, 0);
    set(1, "files", 'x', 0);
    (void)told();
    services_drop(services, &ids[0]);
    ck_assert_str_eq(told(), "files! files.n0-");
    view = services_find(services, mn_span_str("files"));
    ck_assert_int_eq(view.kind, SERVICES_CONFLICT);
    ck_assert(view.is_kept);
    services_drop(services, &ids[1]);
    ck_assert_str_eq(told(), "files- files.n1-");
    set(1, "files", 'x', 0);
    ck_assert_str_eq(told(), "files! files.n1=x*1");
    set(0, "files", 'z', 0); /* back, and changed: whose it is says nothing about that */
    ck_assert_str_eq(told(), "files=z*1 files.n0=z*1?");
}
END_TEST

START_TEST(a_name_that_is_freed_is_the_next_ones)
{
    own("files", 0, 0);
    set(1, "files", 'x', 0);
    ck_assert_str_eq(told(), "files! files.n1=x*1");
    services_set_owners(services, NULL, 0);
    ck_assert_str_eq(told(), "files=x*1 files.n1=x*1?");
    own("files", 2, 0);
    ck_assert_str_eq(told(), "files! files.n1=x*1");
}
END_TEST

START_TEST(replicas_of_the_owner_have_the_name_without_it)
{
    set(0, "files", 'x', 'k');
    set(1, "files", 'x', 'k');
    own("files", 0, 'k');
    set(2, "files", 'x', 'l');
    ck_assert_str_eq(told(), "files=x*2 files.n0=x*1? files.n1=x*1? files.n2=x*1");
    services_drop(services, &ids[0]);
    ck_assert_str_eq(told(), "files=x*1 files.n0-");
    services_drop(services, &ids[1]);
    ck_assert_str_eq(told(), "files! files.n1-");
}
END_TEST

START_TEST(owners_that_differ_are_a_conflict_of_theirs)
{
    set(0, "files", 'x', 'l');
    set(1, "files", 'x', 'k');
    own("files", 0, 'k'); /* its node has another server now, its replica is here too */
    ck_assert_str_eq(told(), "files! files.n0=x*1 files.n1=x*1");
    ck_assert(!services_find(services, mn_span_str("files")).is_kept);
}
END_TEST

/* What [node] ought to have written down: "NAME@REV ". */
static const char *claims(uint32_t node)
{
    static char text[256];
    struct services_owner one;
    uint32_t at = 0;

    text[0] = '\0';
    while (services_claim_next(services, &ids[node], &at, &one)) {
        size_t used = strlen(text);
        ck_assert(mn_id_equal(&one.node, &ids[node]));
        snprintf(text + used, sizeof text - used, "%.*s@%u%c ", (int)one.name.size,
                 (const char *)one.name.data, (unsigned)one.rev,
                 one.key[0] == 0 ? '-' : one.key[0]);
    }
    return text;
}

START_TEST(who_has_a_name_claims_it_and_nobody_else_does)
{
    set(0, "files", 'x', 0);
    set(1, "mail", 'x', 'k');
    set(2, "mail", 'y', 'k'); /* one each: the lower id has it */
    set(3, "news", 'x', 0);
    set(4, "news", 'x', 0); /* nobody's */
    ck_assert_str_eq(claims(0), "files@0- ");
    ck_assert_str_eq(claims(1), "mail@0k ");
    for (uint32_t i = 2; i < NODES; i++)
        ck_assert_str_eq(claims(i), "");
    own("files", 0, 0);
    ck_assert_str_eq(claims(0), "");
    own("files", 1, 0);
    ck_assert_str_eq(claims(0), "");
}
END_TEST

START_TEST(only_the_owner_node_writes_another_key)
{
    set(0, "files", 'x', 'l');
    own("files", 0, 'k');
    ck_assert_str_eq(claims(0), "files@7l ");
    own("files", 0, 'l');
    ck_assert_str_eq(claims(0), "");
    own("files", 1, 'l'); /* a replica */
    ck_assert_str_eq(claims(0), "");
}
END_TEST

START_TEST(names_are_told_with_their_owners)
{
    struct services_owner two[2] = {owner("b", 0, 0), owner("c", 1, 0)};
    uint32_t count;
    struct services_name *all;

    set(0, "b", 'x', 0);
    set(1, "a", 'x', 0);
    set(2, "b", 'x', 0);
    services_set_owners(services, two, 2);
    all = services_names(services, &arena, &count);
    ck_assert_uint_eq(count, 3);
    ck_assert(mn_span_is(all[0].name, "a") && all[0].owner == NULL && all[0].main_count == 1);
    ck_assert(mn_span_is(all[1].name, "b") && mn_id_equal(&all[1].owner->node, &ids[0]));
    ck_assert_uint_eq(all[1].main_count, 1);
    ck_assert_uint_eq(all[1].providers_count, 2);
    ck_assert(mn_span_is(all[2].name, "c") && all[2].providers_count == 0);
}
END_TEST

/* Sets a node to what bits of [state] say: its name, and one of four kinds of each of two offers.
 */
static void set_state(struct services *to, uint32_t node, uint32_t state)
{
    struct catalog_offer offers[2];
    uint32_t count = 0;

    if (state % 9 == 0) {
        services_drop(to, &ids[node]);
        return;
    }
    if (state & 1) offers[count++] = offer("files", state & 2 ? 'x' : 'y', state & 4 ? 'k' : 0);
    if (state & 8) offers[count++] = offer("mail", state & 16 ? 'x' : 'y', 'k');
    set_as(to, node, state & 32 ? "twin" : names[node], offers, count);
}

static void assert_equal_lists(struct services *a, struct services *b)
{
    const struct services_entry *one = services_next(a, NULL), *two = services_next(b, NULL);

    for (; one != NULL && two != NULL; one = services_next(a, one), two = services_next(b, two)) {
        struct call_service x = services_entry_get(one), y = services_entry_get(two);
        ck_assert(mn_span_equal(x.name, y.name));
        ck_assert(mn_span_equal(mn_buf_span(x.body), mn_buf_span(y.body)));
        ck_assert_uint_eq(x.providers_count, y.providers_count);
        ck_assert(x.is_listed == y.is_listed && x.is_conflict == y.is_conflict);
    }
    ck_assert(one == NULL && two == NULL);
}

START_TEST(equal_members_give_equal_lists_whatever_came_before)
{
    struct rng rng;
    uint8_t seed[RNG_SEED_SIZE] = {(uint8_t)_i};
    uint32_t last[NODES] = {0};
    struct services *fresh = services_new(NULL);

    rng_init(&rng, seed);
    for (uint32_t i = 0; i < 60; i++) {
        struct services_owner two[2] = {owner("files", rng_below(&rng, NODES), 'k'),
                                        owner("mail", rng_below(&rng, NODES), 0)};
        uint32_t node = rng_below(&rng, NODES), owned = rng_below(&rng, 3);
        services_set_owners(services, two, owned);
        services_set_owners(fresh, two, owned);
        last[node] = rng_below(&rng, 64);
        set_state(services, node, last[node]);
        if (rng_below(&rng, 3) == 0) (void)told();
    }
    for (uint32_t i = NODES; i-- > 0;)
        set_state(fresh, i, last[i]);
    (void)told();
    call_outbox_reset(&outbox);
    services_publish(fresh, now, &outbox);
    services_check(fresh);
    assert_equal_lists(services, fresh);
    services_free(fresh);
    rng_done(&rng);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("services");
    TCase *tcase = tcase_create("core");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, one_offer_is_listed_and_has_an_alias);
    tcase_add_test(tcase, replicas_are_one_service);
    tcase_add_test(tcase, equal_bodies_without_a_key_are_no_replicas);
    tcase_add_test(tcase, different_keys_are_no_replicas);
    tcase_add_test(tcase, a_replica_with_another_body_is_kept_apart);
    tcase_add_test(tcase, the_largest_part_has_the_name);
    tcase_add_test(tcase, a_part_of_suspects_gives_the_name_to_those_that_live);
    tcase_add_test(tcase, one_other_key_is_a_conflict_of_all);
    tcase_add_test(tcase, what_goes_is_told);
    tcase_add_test(tcase, what_comes_and_goes_unpublished_is_not_told);
    tcase_add_test(tcase, only_changes_are_told);
    tcase_add_test(tcase, names_that_begin_alike_do_not_mix);
    tcase_add_test(tcase, an_offer_without_its_body_is_left_out);
    tcase_add_test(tcase, twins_carry_their_ids);
    tcase_add_test(tcase, a_twin_with_the_longest_name_fits);
    tcase_add_test(tcase, a_renamed_node_moves_its_aliases);
    tcase_add_test(tcase, names_are_found);
    tcase_add_test(tcase, a_name_stays_its_owners_when_another_server_comes);
    tcase_add_test(tcase, a_name_does_not_move_while_its_owner_is_away);
    tcase_add_test(tcase, a_name_that_is_freed_is_the_next_ones);
    tcase_add_test(tcase, replicas_of_the_owner_have_the_name_without_it);
    tcase_add_test(tcase, owners_that_differ_are_a_conflict_of_theirs);
    tcase_add_test(tcase, who_has_a_name_claims_it_and_nobody_else_does);
    tcase_add_test(tcase, only_the_owner_node_writes_another_key);
    tcase_add_test(tcase, names_are_told_with_their_owners);
    tcase_add_loop_test(tcase, equal_members_give_equal_lists_whatever_came_before, 0, 100);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
