/* meshctl: what the process gives it, and how it ends. */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/ctl/ctl.h"

static const char *from_environment(const char *name)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

int main(int argc, char **argv)
{
    struct ctl ctl = {.out = stdout, .err = stderr};
    const char *terminal = from_environment("TERM");
    char config_home[4096];
    int status;

    ctl.is_terminal = isatty(STDOUT_FILENO) == 1;
    ctl.has_colour = ctl.is_terminal && from_environment("NO_COLOR") == NULL && terminal != NULL &&
                     strcmp(terminal, "dumb") != 0;
    ctl.server = from_environment("MESHCTL_SERVER");
    ctl.token_file = from_environment("MESHCTL_TOKEN_FILE");
    ctl.data = from_environment("MESHNODE_NODE_DATA");
    ctl.context = from_environment("MESHCTL_CONTEXT");
    ctl.config_home = from_environment("XDG_CONFIG_HOME");
    if (ctl.config_home == NULL && from_environment("HOME") != NULL) {
        snprintf(config_home, sizeof config_home, "%s/.config", getenv("HOME"));
        ctl.config_home = config_home;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    status = ctl_main(&ctl, argc, argv);
    curl_global_cleanup();
    if (fflush(stdout) != 0 && status == CTL_OK) {
        fprintf(stderr, "meshctl: the output cannot be written\n  try: is the disk full?\n");
        status = CTL_FAILED;
    }
    return status;
}
