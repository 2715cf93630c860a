/* check.h: assertions that stay on in release, and marks the simulator must sometimes reach.
 *
 * MN_ASSERT is for what only our own mistake can break; bytes from outside are input, and are
 * checked, counted and refused. A failed assertion stops the process: a stopped node is a fault the
 * mesh is built for, a lying one is not. */
#ifndef MN_CHECK_H
#define MN_CHECK_H

#include <stdint.h>

_Noreturn void mn_assert_failed(const char *condition, const char *file, int line);

#define MN_ASSERT(condition)                                                                     \
    do {                                                                                         \
        if (__builtin_expect(!(condition), 0)) mn_assert_failed(#condition, __FILE__, __LINE__); \
    } while (0)

/* MN_PROBE("raft: vote refused, already voted"): a state that some seed must reach. A probe that no
 * seed hits is a hole in the fault plan. It costs one increment; nothing ever decides on it. */
struct mn_probe {
    const char *text, *file;
    uint64_t hits;
};

#define MN_PROBE(probe_text)                                                                     \
    do {                                                                                         \
        static struct mn_probe probe_ = {probe_text, __FILE__, 0};                               \
        static struct mn_probe *const probe_entry_ __attribute__((used, section("mn_probes"))) = \
            &probe_;                                                                             \
        __atomic_fetch_add(&probe_.hits, 1, __ATOMIC_RELAXED);                                   \
    } while (0)

#endif
