/* meshctl. */
#include <curl/curl.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/ctl/ctl.h"

int main(int argc, char **argv)
{
    struct ctl ctl = {.timeout_ms = 30000};
    int status;

    ctl.has_colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
    ctl.server = getenv("MESHCTL_SERVER");
    ctl.parser = json_parser_new();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    status = ctl_parse(&ctl, argc, argv);
    if (status == CTL_OK) status = ctl.command->run(&ctl);
    curl_global_cleanup();
    json_parser_free(ctl.parser);
    mn_arena_done(&ctl.arena);
    return status;
}
