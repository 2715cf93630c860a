/* upstream_checks.h: what the tests of one kind of server have in common: a world, and what is said
 * of it. For one test program each. */
#ifndef UPSTREAM_CHECKS_H
#define UPSTREAM_CHECKS_H

#include <check.h>
#include <string.h>

#include "tests/mcp/upstream_world.h"

static struct world w;

static inline void setup(void)
{
    world_init(&w);
}

static inline void teardown(void)
{
    world_done(&w);
}

static inline void assert_has(const char *text, const char *part)
{
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" has no \"%s\"", text, part);
}

static inline void assert_state(const char *name, enum upstream_state state)
{
    ck_assert_str_eq(upstream_state_name(world_info(&w, name).state), upstream_state_name(state));
}

#endif
