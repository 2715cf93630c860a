/* token: who may join, and who may use the API. A token's text is shown when it is made, and never
 * again. */
#include <string.h>

#include "node/ctl/ctl.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define TTL_DEFAULT 3600000 /* ms */
#define TTL_DEFAULT_API ((uint64_t)30 * 86400000)
#define USES_MAX 1000

static const struct ctl_column token_columns[] = {
    {"ID", "id", CTL_AS_TEXT, false},
    {"TYPE", "type", CTL_AS_TEXT, false},
    {"ROLE", "role", CTL_AS_TEXT, false},
    {"USES", "uses", CTL_AS_TEXT, false},
    {"USED", "used", CTL_AS_TEXT, false},
    {"EXPIRES", "expires", CTL_AS_TIME, false},
    {"WITHDRAWN", "withdrawn", CTL_AS_BOOL, false},
    {"CREATED", "created", CTL_AS_TIME, true},
};

static int ls_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/tokens", &root);

    return status == CTL_OK ? ctl_print_list(ctl, root, token_columns, COUNT(token_columns))
                            : status;
}

int ctl_token_ls(struct ctl *ctl)
{
    return ctl_watch(ctl, ls_once);
}

/* Roles of API tokens; all others join. */
static bool is_api_role(const char *role)
{
    static const char *const roles[] = {"admin", "operator", "viewer", "client"};

    for (size_t i = 0; i < COUNT(roles); i++)
        if (role != NULL && strcmp(role, roles[i]) == 0) return true;
    return false;
}

/* The body of the request, or NULL: told. */
static struct mn_buf *token_json(struct ctl *ctl)
{
    const char *uses_text = ctl_value(ctl, "--uses"), *ttl_text = ctl_value(ctl, "--ttl");
    const char *role = ctl_value(ctl, "--role");
    uint64_t uses = 1, ttl = TTL_DEFAULT;
    struct mn_writer writer = {0};

    if (ttl_text != NULL && !ctl_parse_duration(ttl_text, &ttl)) {
        (void)ctl_error(ctl, CTL_USAGE, "usage", "meshctl token create --ttl 2h",
                        "--ttl %s: not a time such as 30m, 2h or 7d", ttl_text);
        return NULL;
    }
    if (uses_text != NULL && !ctl_parse_number(uses_text, 0, USES_MAX, &uses)) {
        (void)ctl_error(ctl, CTL_USAGE, "usage", "meshctl token create --uses 5",
                        "--uses %s: a number from 0 (any) to %d", uses_text, USES_MAX);
        return NULL;
    }
    if (is_api_role(role) && uses_text != NULL) {
        (void)ctl_error(ctl, CTL_USAGE, "usage", "meshctl token create --role viewer --ttl 30d",
                        "--uses counts nodes that join: an API token (--role %s) has none", role);
        return NULL;
    }
    if (is_api_role(role) && ttl_text == NULL) ttl = TTL_DEFAULT_API;
    mn_writer_format(&writer, "{\"ttl_ms\":%llu", (unsigned long long)ttl);
    if (!is_api_role(role)) mn_writer_format(&writer, ",\"uses\":%llu", (unsigned long long)uses);
    if (role != NULL) {
        mn_writer_str(&writer, ",\"role\":");
        json_write_string(&writer, mn_span_str(role));
    }
    mn_writer_str(&writer, "}");
    return mn_writer_done(&writer);
}

static int token_print(struct ctl *ctl, const struct json *root)
{
    long long uses = (long long)ctl_number(root, "uses");

    if (ctl_wants_json(ctl)) return ctl_print_object(ctl, root);
    fprintf(ctl->out, "%s\n", ctl_show(ctl, root, "token"));
    if (ctl->is_quiet) return CTL_OK;
    if (is_api_role(ctl_show(ctl, root, "role"))) {
        fprintf(ctl->err,
                "an API token of the role %s until %s; keep it secret, it is not shown again\n"
                "with the token in FILE: meshctl --server http://HOST:7080 --token-file FILE\n",
                ctl_show(ctl, root, "role"), ctl_show(ctl, root, "expires"));
        return CTL_OK;
    }
    fprintf(ctl->err, "good for %s until %s; keep it secret, it is not shown again\n",
            uses == 0   ? "any number of nodes"
            : uses == 1 ? "one node"
                        : mn_arena_format(&ctl->arena, "%lld nodes", uses),
            ctl_show(ctl, root, "expires"));
    fprintf(ctl->err,
            "on the new host, with the token in FILE: meshnode --join HOST:7000 --token @FILE\n");
    return CTL_OK;
}

int ctl_token_create(struct ctl *ctl)
{
    struct mn_buf *body = token_json(ctl);
    const struct json *root;
    int status;

    if (body == NULL) return CTL_USAGE;
    status = ctl_do(ctl, "POST", "/v1/tokens", mn_buf_span(body), &root);
    mn_buf_unref(body);
    return status == CTL_OK ? token_print(ctl, root) : status;
}

int ctl_token_revoke(struct ctl *ctl)
{
    bool with_nodes = ctl_value(ctl, "--nodes") != NULL;
    const char *path = ctl_path(ctl, "/v1/tokens/", ctl->args[0], with_nodes ? "?nodes=true" : "");
    const struct json *root;
    int status = ctl_do(ctl, "DELETE", path, mn_span(NULL, 0), &root);

    if (status != CTL_OK) return status;
    if (with_nodes)
        return ctl_print_done(ctl, root, "%s is revoked, and so is every node that came by it",
                              ctl_show(ctl, root, "id"));
    return ctl_print_done(ctl, root, "%s is withdrawn: it lets nobody in any more",
                          ctl_show(ctl, root, "id"));
}
