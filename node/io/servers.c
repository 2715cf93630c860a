#include "node/io/servers.h"

#include <errno.h>
#include <stdio.h>

#include "node/io/config.h"
#include "node/io/files.h"
#include "node/mcp/upstream/serverfile.h"

static mn_status servers_read_file(struct servers *servers, const char *path,
                                   struct options_error *error)
{
    struct mn_buf *buf = NULL;
    mn_status status = files_read(path, SERVERFILE_SIZE_MAX, &buf);
    if (status != MN_OK) {
        const char *why = status == MN_TOO_BIG     ? "too large"
                          : status == MN_NOT_FOUND ? "there is no such file"
                                                   : strerror(errno);
        snprintf(error->text, sizeof error->text, "mcp.servers_files: %.800s: %s", path, why);
        return MN_CONFIG;
    }
    servers->texts[servers->texts_count++] =
        (struct node_servers_text){mn_arena_copy(&servers->arena, mn_span_str(path)),
                                   mn_arena_copy(&servers->arena, mn_buf_span(buf))};
    mn_buf_unref(buf);
    return MN_OK;
}

static struct mn_span *servers_list(struct servers *servers, const struct option_value *value,
                                    uint32_t *ret_count)
{
    struct mn_span *items =
        mn_arena_alloc(&servers->arena, (value->items_count + 1) * sizeof *items);
    for (uint32_t i = 0; i < value->items_count; i++)
        items[i] = mn_span_str(value->items[i]);
    *ret_count = value->items_count;
    return items;
}

mn_status servers_read(const struct options *options, struct servers *ret,
                       struct options_error *error)
{
    const struct option_value *files = &options->values[CONFIG_MCP_SERVERS_FILES];
    mn_status status = MN_OK;
    *ret = (struct servers){0};
    ret->texts = mn_arena_alloc(&ret->arena, (files->items_count + 1) * sizeof *ret->texts);
    ret->options = servers_list(ret, &options->values[CONFIG_MCP_SERVERS], &ret->options_count);
    ret->replicas = servers_list(ret, &options->values[CONFIG_MCP_REPLICAS], &ret->replicas_count);
    for (uint32_t i = 0; i < files->items_count && status == MN_OK; i++)
        status = servers_read_file(ret, files->items[i], error);
    return status;
}

void servers_done(struct servers *servers)
{
    mn_arena_done(&servers->arena);
    *servers = (struct servers){0};
}

mn_status servers_check(struct servers *servers, struct options_error *error)
{
    struct serverfile file;
    struct upstream_config config;
    struct mn_span why = {0};
    mn_status status = MN_OK;
    for (uint32_t i = 0; i < servers->texts_count && status == MN_OK; i++)
        status = serverfile_read(servers->texts[i].origin, servers->texts[i].text, &servers->arena,
                                 &file, &why);
    for (uint32_t i = 0; i < servers->options_count && status == MN_OK; i++)
        status = serverfile_read_option(servers->options[i], &servers->arena, &config, &why);
    if (status != MN_OK)
        snprintf(error->text, sizeof error->text, "%.*s", (int)(why.size < 1000 ? why.size : 1000),
                 (const char *)why.data);
    return status;
}

void servers_fill(const struct servers *servers, struct node_config *config)
{
    config->servers = servers->texts;
    config->servers_count = servers->texts_count;
    config->server_options = servers->options;
    config->server_options_count = servers->options_count;
    config->replicas = servers->replicas;
    config->replicas_count = servers->replicas_count;
}
