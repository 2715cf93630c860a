/* Contexts: where a node is, and with which token, under a name. One file each,
 * $XDG_CONFIG_HOME/meshctl/NAME.json: {"server": "https://...", "token_file": "/path"}. The token
 * itself never stands there, and a relative path is looked up beside it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/ctl/ctl.h"

#define CONTEXT_SIZE_MAX 4096

static bool is_name(const char *name)
{
    return *name != '\0' && *name != '.' && strchr(name, '/') == NULL;
}

static int context_read(struct ctl *ctl, const char *path, const struct json **ret)
{
    char text[CONTEXT_SIZE_MAX];
    FILE *file = fopen(path, "re");
    size_t size;

    if (file == NULL)
        return ctl_error(ctl, CTL_USAGE, "usage",
                         "write {\"server\": \"https://HOST\", \"token_file\": \"/path\"} into it",
                         "--context %s: %s: %s", ctl->context, path, strerror(errno));
    size = fread(text, 1, sizeof text, file);
    fclose(file);
    *ret = size < sizeof text ? ctl_parse_json(ctl, mn_span(text, size)) : NULL;
    if (json_is(*ret, JSON_OBJECT)) return CTL_OK;
    return ctl_error(ctl, CTL_USAGE, "usage",
                     "write {\"server\": \"https://HOST\", \"token_file\": \"/path\"} into it",
                     "--context %s: %s is no JSON object", ctl->context, path);
}

int ctl_context_load(struct ctl *ctl)
{
    const char *directory, *path, *server, *token_file;
    const struct json *root = NULL;
    int status;

    if (ctl->context == NULL) return CTL_OK;
    if (!is_name(ctl->context) || ctl->config_home == NULL)
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl --context NAME ...",
                         "--context %s: not a name, or there is no home directory", ctl->context);
    directory = mn_arena_format(&ctl->arena, "%s/meshctl", ctl->config_home);
    path = mn_arena_format(&ctl->arena, "%s/%s.json", directory, ctl->context);
    status = context_read(ctl, path, &root);
    if (status != CTL_OK) return status;
    server = ctl_show(ctl, root, "server");
    token_file = ctl_show(ctl, root, "token_file");
    if (strncmp(server, "http://", 7) != 0 && strncmp(server, "https://", 8) != 0)
        return ctl_error(ctl, CTL_USAGE, "usage", "\"server\": \"https://HOST\"",
                         "--context %s: %s names no server", ctl->context, path);
    if (ctl->server == NULL) ctl->server = mn_arena_format(&ctl->texts, "%s", server);
    if (ctl->token_file == NULL && *token_file != '\0')
        ctl->token_file = *token_file == '/'
                              ? mn_arena_format(&ctl->texts, "%s", token_file)
                              : mn_arena_format(&ctl->texts, "%s/%s", directory, token_file);
    return CTL_OK;
}
