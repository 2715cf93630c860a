/* Admission: who gets in, who does not and what is said, whatever the network and the disks do. */
#include <sodium.h>

#include "proto/pb.h"
#include "tests/mesh/admission_world.h"

#define CODE(name) MESHNODE__TRUST__CODE__CODE_##name
#define ROLE(name) MESHNODE__TRUST__ROLE__ROLE_##name
#define HOUR_MS ((uint64_t)3600 * 1000)
#define DAY_MS (24 * HOUR_MS)

static struct world *world;
static unsigned founder, joiner;

static void setup(void)
{
    world = world_new();
    founder = world_add(world, "founder");
    joiner = world_add(world, "joiner");
    world_start(world, founder);
    world_start(world, joiner);
    world_found(world, founder, NULL);
}

static void teardown(void)
{
    world_free(world);
}

static struct world_node *node(unsigned number)
{
    return &world->nodes[number];
}

/* Lets a node join with [token] over a new link to [sponsor]; the link. */
static uint64_t join_at(unsigned number, unsigned sponsor, const char *token)
{
    uint64_t link;

    world_join(world, number, token, false);
    link = world_connect(world, number, sponsor);
    world_settle(world);
    return link;
}

static const char *bootstrap(void)
{
    return node(founder)->join_token;
}

/* A started node that joined by the bootstrap token at the founder. */
static unsigned member(const char *name)
{
    unsigned number = world_add(world, name);

    world_start(world, number);
    join_at(number, founder, bootstrap());
    ck_assert_int_eq(world_state(world, number), ADMISSION_MEMBER);
    world_tell(world, founder, number, true);
    return number;
}

static void assert_refused(unsigned number, admission_code code)
{
    ck_assert_str_eq(admission_code_name(node(number)->failed), admission_code_name(code));
    ck_assert_int_eq(world_state(world, number), ADMISSION_FAILED);
}

static uint32_t uses_of(const char *token)
{
    struct token decoded;
    mn_id id;

    ck_assert_int_eq(token_decode(mn_span_str(token), &decoded), MN_OK);
    id = token_id(&decoded);
    world_step(world, founder,
               &(struct admission_input){.type = ADMISSION_IN_TOKEN_LIST, .token_list = {1}});
    for (uint32_t i = 0; i < node(founder)->rows_count; i++)
        if (mn_id_equal(&node(founder)->rows[i].id, &id)) return node(founder)->rows[i].used;
    ck_abort_msg("no such token");
}

/* ---- founding ---- */

START_TEST(founder_is_member_and_issuer_with_root_key_and_token_handed_out)
{
    const struct grant *grant = admission_grant(node(founder)->admission);

    ck_assert_int_eq(world_state(world, founder), ADMISSION_MEMBER);
    ck_assert(admission_is_issuer(node(founder)->admission));
    ck_assert(node(founder)->has_root_key);
    ck_assert_uint_eq(strlen(bootstrap()), TOKEN_TEXT_SIZE - 1);
    ck_assert_str_eq(node(founder)->token, bootstrap());
    ck_assert_uint_eq(node(founder)->joined, 1);
    ck_assert_int_eq(grant->via, MESHNODE__TRUST__VIA__VIA_GENESIS);
    ck_assert_str_eq(grant->name, "founder");
}
END_TEST

START_TEST(founder_resumes_from_its_store)
{
    mn_id mesh = admission_mesh_id(node(founder)->admission), after;

    world_crash(world, founder);
    world_start(world, founder);
    after = admission_mesh_id(node(founder)->admission);
    ck_assert_int_eq(world_state(world, founder), ADMISSION_MEMBER);
    ck_assert(mn_id_equal(&mesh, &after));
    ck_assert(admission_is_issuer(node(founder)->admission));
    join_at(joiner, founder, bootstrap());
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(founding_twice_is_refused)
{
    world_found(world, founder, NULL);
    ck_assert_int_eq(node(founder)->token_status, MN_STATE);
}
END_TEST

START_TEST(join_token_file_goes_when_the_token_ends)
{
    ck_assert_uint_ne(strlen(bootstrap()), 0);
    world_run(world, MN_DAY + 2 * MN_HOUR);
    ck_assert_str_eq(bootstrap(), "");
}
END_TEST

/* ---- joining ---- */

START_TEST(joiner_with_a_token_is_in_at_once)
{
    const struct grant *grant;

    join_at(joiner, founder, bootstrap());
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_uint_eq(node(joiner)->joined, 1);
    ck_assert_uint_eq(node(founder)->admitted, 1);
    grant = admission_grant(node(joiner)->admission);
    ck_assert_str_eq(grant->name, "joiner");
    ck_assert_int_eq(grant->role_max, ROLE(VOTER));
    ck_assert(grant->issuer_eligible);
    ck_assert_int_eq(grant->via, MESHNODE__TRUST__VIA__VIA_TOKEN);
    ck_assert(!admission_is_issuer(node(joiner)->admission));
    ck_assert_uint_eq(uses_of(bootstrap()), 1);
}
END_TEST

START_TEST(joiner_resumes_from_its_store_without_a_token)
{
    join_at(joiner, founder, bootstrap());
    world_crash(world, joiner);
    world_start(world, joiner);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_int_eq(admission_hello(node(joiner)->admission), ADMISSION_HELLO_MEMBER);
}
END_TEST

START_TEST(joiner_is_carried_to_the_issuer_by_any_member)
{
    unsigned sponsor = member("sponsor");

    world_connect(world, sponsor, founder);
    join_at(joiner, sponsor, bootstrap());
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_uint_eq(node(sponsor)->admitted, 1);
    ck_assert_uint_eq(uses_of(bootstrap()), 2);
}
END_TEST

START_TEST(joiner_waits_for_the_issuer_and_gets_in_when_it_is_back)
{
    unsigned sponsor = member("sponsor");

    world_crash(world, sponsor);
    world_start(world, sponsor);
    join_at(joiner, sponsor, bootstrap()); /* nobody is linked to the founder */
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    ck_assert_int_eq(admission_last_code(node(joiner)->admission), CODE(ISSUER_UNAVAILABLE));
    world_run(world, 10 * MN_SEC);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    world_connect(world, sponsor, founder);
    world_run(world, 30 * MN_SEC);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

static bool drop_forwards_to_founder(struct world_message *message, void *context)
{
    (void)context;
    return message->to != founder;
}

START_TEST(joiner_is_told_when_the_issuer_does_not_answer)
{
    unsigned sponsor = member("sponsor");

    world_connect(world, sponsor, founder);
    world->filter = drop_forwards_to_founder;
    join_at(joiner, sponsor, bootstrap());
    world_run(world, 11 * MN_SEC);
    ck_assert_int_eq(admission_last_code(node(joiner)->admission), CODE(ISSUER_UNAVAILABLE));
    world->filter = NULL;
    world_run(world, 60 * MN_SEC);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_uint_eq(uses_of(bootstrap()), 2);
}
END_TEST

START_TEST(joiner_uses_another_seed_when_one_dies_halfway)
{
    unsigned sponsor = member("sponsor");
    uint64_t first;

    world_connect(world, sponsor, founder);
    world->filter = drop_forwards_to_founder; /* the JOIN hangs at the sponsor */
    first = join_at(joiner, sponsor, bootstrap());
    world->filter = NULL;
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    world_cut(world, first);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

static bool drop_all(struct world_message *message, void *context)
{
    (void)message;
    (void)context;
    return false;
}

START_TEST(joiner_drops_a_seed_that_says_nothing)
{
    uint64_t link;

    world->filter = drop_all;
    link = join_at(joiner, founder, bootstrap());
    world_run(world, 6 * MN_SEC);
    ck_assert_ptr_null(world_find_link(world, link));
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
}
END_TEST

START_TEST(joiner_with_several_seeds_uses_one_and_leaves_the_others)
{
    unsigned sponsor = member("sponsor");

    world_connect(world, sponsor, founder);
    world_join(world, joiner, bootstrap(), false);
    world_connect(world, joiner, sponsor);
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_uint_eq(node(joiner)->joined, 1);
    ck_assert_uint_eq(admission_counts(node(joiner)->admission).links, 1);
    ck_assert_uint_eq(uses_of(bootstrap()), 2);
}
END_TEST

START_TEST(joiner_without_a_token_is_denied)
{
    join_at(joiner, founder, NULL);
    assert_refused(joiner, CODE(DENIED));
}
END_TEST

START_TEST(joiner_with_a_token_learns_it_later_members_can_sponsor)
{
    unsigned second = member("second");

    world_connect(world, second, founder);
    join_at(joiner, second, world_token(world, founder, 1, HOUR_MS, ROLE(LEARNER)));
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_int_eq(admission_grant(node(joiner)->admission)->role_max, ROLE(LEARNER));
    ck_assert(!admission_grant(node(joiner)->admission)->issuer_eligible);
}
END_TEST

/* ---- tokens that do not let in ---- */

START_TEST(token_past_its_time_is_refused)
{
    const char *token = world_token(world, founder, 1, HOUR_MS, ROLE(AUTO));

    world_run(world, MN_HOUR);
    join_at(joiner, founder, token);
    assert_refused(joiner, CODE(TOKEN_EXPIRED));
}
END_TEST

START_TEST(token_forgotten_after_its_end_is_unknown)
{
    const char *token = world_token(world, founder, 1, HOUR_MS, ROLE(AUTO));

    world_run(world, MN_DAY + 3 * MN_HOUR);
    join_at(joiner, founder, token);
    assert_refused(joiner, CODE(TOKEN_UNKNOWN));
}
END_TEST

START_TEST(token_used_up_is_refused)
{
    const char *token = world_token(world, founder, 1, HOUR_MS, ROLE(AUTO));
    unsigned second = world_add(world, "second");

    join_at(joiner, founder, token);
    world_start(world, second);
    join_at(second, founder, token);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    assert_refused(second, CODE(TOKEN_USED));
    ck_assert_uint_eq(uses_of(token), 1);
}
END_TEST

START_TEST(token_withdrawn_is_refused_also_after_a_restart)
{
    struct admission_input input = {.type = ADMISSION_IN_TOKEN_WITHDRAW};
    char token[TOKEN_TEXT_SIZE], id[TOKEN_ID_TEXT_SIZE];

    strcpy(token, world_token(world, founder, 5, HOUR_MS, ROLE(AUTO)));
    input.token_withdraw.id = mn_span_str(token_id_format(&node(founder)->row.id, id));
    world_step(world, founder, &input);
    ck_assert_int_eq(node(founder)->token_status, MN_OK);
    ck_assert(node(founder)->row.is_withdrawn);
    world_crash(world, founder);
    world_start(world, founder);
    join_at(joiner, founder, token);
    assert_refused(joiner, CODE(TOKEN_WITHDRAWN));
}
END_TEST

START_TEST(token_of_another_mesh_ends_in_mesh_mismatch)
{
    unsigned other = world_add(world, "other");

    world_start(world, other);
    world_found(world, other, NULL);
    join_at(joiner, founder, node(other)->join_token);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING); /* perhaps a seed lied */
    ck_assert_int_eq(admission_last_code(node(joiner)->admission), CODE(MESH_MISMATCH));
    world_run(world, 31 * MN_SEC);
    assert_refused(joiner, CODE(MESH_MISMATCH));
}
END_TEST

START_TEST(seed_of_another_mesh_does_not_keep_the_joiner_out)
{
    unsigned other = world_add(world, "other");

    world_start(world, other);
    world_found(world, other, NULL);
    join_at(joiner, other, bootstrap());
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    world_connect(world, joiner, founder);
    world_run(world, 40 * MN_SEC);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(token_mistyped_is_refused_without_asking_anybody)
{
    char token[TOKEN_TEXT_SIZE];

    strcpy(token, bootstrap());
    token[40] = token[40] == 'a' ? 'b' : 'a';
    world_join(world, joiner, token, false);
    assert_refused(joiner, CODE(TOKEN_UNKNOWN));
}
END_TEST

START_TEST(token_with_the_right_pin_but_an_unknown_secret_is_unknown)
{
    uint8_t secret[TOKEN_SECRET_SIZE] = {9};
    struct token token;
    char text[TOKEN_TEXT_SIZE];

    token_init(&token, authority_pin(admission_authority(node(founder)->admission)), secret);
    token_encode(&token, text);
    join_at(joiner, founder, text);
    assert_refused(joiner, CODE(TOKEN_UNKNOWN));
}
END_TEST

START_TEST(token_allows_no_role_above_its_own)
{
    const char *token = world_token(world, founder, 3, HOUR_MS, ROLE(LEARNER));

    world_crash(world, joiner);
    node(joiner)->role = ROLE(VOTER);
    world_start(world, joiner);
    join_at(joiner, founder, token);
    assert_refused(joiner, CODE(ROLE_NOT_ALLOWED));
}
END_TEST

START_TEST(token_for_32_admits_32_of_33_through_five_sponsors)
{
    char token[TOKEN_TEXT_SIZE];
    unsigned sponsors[5], joiners[33], in = 0, used_up = 0;

    for (unsigned i = 0; i < 5; i++) {
        char name[16] = "sponsor-0";
        name[8] = (char)('0' + i);
        sponsors[i] = member(name);
        world_connect(world, sponsors[i], founder);
    }
    strcpy(token, world_token(world, founder, 32, HOUR_MS, ROLE(AUTO)));
    for (unsigned i = 0; i < 33; i++) {
        char name[16] = "joiner-00";
        name[7] = (char)('0' + i / 10);
        name[8] = (char)('0' + i % 10);
        joiners[i] = world_add(world, name);
        world_start(world, joiners[i]);
        world_join(world, joiners[i], token, false);
        world_connect(world, joiners[i], sponsors[i % 5]);
    }
    world_run(world, MN_MINUTE); /* all messages of all of them are in one queue */
    for (unsigned i = 0; i < 33; i++) {
        if (world_state(world, joiners[i]) == ADMISSION_MEMBER) in++;
        if (node(joiners[i])->failed == CODE(TOKEN_USED)) used_up++;
    }
    ck_assert_uint_eq(in, 32);
    ck_assert_uint_eq(used_up, 1);
    ck_assert_uint_eq(uses_of(token), 32);
}
END_TEST

/* ---- tokens made before their mesh ---- */

static void early_token(char text[TOKEN_TEXT_SIZE], uint8_t fill)
{
    uint8_t secret[TOKEN_SECRET_SIZE];
    struct token token;

    memset(secret, fill, sizeof secret);
    token_init(&token, NULL, secret);
    token_encode(&token, text);
}

START_TEST(token_made_before_the_mesh_vouches_for_it)
{
    unsigned seed = world_add(world, "seed"), late = world_add(world, "late");
    char text[TOKEN_TEXT_SIZE];

    early_token(text, 5);
    world_start(world, seed);
    world_start(world, late);
    world_found(world, seed, text);
    ck_assert_str_eq(node(seed)->token, text);
    ck_assert_str_eq(node(seed)->join_token, ""); /* its operator has it already */
    join_at(joiner, seed, text);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);

    world_connect(world, joiner, seed);
    join_at(late, joiner, text); /* any member can show the token's word, also after a restart */
    ck_assert_int_eq(world_state(world, late), ADMISSION_MEMBER);
}
END_TEST

START_TEST(token_made_before_the_mesh_is_worth_nothing_where_it_was_not_registered)
{
    char text[TOKEN_TEXT_SIZE];

    early_token(text, 6);
    join_at(joiner, founder, text);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    world_run(world, 31 * MN_SEC);
    assert_refused(joiner, CODE(MESH_MISMATCH));
}
END_TEST

START_TEST(token_of_an_existing_mesh_cannot_found_another)
{
    unsigned other = world_add(world, "other");

    world_start(world, other);
    world_found(world, other, bootstrap());
    ck_assert_int_eq(node(other)->token_status, MN_WRONG_MESH);
    ck_assert_int_eq(world_state(world, other), ADMISSION_EMPTY);
}
END_TEST

/* ---- tampering and replay ---- */

struct tamper {
    Meshnode__Trust__Admission__WhatCase what; /* only messages of this kind */
    size_t bit;                                /* to be flipped in the whole message */
    unsigned hits;
    struct mn_buf *seen;
};

static Meshnode__Trust__Admission__WhatCase kind_of(struct mn_span bytes)
{
    struct mn_arena arena = {0};
    const Meshnode__Trust__Admission *message =
        pb_unpack(&meshnode__trust__admission__descriptor, &arena, bytes);
    Meshnode__Trust__Admission__WhatCase what =
        message == NULL ? MESHNODE__TRUST__ADMISSION__WHAT__NOT_SET : message->what_case;

    mn_arena_done(&arena);
    return what;
}

static bool flip_bit(struct world_message *message, void *context)
{
    struct tamper *tamper = context;

    if (kind_of(mn_buf_span(message->bytes)) != tamper->what || tamper->hits > 0) return true;
    if (tamper->bit / 8 >= message->bytes->size) return true;
    message->bytes->bytes[tamper->bit / 8] ^= (uint8_t)(1u << (tamper->bit % 8));
    tamper->hits++;
    return true;
}

/* Every bit of JOIN, one run each (in slices, to keep each test short): nobody gets in by it, and
 * no use is counted. */
START_TEST(join_with_a_flipped_bit_admits_nobody)
{
    for (size_t bit = (size_t)_i;; bit += 16) {
        struct tamper tamper = {.what = MESHNODE__TRUST__ADMISSION__WHAT_JOIN, .bit = bit};
        uint64_t link;

        world_join(world, joiner, bootstrap(), false);
        world->filter = flip_bit;
        world->filter_context = &tamper;
        link = world_connect(world, joiner, founder);
        world_settle(world);
        if (tamper.hits == 0) break; /* past its end: this run was honest */
        ck_assert_int_ne(world_state(world, joiner), ADMISSION_MEMBER);
        ck_assert_uint_eq(admission_counts(node(founder)->admission).issued, 0);
        ck_assert_uint_eq(node(founder)->admitted, 0);
        world_cut(world, link);
        world_crash(world, joiner);
        node(joiner)->failed = CODE(NONE);
        world_start(world, joiner);
    }
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(grant_with_a_flipped_bit_is_not_taken)
{
    for (size_t bit = (size_t)_i;; bit += 16) {
        struct tamper tamper = {.what = MESHNODE__TRUST__ADMISSION__WHAT_GRANTED, .bit = bit};
        uint64_t link;

        world_join(world, joiner, bootstrap(), false);
        world->filter = flip_bit;
        world->filter_context = &tamper;
        link = world_connect(world, joiner, founder);
        world_settle(world);
        if (tamper.hits == 0) break;
        ck_assert_int_ne(world_state(world, joiner), ADMISSION_MEMBER);
        ck_assert_uint_eq(node(joiner)->stored_count, 0);
        world_cut(world, link);
        world_crash(world, joiner);
        world_start(world, joiner);
    }
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_uint_eq(uses_of(bootstrap()), 1); /* however often the answer was lost */
}
END_TEST

START_TEST(authority_with_a_flipped_bit_ends_no_joining_and_is_never_believed)
{
    for (size_t bit = (size_t)_i;; bit += 16) {
        struct tamper tamper = {.what = MESHNODE__TRUST__ADMISSION__WHAT_AUTHORITY, .bit = bit};
        uint64_t link;

        world_join(world, joiner, bootstrap(), false);
        world->filter = flip_bit;
        world->filter_context = &tamper;
        link = world_connect(world, joiner, founder);
        world_settle(world);
        if (tamper.hits == 0) break;
        ck_assert_int_ne(world_state(world, joiner), ADMISSION_FAILED);
        ck_assert_int_ne(world_state(world, joiner), ADMISSION_MEMBER);
        world_cut(world, link);
        world_crash(world, joiner);
        world_start(world, joiner);
    }
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

static bool record_join(struct world_message *message, void *context)
{
    struct tamper *tamper = context;

    if (kind_of(mn_buf_span(message->bytes)) == MESHNODE__TRUST__ADMISSION__WHAT_JOIN &&
        tamper->seen == NULL)
        tamper->seen = mn_buf_ref(message->bytes);
    return true;
}

static void replay(uint64_t link, struct mn_buf *bytes)
{
    struct admission_input input = {.type = ADMISSION_IN_MESSAGE};

    input.message.link = link;
    input.message.bytes = mn_buf_span(bytes);
    world_step(world, founder, &input);
    world_settle(world);
}

START_TEST(join_replayed_on_its_own_link_is_one_use_and_the_same_grant)
{
    struct tamper tamper = {.seen = NULL};
    struct mn_span before;
    uint64_t link;
    uint8_t copy[GRANT_SIZE_MAX];

    world->filter = record_join;
    world->filter_context = &tamper;
    link = join_at(joiner, founder, bootstrap());
    before = admission_grant_bytes(node(joiner)->admission);
    memcpy(copy, before.data, before.size);
    replay(link, tamper.seen);
    replay(link, tamper.seen);
    ck_assert_uint_eq(uses_of(bootstrap()), 1);
    ck_assert_uint_eq(admission_counts(node(founder)->admission).issued, 1);
    ck_assert(
        mn_span_equal(admission_grant_bytes(node(joiner)->admission), mn_span(copy, before.size)));
    mn_buf_unref(tamper.seen);
}
END_TEST

START_TEST(join_replayed_on_another_link_is_refused)
{
    struct tamper tamper = {.seen = NULL};
    unsigned thief = world_add(world, "thief");
    uint64_t link;

    world->filter = record_join;
    world->filter_context = &tamper;
    join_at(joiner, founder, bootstrap());
    world->filter = NULL;
    world_start(world, thief);
    world_join(world, thief, NULL, false);
    link = world_connect(world, thief, founder); /* another key, another handshake */
    replay(link, tamper.seen);
    ck_assert_uint_eq(node(founder)->admitted, 1);
    ck_assert_uint_ge(admission_counts(node(founder)->admission).messages_malformed, 1);

    world_crash(world, joiner);
    world_lose_disk(world, joiner);
    world_start(world, joiner);
    world->filter = drop_all; /* only the replayed bytes arrive */
    world_join(world, joiner, bootstrap(), false);
    link = world_connect(world, joiner, founder); /* the same key, another handshake */
    replay(link, tamper.seen);
    ck_assert_uint_eq(node(founder)->admitted, 1);
    mn_buf_unref(tamper.seen);
}
END_TEST

START_TEST(garbage_costs_a_link_and_a_counter)
{
    static const uint8_t garbage[ADMISSION_MESSAGE_MAX + 1] = {0xff, 0xff};
    struct admission_input input = {.type = ADMISSION_IN_MESSAGE};
    uint64_t link;

    world_join(world, joiner, NULL, false);
    world->filter = drop_all;
    for (size_t size = 1; size <= sizeof garbage; size = size * 4 + 1) {
        link = world_connect(world, joiner, founder);
        input.message.link = link;
        input.message.bytes = mn_span(garbage, size < sizeof garbage ? size : sizeof garbage);
        world_step(world, founder, &input);
        world_settle(world);
        ck_assert_ptr_null(world_find_link(world, link));
    }
    ck_assert_uint_ge(admission_counts(node(founder)->admission).messages_malformed, 8);
    ck_assert_uint_eq(admission_counts(node(founder)->admission).links, 0);
}
END_TEST

/* Hands the joiner a message as if it came over [link]. */
static void say_to_joiner(uint64_t link, Meshnode__Trust__Admission *message)
{
    struct mn_arena arena = {0};
    struct admission_input said = {.type = ADMISSION_IN_MESSAGE};

    said.message.link = link;
    said.message.bytes = pb_pack_arena(&message->base, &arena);
    world_step(world, joiner, &said);
    mn_arena_done(&arena);
}

/* A seed that has the true chain (anybody can fetch it) but no grant of that mesh for its key. */
START_TEST(seed_with_a_true_chain_and_somebody_elses_grant_is_not_believed)
{
    struct admission_input input = {.type = ADMISSION_IN_LINK_UP};
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__AuthorityChain chain = MESHNODE__TRUST__AUTHORITY_CHAIN__INIT;
    ProtobufCBinaryData document =
        pb_bytes(mn_buf_span(admission_authority(node(founder)->admission)->document));
    unsigned liar = world_add(world, "liar");

    world_join(world, joiner, bootstrap(), false);
    input.link_up = (struct admission_link){
        .link = WORLD_LINKS_MAX,
        .kind = ADMISSION_LINK_SPONSOR,
        .node_id = node(liar)->identity.node_id,
        .grant = admission_grant_bytes(node(founder)->admission),
    };
    memcpy(input.link_up.sign_pk, node(liar)->identity.key.pk, SIGN_PK_SIZE);
    world_step(world, joiner, &input);
    chain.n_documents = 1;
    chain.documents = &document;
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_AUTHORITY;
    message.authority = &chain;
    say_to_joiner(WORLD_LINKS_MAX, &message);
    ck_assert_uint_eq(admission_counts(node(joiner)->admission).chains_refused, 1);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
}
END_TEST

START_TEST(refusal_by_a_seed_that_proved_nothing_ends_nothing)
{
    Meshnode__Trust__Admission message = MESHNODE__TRUST__ADMISSION__INIT;
    Meshnode__Trust__Refused refused = MESHNODE__TRUST__REFUSED__INIT;
    uint64_t link;

    world_join(world, joiner, bootstrap(), false);
    link = world_connect(world, joiner, founder);
    refused.code = CODE(TOKEN_WITHDRAWN);
    message.what_case = MESHNODE__TRUST__ADMISSION__WHAT_REFUSED;
    message.refused = &refused;
    say_to_joiner(link, &message); /* before the chain was shown */
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    world_settle(world);
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

/* ---- crashes ---- */

START_TEST(grant_never_leaves_before_it_is_stored)
{
    node(founder)->store_is_slow = true;
    join_at(joiner, founder, bootstrap());
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    ck_assert_uint_eq(node(founder)->admitted, 0);
    world_sync(world, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(issuer_crash_between_store_and_answer_costs_one_use_in_all)
{
    char token[TOKEN_TEXT_SIZE];
    unsigned second = world_add(world, "second");

    strcpy(token, world_token(world, founder, 1, HOUR_MS, ROLE(AUTO)));
    node(founder)->store_is_slow = true;
    join_at(joiner, founder, token);
    node(founder)->durable_count = node(founder)->stored_count; /* synced, and then... */
    world_crash(world, founder);
    node(founder)->store_is_slow = false;
    world_start(world, founder);
    ck_assert_uint_eq(uses_of(token), 1);
    world_connect(world, joiner, founder);
    world_run(world, MN_MINUTE);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_uint_eq(uses_of(token), 1);
    world_start(world, second);
    join_at(second, founder, token);
    assert_refused(second, CODE(TOKEN_USED));
}
END_TEST

START_TEST(issuer_crash_before_the_store_costs_nothing)
{
    char token[TOKEN_TEXT_SIZE];

    strcpy(token, world_token(world, founder, 1, HOUR_MS, ROLE(AUTO)));
    node(founder)->store_is_slow = true;
    join_at(joiner, founder, token);
    world_crash(world, founder);
    node(founder)->store_is_slow = false;
    world_start(world, founder);
    ck_assert_uint_eq(uses_of(token), 0);
    world_connect(world, joiner, founder);
    world_run(world, MN_MINUTE);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(rolled_back_disk_does_not_reopen_a_token)
{
    char token[TOKEN_TEXT_SIZE];
    unsigned second = world_add(world, "second");
    uint32_t durable;

    strcpy(token, world_token(world, founder, 1, HOUR_MS, ROLE(AUTO)));
    node(founder)->store_is_slow = true; /* the invite is on disk, what follows will be lost */
    join_at(joiner, founder, token);
    durable = node(founder)->durable_count;
    world_sync(world, founder);
    world_settle(world);
    node(founder)->durable_count = durable;
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    world_crash(world, founder);
    node(founder)->store_is_slow = false;
    world_start(world, founder);
    ck_assert_uint_eq(uses_of(token), 0);
    world_tell(world, founder, joiner, true); /* membership shows whom it let in */
    ck_assert_uint_eq(uses_of(token), 1);
    world_start(world, second);
    join_at(second, founder, token);
    assert_refused(second, CODE(TOKEN_USED));
}
END_TEST

/* ---- restart, lost disk, clones, names ---- */

START_TEST(joiner_that_lost_its_disk_gets_its_grant_back_without_a_token)
{
    struct mn_span grant;
    uint8_t copy[GRANT_SIZE_MAX];

    join_at(joiner, founder, bootstrap());
    grant = admission_grant_bytes(node(joiner)->admission);
    memcpy(copy, grant.data, grant.size);
    world_lose_disk(world, joiner);
    world_start(world, joiner);
    world_join(world, joiner, NULL, true);
    ck_assert_int_eq(admission_hello(node(joiner)->admission), ADMISSION_HELLO_RENEW);
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert(
        mn_span_equal(admission_grant_bytes(node(joiner)->admission), mn_span(copy, grant.size)));
    ck_assert_uint_eq(uses_of(bootstrap()), 1);
}
END_TEST

START_TEST(joiner_that_lost_its_disk_may_show_its_used_up_token_again)
{
    const char *token = world_token(world, founder, 1, HOUR_MS, ROLE(AUTO));

    join_at(joiner, founder, token);
    world_lose_disk(world, joiner);
    world_start(world, joiner);
    join_at(joiner, founder, token);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_uint_eq(uses_of(token), 1);
}
END_TEST

START_TEST(founder_that_lost_its_disk_comes_back_as_issuer)
{
    mn_id mesh = admission_mesh_id(node(founder)->admission), after;

    join_at(joiner, founder, bootstrap());
    world_lose_disk(world, founder);
    world_start(world, founder);
    world_join(world, founder, NULL, true);
    world_connect(world, founder, joiner);
    world_settle(world);
    after = admission_mesh_id(node(founder)->admission);
    ck_assert_int_eq(world_state(world, founder), ADMISSION_MEMBER);
    ck_assert(mn_id_equal(&mesh, &after));
    ck_assert(admission_is_issuer(node(founder)->admission));
}
END_TEST

START_TEST(stranger_with_a_known_looking_key_is_denied)
{
    world_join(world, joiner, NULL, true); /* says renew, but the mesh has never seen it */
    world_connect(world, joiner, founder);
    world_settle(world);
    assert_refused(joiner, CODE(DENIED));
}
END_TEST

START_TEST(second_holder_of_a_live_identity_is_sent_away)
{
    struct admission_input input = {.type = ADMISSION_IN_REFUSE};
    char token[TOKEN_TEXT_SIZE];

    strcpy(token, bootstrap());
    world_join(world, joiner, token, false);
    input.refuse.link = world_connect(world, joiner, founder);
    input.refuse.code = CODE(IDENTITY_IN_USE);
    world_step(world, founder, &input);
    world_settle(world);
    assert_refused(joiner, CODE(IDENTITY_IN_USE));
}
END_TEST

START_TEST(member_is_sent_away_as_a_clone_only_when_nobody_else_knows_it)
{
    unsigned other = member("other");
    struct admission_input input = {.type = ADMISSION_IN_REFUSE};
    uint64_t to_other;

    join_at(joiner, founder, bootstrap());
    to_other = world_connect(world, joiner, other);
    world_settle(world);
    input.refuse = (__typeof__(input.refuse)){to_other, CODE(IDENTITY_IN_USE)};
    world_step(world, other, &input); /* one member says so; the founder does not */
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);

    world_crash(world, joiner);
    world_start(world, joiner);
    input.refuse.link = world_connect(world, joiner, founder);
    world_step(world, founder, &input);
    world_settle(world);
    assert_refused(joiner, CODE(IDENTITY_IN_USE));
}
END_TEST

START_TEST(name_of_a_live_member_is_taken_for_30_seconds_and_then_for_good)
{
    unsigned twin = world_add(world, "joiner");

    join_at(joiner, founder, bootstrap());
    world_tell(world, founder, joiner, true);
    world_start(world, twin);
    join_at(twin, founder, bootstrap());
    ck_assert_int_eq(world_state(world, twin), ADMISSION_JOINING);
    ck_assert_int_eq(admission_last_code(node(twin)->admission), CODE(NAME_TAKEN));
    world_run(world, 70 * MN_SEC);
    assert_refused(twin, CODE(NAME_TAKEN));
}
END_TEST

START_TEST(name_of_a_dead_member_moves_to_a_new_key)
{
    unsigned twin = world_add(world, "joiner");

    join_at(joiner, founder, bootstrap());
    world_tell(world, founder, joiner, true);
    world_start(world, twin);
    join_at(twin, founder, bootstrap());
    world_tell(world, founder, joiner, false);
    world_run(world, 20 * MN_SEC);
    ck_assert_int_eq(world_state(world, twin), ADMISSION_MEMBER);
    ck_assert_uint_eq(uses_of(bootstrap()), 2);
}
END_TEST

START_TEST(two_racing_for_one_name_are_told_apart_before_membership_knows)
{
    unsigned twin = world_add(world, "joiner");

    world_start(world, twin);
    join_at(joiner, founder, bootstrap());
    join_at(twin, founder, bootstrap());
    ck_assert_int_eq(admission_last_code(node(twin)->admission), CODE(NAME_TAKEN));
}
END_TEST

START_TEST(token_of_another_mesh_stops_a_node_that_has_one)
{
    unsigned other = world_add(world, "other");

    world_start(world, other);
    world_found(world, other, NULL);
    join_at(joiner, founder, bootstrap());
    world_crash(world, joiner);
    world_start(world, joiner);
    world_join(world, joiner, bootstrap(), true); /* its own: ignored */
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    world_join(world, joiner, node(other)->join_token, true);
    assert_refused(joiner, CODE(MESH_MISMATCH));
}
END_TEST

/* ---- dev meshes ---- */

START_TEST(dev_mesh_admits_whoever_asks_but_no_real_node)
{
    unsigned dev = world_add(world, "dev"), guest = world_add(world, "guest");

    node(dev)->dev = node(guest)->dev = true;
    world_start(world, dev);
    world_start(world, guest);
    world_found(world, dev, NULL);
    join_at(guest, dev, NULL);
    ck_assert_int_eq(world_state(world, guest), ADMISSION_MEMBER);
    ck_assert_int_eq(admission_grant(node(guest)->admission)->via, MESHNODE__TRUST__VIA__VIA_DEV);
    join_at(joiner, dev, NULL);
    assert_refused(joiner, CODE(DEV_MISMATCH));
}
END_TEST

START_TEST(dev_node_is_refused_by_a_real_mesh_and_its_data_stays_dev)
{
    unsigned dev = world_add(world, "dev");

    node(dev)->dev = true;
    world_start(world, dev);
    join_at(dev, founder, bootstrap());
    assert_refused(dev, CODE(DEV_MISMATCH));

    world_crash(world, founder);
    node(founder)->dev = true; /* the same data dir, started the other way */
    world_start(world, founder);
    assert_refused(founder, CODE(DEV_MISMATCH));
}
END_TEST

/* ---- renewal, expiry, clocks ---- */

START_TEST(member_renews_from_half_life_without_losing_its_link)
{
    mn_id serial;
    uint64_t link = join_at(joiner, founder, bootstrap());

    serial = admission_grant(node(joiner)->admission)->serial;
    world_run(world, 14 * MN_DAY);
    ck_assert(mn_id_equal(&serial, &admission_grant(node(joiner)->admission)->serial));
    world_run(world, 6 * MN_DAY);
    ck_assert(!mn_id_equal(&serial, &admission_grant(node(joiner)->admission)->serial));
    ck_assert_int_eq(admission_grant(node(joiner)->admission)->via,
                     MESHNODE__TRUST__VIA__VIA_RENEW);
    ck_assert_uint_eq(node(joiner)->renewed, 1);
    ck_assert_uint_eq(node(founder)->renewed, 1); /* an issuer renews its own */
    ck_assert_ptr_nonnull(world_find_link(world, link));
}
END_TEST

START_TEST(member_renews_through_any_member)
{
    unsigned middle = member("middle");
    mn_id serial;

    join_at(joiner, founder, bootstrap());
    world_crash(world, joiner);
    world_start(world, joiner);
    serial = admission_grant(node(joiner)->admission)->serial;
    world_connect(world, middle, founder);
    world_connect(world, joiner, middle);
    world_run(world, 20 * MN_DAY);
    ck_assert(!mn_id_equal(&serial, &admission_grant(node(joiner)->admission)->serial));
}
END_TEST

START_TEST(member_renewed_keeps_its_token_and_counts_once)
{
    char token[TOKEN_TEXT_SIZE];

    strcpy(token, world_token(world, founder, 2, 29 * DAY_MS, ROLE(AUTO)));
    join_at(joiner, founder, token);
    world_run(world, 20 * MN_DAY);
    ck_assert_uint_eq(node(joiner)->renewed, 1);
    ck_assert_uint_eq(uses_of(token), 1);
}
END_TEST

START_TEST(member_whose_grant_ended_comes_back_as_a_guest)
{
    join_at(joiner, founder, bootstrap());
    world_crash(world, joiner);
    world_run(world, 40 * MN_DAY);
    world_start(world, joiner);
    ck_assert_int_eq(admission_hello(node(joiner)->admission), ADMISSION_HELLO_RENEW);
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
    ck_assert_int_eq(admission_check_peer(node(founder)->admission, world->now,
                                          admission_grant_bytes(node(joiner)->admission),
                                          node(joiner)->identity.key.pk, &(struct grant){0}),
                     MN_OK);
}
END_TEST

START_TEST(member_away_for_longer_than_renewal_lasts_is_a_stranger)
{
    join_at(joiner, founder, bootstrap());
    world_crash(world, joiner);
    world_run(world, 100 * MN_DAY);
    world_start(world, joiner);
    world_connect(world, joiner, founder);
    world_settle(world);
    assert_refused(joiner, CODE(DENIED));
}
END_TEST

START_TEST(issuer_away_past_its_own_end_renews_itself)
{
    world_crash(world, founder);
    world_run(world, 40 * MN_DAY);
    world_start(world, founder);
    ck_assert_int_eq(world_state(world, founder), ADMISSION_MEMBER);
    ck_assert_uint_eq(node(founder)->renewed, 1);
}
END_TEST

START_TEST(joiner_with_a_wrong_clock_believes_no_seed)
{
    node(joiner)->clock_ms = (int64_t)(40 * DAY_MS);
    join_at(joiner, founder, bootstrap());
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_JOINING);
    ck_assert_uint_eq(admission_counts(node(joiner)->admission).chains_refused, 1);
    node(joiner)->clock_ms = 0;
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_int_eq(world_state(world, joiner), ADMISSION_MEMBER);
}
END_TEST

START_TEST(peer_is_checked_for_key_and_time)
{
    struct grant grant;
    struct mn_span bytes;
    struct mn_now later = world->now;

    join_at(joiner, founder, bootstrap());
    bytes = admission_grant_bytes(node(joiner)->admission);
    ck_assert_int_eq(admission_check_peer(node(founder)->admission, world->now, bytes,
                                          node(joiner)->identity.key.pk, &grant),
                     MN_OK);
    ck_assert_str_eq(grant.name, "joiner");
    ck_assert_int_eq(admission_check_peer(node(founder)->admission, world->now, bytes,
                                          node(founder)->identity.key.pk, &grant),
                     MN_DENIED);
    later.wall += 31 * MN_DAY;
    ck_assert_int_eq(admission_check_peer(node(founder)->admission, later, bytes,
                                          node(joiner)->identity.key.pk, &grant),
                     MN_EXPIRED);
}
END_TEST

/* ---- tokens as administered ---- */

START_TEST(tokens_are_listed_oldest_first_with_their_uses)
{
    world_run(world, MN_SEC);
    world_token(world, founder, 3, HOUR_MS, ROLE(EDGE));
    world_run(world, MN_SEC);
    join_at(joiner, founder, world_token(world, founder, 0, DAY_MS, ROLE(AUTO)));
    world_step(world, founder,
               &(struct admission_input){.type = ADMISSION_IN_TOKEN_LIST, .token_list = {1}});
    ck_assert_uint_eq(node(founder)->rows_count, 3);
    ck_assert_uint_eq(node(founder)->rows[0].uses, 32); /* bootstrap */
    ck_assert_uint_eq(node(founder)->rows[1].uses, 3);
    ck_assert_int_eq(node(founder)->rows[1].role_max, ROLE(EDGE));
    ck_assert_uint_eq(node(founder)->rows[2].uses, 0);
    ck_assert_uint_eq(node(founder)->rows[2].used, 1);
}
END_TEST

START_TEST(tokens_are_made_by_issuers_only_and_within_bounds)
{
    join_at(joiner, founder, bootstrap());
    world_token(world, joiner, 1, HOUR_MS, ROLE(AUTO));
    ck_assert_int_eq(node(joiner)->token_status, MN_DENIED);
    world_token(world, founder, INVITE_USES_MAX + 1, HOUR_MS, ROLE(AUTO));
    ck_assert_int_eq(node(founder)->token_status, MN_CONFIG);
    world_token(world, founder, 1, INVITE_TTL_MAX_MS + 1, ROLE(AUTO));
    ck_assert_int_eq(node(founder)->token_status, MN_CONFIG);
    world_token(world, founder, 1, 0, ROLE(AUTO));
    ck_assert_int_eq(node(founder)->token_status, MN_CONFIG);
}
END_TEST

START_TEST(tokens_are_withdrawn_by_an_unambiguous_beginning)
{
    struct admission_input input = {.type = ADMISSION_IN_TOKEN_WITHDRAW};

    input.token_withdraw.id = mn_span_str("abc");
    world_step(world, founder, &input);
    ck_assert_int_eq(node(founder)->token_status, MN_CONFIG);
    input.token_withdraw.id = mn_span_str("zzzz");
    world_step(world, founder, &input);
    ck_assert_int_eq(node(founder)->token_status, MN_NOT_FOUND);
}
END_TEST

START_TEST(token_may_fix_the_name)
{
    struct admission_input input = {.type = ADMISSION_IN_TOKEN_CREATE};

    input.token_create.uses = 1;
    input.token_create.ttl_ms = HOUR_MS;
    input.token_create.name = mn_span_str("given");
    input.token_create.region = mn_span_str("eu");
    world_step(world, founder, &input);
    join_at(joiner, founder, node(founder)->token);
    ck_assert_str_eq(admission_grant(node(joiner)->admission)->name, "given");
    ck_assert_str_eq(admission_grant(node(joiner)->admission)->region, "eu");
}
END_TEST

/* ---- the authority moves on ---- */

START_TEST(member_pulls_a_newer_authority_from_whom_it_meets)
{
    struct sign_key second;
    uint8_t seed[SIGN_SEED_SIZE] = {3};
    const struct authority *first;
    struct authority next;
    const struct sign_key *signer = &node(founder)->identity.key;
    struct mn_buf *body, *document;
    uint32_t stored;

    join_at(joiner, founder, bootstrap());
    world_crash(world, joiner);
    first = admission_authority(node(founder)->admission);
    sign_key_init(&second, seed);
    next = *first;
    next.version = 2;
    next.created_ms++;
    memcpy(next.prev, first->hash, AUTHORITY_HASH_SIZE);
    body = authority_body(&next);
    document = authority_sign(&next.mesh_id, mn_buf_span(body), &signer, 1);

    stored = node(founder)->stored_count; /* as an offline command would leave it */
    node(founder)->store[stored].key = mn_buf_copy(mn_span_str("authority/0000000000000002"));
    node(founder)->store[stored].value = document;
    node(founder)->stored_count = node(founder)->durable_count = stored + 1;
    mn_buf_unref(body);
    world_crash(world, founder);
    world_start(world, founder);
    ck_assert_uint_eq(admission_authority(node(founder)->admission)->version, 2);

    world_start(world, joiner);
    world_connect(world, joiner, founder);
    world_settle(world);
    ck_assert_uint_eq(admission_authority(node(joiner)->admission)->version, 2);
    ck_assert_uint_eq(node(joiner)->renewed, 1);
    world_crash(world, joiner);
    world_start(world, joiner);
    ck_assert_uint_eq(admission_authority(node(joiner)->admission)->version, 2);
}
END_TEST

START_TEST(codes_have_names_and_finality)
{
    ck_assert_str_eq(admission_code_name(CODE(TOKEN_USED)), "token_used");
    ck_assert_str_eq(admission_code_name((admission_code)99), "unknown");
    ck_assert(admission_code_is_final(CODE(DENIED)));
    ck_assert(!admission_code_is_final(CODE(NAME_TAKEN)));
    ck_assert(!admission_code_is_final((admission_code)99));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admission");
    TCase *tcase = tcase_create("admission");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, founder_is_member_and_issuer_with_root_key_and_token_handed_out);
    tcase_add_test(tcase, founder_resumes_from_its_store);
    tcase_add_test(tcase, founding_twice_is_refused);
    tcase_add_test(tcase, join_token_file_goes_when_the_token_ends);
    tcase_add_test(tcase, joiner_with_a_token_is_in_at_once);
    tcase_add_test(tcase, joiner_resumes_from_its_store_without_a_token);
    tcase_add_test(tcase, joiner_is_carried_to_the_issuer_by_any_member);
    tcase_add_test(tcase, joiner_waits_for_the_issuer_and_gets_in_when_it_is_back);
    tcase_add_test(tcase, joiner_is_told_when_the_issuer_does_not_answer);
    tcase_add_test(tcase, joiner_uses_another_seed_when_one_dies_halfway);
    tcase_add_test(tcase, joiner_drops_a_seed_that_says_nothing);
    tcase_add_test(tcase, joiner_with_several_seeds_uses_one_and_leaves_the_others);
    tcase_add_test(tcase, joiner_without_a_token_is_denied);
    tcase_add_test(tcase, joiner_with_a_token_learns_it_later_members_can_sponsor);
    tcase_add_test(tcase, token_past_its_time_is_refused);
    tcase_add_test(tcase, token_forgotten_after_its_end_is_unknown);
    tcase_add_test(tcase, token_used_up_is_refused);
    tcase_add_test(tcase, token_withdrawn_is_refused_also_after_a_restart);
    tcase_add_test(tcase, token_of_another_mesh_ends_in_mesh_mismatch);
    tcase_add_test(tcase, seed_of_another_mesh_does_not_keep_the_joiner_out);
    tcase_add_test(tcase, token_mistyped_is_refused_without_asking_anybody);
    tcase_add_test(tcase, token_with_the_right_pin_but_an_unknown_secret_is_unknown);
    tcase_add_test(tcase, token_allows_no_role_above_its_own);
    tcase_add_test(tcase, token_for_32_admits_32_of_33_through_five_sponsors);
    tcase_add_test(tcase, token_made_before_the_mesh_vouches_for_it);
    tcase_add_test(tcase, token_made_before_the_mesh_is_worth_nothing_where_it_was_not_registered);
    tcase_add_test(tcase, token_of_an_existing_mesh_cannot_found_another);
    tcase_add_loop_test(tcase, join_with_a_flipped_bit_admits_nobody, 0, 16);
    tcase_add_loop_test(tcase, grant_with_a_flipped_bit_is_not_taken, 0, 16);
    tcase_add_loop_test(tcase, authority_with_a_flipped_bit_ends_no_joining_and_is_never_believed,
                        0, 16);
    tcase_add_test(tcase, join_replayed_on_its_own_link_is_one_use_and_the_same_grant);
    tcase_add_test(tcase, join_replayed_on_another_link_is_refused);
    tcase_add_test(tcase, garbage_costs_a_link_and_a_counter);
    tcase_add_test(tcase, seed_with_a_true_chain_and_somebody_elses_grant_is_not_believed);
    tcase_add_test(tcase, refusal_by_a_seed_that_proved_nothing_ends_nothing);
    tcase_add_test(tcase, grant_never_leaves_before_it_is_stored);
    tcase_add_test(tcase, issuer_crash_between_store_and_answer_costs_one_use_in_all);
    tcase_add_test(tcase, issuer_crash_before_the_store_costs_nothing);
    tcase_add_test(tcase, rolled_back_disk_does_not_reopen_a_token);
    tcase_add_test(tcase, joiner_that_lost_its_disk_gets_its_grant_back_without_a_token);
    tcase_add_test(tcase, joiner_that_lost_its_disk_may_show_its_used_up_token_again);
    tcase_add_test(tcase, founder_that_lost_its_disk_comes_back_as_issuer);
    tcase_add_test(tcase, stranger_with_a_known_looking_key_is_denied);
    tcase_add_test(tcase, second_holder_of_a_live_identity_is_sent_away);
    tcase_add_test(tcase, member_is_sent_away_as_a_clone_only_when_nobody_else_knows_it);
    tcase_add_test(tcase, name_of_a_live_member_is_taken_for_30_seconds_and_then_for_good);
    tcase_add_test(tcase, name_of_a_dead_member_moves_to_a_new_key);
    tcase_add_test(tcase, two_racing_for_one_name_are_told_apart_before_membership_knows);
    tcase_add_test(tcase, token_of_another_mesh_stops_a_node_that_has_one);
    tcase_add_test(tcase, dev_mesh_admits_whoever_asks_but_no_real_node);
    tcase_add_test(tcase, dev_node_is_refused_by_a_real_mesh_and_its_data_stays_dev);
    tcase_add_test(tcase, member_renews_from_half_life_without_losing_its_link);
    tcase_add_test(tcase, member_renews_through_any_member);
    tcase_add_test(tcase, member_renewed_keeps_its_token_and_counts_once);
    tcase_add_test(tcase, member_whose_grant_ended_comes_back_as_a_guest);
    tcase_add_test(tcase, member_away_for_longer_than_renewal_lasts_is_a_stranger);
    tcase_add_test(tcase, issuer_away_past_its_own_end_renews_itself);
    tcase_add_test(tcase, joiner_with_a_wrong_clock_believes_no_seed);
    tcase_add_test(tcase, peer_is_checked_for_key_and_time);
    tcase_add_test(tcase, tokens_are_listed_oldest_first_with_their_uses);
    tcase_add_test(tcase, tokens_are_made_by_issuers_only_and_within_bounds);
    tcase_add_test(tcase, tokens_are_withdrawn_by_an_unambiguous_beginning);
    tcase_add_test(tcase, token_may_fix_the_name);
    tcase_add_test(tcase, member_pulls_a_newer_authority_from_whom_it_meets);
    tcase_add_test(tcase, codes_have_names_and_finality);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
