/* admission_fixture.h: a mesh of a founder and a node that wants in, for the tests of admission. */
#ifndef TESTS_MESH_ADMISSION_FIXTURE_H
#define TESTS_MESH_ADMISSION_FIXTURE_H

#include "proto/pb.h"
#include "tests/mesh/admission_world.h"

#define CODE(name) MESHNODE__TRUST__CODE__CODE_##name
#define ROLE(name) MESHNODE__TRUST__ROLE__ROLE_##name
#define HOUR_MS ((uint64_t)3600 * 1000)
#define DAY_MS (24 * HOUR_MS)

static struct world *world;
static unsigned founder, joiner;

static inline void setup(void)
{
    world = world_new();
    founder = world_add(world, "founder");
    joiner = world_add(world, "joiner");
    world_start(world, founder);
    world_start(world, joiner);
    world_found(world, founder, NULL);
}

static inline void teardown(void)
{
    world_free(world);
}

static inline struct world_node *node(unsigned number)
{
    return &world->nodes[number];
}

/* Lets a node join with [token] over a new link to [sponsor]; the link. */
static inline uint64_t join_at(unsigned number, unsigned sponsor, const char *token)
{
    uint64_t link;

    world_join(world, number, token, false);
    link = world_connect(world, number, sponsor);
    world_settle(world);
    return link;
}

static inline const char *bootstrap(void)
{
    return node(founder)->join_token;
}

/* A started node that joined by the bootstrap token at the founder. */
static inline unsigned member(const char *name)
{
    unsigned number = world_add(world, name);

    world_start(world, number);
    join_at(number, founder, bootstrap());
    ck_assert_int_eq(world_state(world, number), ADMISSION_MEMBER);
    world_tell(world, founder, number, true);
    return number;
}

static inline void assert_refused(unsigned number, admission_code code)
{
    ck_assert_str_eq(admission_code_name(node(number)->failed), admission_code_name(code));
    ck_assert_int_eq(world_state(world, number), ADMISSION_FAILED);
    ck_assert_uint_eq(admission_deadline(node(number)->admission), MN_TIME_NEVER);
}

static inline uint32_t uses_of(const char *token)
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

/* A filter under which nothing arrives. */
static inline bool drop_all(struct world_message *message, void *context)
{
    (void)message;
    (void)context;
    return false;
}

/* One under which the founder hears nothing. */
static inline bool drop_forwards_to_founder(struct world_message *message, void *context)
{
    (void)context;
    return message->to != founder;
}

/* What main() returns. */
static inline int run_tests(Suite *suite, TCase *tcase)
{
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
