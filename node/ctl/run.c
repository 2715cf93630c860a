/* One invocation, from its command line to its exit code. */
#include <string.h>

#include "node/ctl/ctl.h"

#define NAGIOS_UNKNOWN 3

static bool is_check(const struct ctl *ctl)
{
    return ctl->command != NULL && strcmp(ctl->command->words, "check") == 0;
}

int ctl_main(struct ctl *ctl, int argc, char **argv)
{
    bool is_done = false;
    int status;

    ctl->timeout_ms = CTL_TIMEOUT_DEFAULT;
    ctl->parser = json_parser_new();
    status = ctl_parse(ctl, argc, argv, &is_done);
    if (status != CTL_OK && is_check(ctl)) status = NAGIOS_UNKNOWN; /* 2 would be CRITICAL */
    if (status == CTL_OK && !is_done) status = ctl->command->run(ctl);
    ctl_http_done(ctl);
    json_parser_free(ctl->parser);
    mn_arena_done(&ctl->arena);
    mn_arena_done(&ctl->texts);
    return status;
}
