/* client: the exact lines that connect an MCP client to this node. Data is what to paste; where to,
 * and what else to know, is said beside it. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/ctl/ctl.h"

struct client {
    const char *name, *file; /* file: where the lines go; NULL: they are a command */
    const char *open, *with_bearer;
};

/* %s is the URL. Secrets stay out of files where the client can ask for them. */
static const struct client clients[] = {
    {"claude-code", NULL, "claude mcp add --transport http meshnode %s",
     "claude mcp add --transport http meshnode %s --header \"Authorization: Bearer SECRET\""},
    {"cursor", "~/.cursor/mcp.json", "{\"mcpServers\": {\"meshnode\": {\"url\": \"%s\"}}}",
     "{\"mcpServers\": {\"meshnode\": {\"url\": \"%s\", \"headers\": {\"Authorization\": "
     "\"Bearer ${env:MESH_SECRET}\"}}}}"},
    {"vscode", ".vscode/mcp.json",
     "{\"servers\": {\"meshnode\": {\"type\": \"http\", \"url\": \"%s\"}}}",
     "{\"inputs\": [{\"id\": \"mesh\", \"type\": \"promptString\", \"password\": true, "
     "\"description\": \"secret of the mesh\"}], \"servers\": {\"meshnode\": {\"type\": \"http\", "
     "\"url\": \"%s\", \"headers\": {\"Authorization\": \"Bearer ${input:mesh}\"}}}}"},
    {"json", "the client's file of MCP servers",
     "{\"mcpServers\": {\"meshnode\": {\"type\": \"http\", \"url\": \"%s\"}}}",
     "{\"mcpServers\": {\"meshnode\": {\"type\": \"http\", \"url\": \"%s\", \"headers\": "
     "{\"Authorization\": \"Bearer SECRET\"}}}}"},
};

static const struct client *client_find(const char *name)
{
    for (size_t i = 0; i < sizeof clients / sizeof *clients; i++)
        if (strcmp(clients[i].name, name) == 0) return &clients[i];
    return NULL;
}

/* Its address as bound; a node that listens on all addresses is called by its host's name. */
static const char *client_url(struct ctl *ctl, const char *http)
{
    const char *port = strrchr(http, ':');
    char host[256] = "";
    size_t size = port == NULL ? 0 : (size_t)(port - http);
    bool is_any = (size == 7 && strncmp(http, "0.0.0.0", size) == 0) ||
                  (size == 4 && strncmp(http, "[::]", size) == 0);

    if (ctl->server != NULL) {
        size = strlen(ctl->server);
        while (size > 0 && ctl->server[size - 1] == '/')
            size--;
        return mn_arena_format(&ctl->arena, "%.*s/mcp", (int)size, ctl->server);
    }
    if (is_any && gethostname(host, sizeof host - 1) == 0)
        return mn_arena_format(&ctl->arena, "http://%s%s/mcp", host, port);
    return mn_arena_format(&ctl->arena, "http://%s/mcp", http);
}

/* [format] with its one %s replaced. */
static const char *fill(struct ctl *ctl, const char *format, const char *url)
{
    const char *hole = strstr(format, "%s");
    return mn_arena_format(&ctl->arena, "%.*s%s%s", (int)(hole - format), format, url, hole + 2);
}

static void print_json(struct ctl *ctl, const struct client *client, const char *url,
                       const char *paste, bool needs_bearer)
{
    struct mn_writer writer = {0};

    ctl_json_begin(&writer, "Client");
    ctl_json_str(&writer, "client", client->name);
    ctl_json_str(&writer, "url", url);
    ctl_json_str(&writer, "auth", needs_bearer ? "bearer" : "none");
    ctl_json_str(&writer, "file", client->file);
    ctl_json_str(&writer, "paste", paste);
    ctl_json_end(ctl, &writer);
}

static void print_notes(struct ctl *ctl, const struct client *client, bool needs_bearer)
{
    if (client->file != NULL) fprintf(ctl->err, "into %s:\n", client->file);
    if (needs_bearer)
        fprintf(ctl->err,
                "this node wants a bearer token: one of its http.auth.bearer secrets, or an API "
                "token (meshctl token create --role client)%s\n",
                strcmp(client->name, "cursor") == 0   ? ", here from the environment's MESH_SECRET"
                : strcmp(client->name, "vscode") == 0 ? "; vscode asks for it"
                                                      : ", in place of SECRET");
}

/* The other way in, for clients that cannot speak HTTP: a bridge to the same node's socket. */
static void print_bridge(struct ctl *ctl)
{
    struct mn_writer writer = {0};
    struct mn_buf *text;
    char path[PATH_MAX];

    if (ctl->server != NULL) return; /* its socket is not on this host */
    mn_writer_str(&writer, "{\"mcpServers\": {\"meshnode\": {\"command\": \"meshnode\", \"args\": "
                           "[\"mcp\"");
    if (ctl->data != NULL && realpath(ctl->data, path) != NULL) {
        mn_writer_str(&writer, ", \"--data\", ");
        json_write_string(&writer, mn_span_str(path));
    }
    mn_writer_str(&writer, "]}}}");
    text = mn_writer_done(&writer);
    fprintf(ctl->err, "or, for a client that only runs commands, on this host:\n%.*s\n",
            (int)text->size, (const char *)text->bytes);
    mn_buf_unref(text);
}

int ctl_client(struct ctl *ctl)
{
    const struct client *client = client_find(ctl->args[0]);
    const struct json *root;
    const char *http, *url, *paste;
    bool needs_bearer;
    int status;

    if (client == NULL)
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl client json",
                         "no such client %s: claude-code, cursor, vscode or json", ctl->args[0]);
    status = ctl_get(ctl, "/v1/status", &root);
    if (status != CTL_OK) return status;
    http = ctl_show(ctl, root, "node.http");
    if (*http == '\0')
        return ctl_error(ctl, CTL_CONFLICT, "no_http", "meshnode mcp, as the client's command",
                         "this node serves no HTTP");
    url = client_url(ctl, http);
    needs_bearer = mn_span_is(ctl_string(root, "node.http_auth"), "bearer");
    paste = fill(ctl, needs_bearer ? client->with_bearer : client->open, url);
    if (ctl_wants_json(ctl)) {
        print_json(ctl, client, url, paste, needs_bearer);
        return CTL_OK;
    }
    if (!ctl->is_quiet) print_notes(ctl, client, needs_bearer);
    fflush(ctl->err);
    fprintf(ctl->out, "%s\n", paste);
    fflush(ctl->out);
    if (!ctl->is_quiet && strcmp(client->name, "json") == 0) print_bridge(ctl);
    return CTL_OK;
}
