/* run.h: `meshnode run`: one node in the real world, from its options to its exit code. */
#ifndef IO_RUN_H
#define IO_RUN_H

#include "node/io/options.h"

/* Exit codes; 0 is a clean stop. */
enum run_exit {
    RUN_FATAL = 1,
    RUN_USAGE = 2,
    RUN_UNAVAILABLE = 69, /* port or store */
    RUN_NOT_JOINED = 75,  /* with mesh.join_required */
    RUN_REFUSED = 77,     /* identity or permission */
    RUN_CONFIG = 78
};

/* Serves until it is told to stop. [options] were loaded and checked; [config_path] is the file
 * they came from (NULL: the default one), read again for a reload. */
int run(const struct options *options, const char *config_path);

#endif
