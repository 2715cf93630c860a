#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H
/*
 * What every test program of check does at its end. CK_RUN_CASE, CK_VERBOSITY and CK_FORK choose
 * one case, more words, or one process for a debugger, as check's own manual says.
 */
#include <check.h>
#include <stdlib.h>

/* Runs the suite, which it takes, and says how it went as main's exit code. */
static inline int suite_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
