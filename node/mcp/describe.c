#include "node/mcp/describe.h"

#include "node/json/json.h"
#include "node/mcp/names/names.h"
#include "node/mcp/wire/audience.h"

static void write_str(struct mn_writer *writer, const char *key, struct mn_span text)
{
    mn_writer_format(writer, ",\"%s\":", key);
    json_write_string(writer, text);
}

static void write_u64(struct mn_writer *writer, const char *key, uint64_t value)
{
    mn_writer_format(writer, ",\"%s\":%llu", key, (unsigned long long)value);
}

static void describe_server(const struct upstream_info *info, struct mn_now now,
                            struct mn_writer *writer)
{
    mn_writer_str(writer, "{\"name\":");
    json_write_string(writer, info->name);
    write_str(writer, "transport", mn_span_str(info->is_http ? "http" : "stdio"));
    write_str(writer, "target", info->target);
    write_str(writer, "state", mn_span_str(upstream_state_name(info->state)));
    write_u64(writer, "since_ms", (now.mono - info->since) / MN_MS);
    if (info->next_start != MN_TIME_NEVER)
        write_u64(writer, "next_start_ms",
                  info->next_start > now.mono ? (info->next_start - now.mono) / MN_MS : 0);
    if (info->version.size > 0)
        write_str(writer, "era", mn_span_str(info->is_modern ? "modern" : "legacy"));
    write_str(writer, "version", info->version);
    mn_writer_format(writer, ",\"offered\":%s", info->is_offered ? "true" : "false");
    write_u64(writer, "tools", info->tools_count);
    write_u64(writer, "tools_dropped", info->tools_dropped_count);
    write_u64(writer, "in_flight", info->in_flight_count);
    write_u64(writer, "starts", info->starts_count);
    write_u64(writer, "calls", info->calls_count);
    write_u64(writer, "noise", info->noise_count);
    write_str(writer, "error", info->error);
    write_str(writer, "lists_error", info->lists_error);
    mn_writer_str(writer, "}");
}

void mcp_describe_servers(const struct mcp *mcp, struct mn_now now, struct mn_writer *writer)
{
    const struct upstreams *upstreams = mcp_upstreams(mcp);

    mn_writer_str(writer, "[");
    for (uint32_t i = 0; i < upstreams_count(upstreams); i++) {
        struct upstream_info info;
        if (i > 0) mn_writer_str(writer, ",");
        upstreams_info(upstreams, i, &info);
        describe_server(&info, now, writer);
    }
    mn_writer_str(writer, "]");
}

mn_status mcp_describe_server(const struct mcp *mcp, struct mn_now now, struct mn_span name,
                              struct mn_writer *writer)
{
    struct upstream_info info;
    mn_status status = upstreams_find(mcp_upstreams(mcp), name, &info);

    if (status == MN_OK) describe_server(&info, now, writer);
    return status;
}

/* What a client must have declared to be shown the tool; null: nothing. */
static void write_needs(struct mn_writer *writer, const struct audience *audience)
{
    struct mn_writer needs = {0};

    audience_describe(&needs, audience);
    if (mn_writer_size(&needs) == 0)
        mn_writer_str(writer, ",\"needs\":null");
    else
        write_str(writer, "needs", mn_buf_span(needs.buf));
    mn_writer_drop(&needs);
}

static void describe_tool(const struct mcp_tool *tool, struct mn_writer *writer)
{
    mn_writer_str(writer, "{\"name\":");
    json_write_string(writer, tool->name);
    write_str(writer, "server", tool->service);
    write_str(writer, "tool", tool->tool);
    if (tool->held == NULL)
        mn_writer_str(writer, ",\"held\":null");
    else
        write_str(writer, "held", mn_span_str(tool->held));
    write_needs(writer, &tool->audience);
    write_u64(writer, "nodes", tool->providers_count);
    write_u64(writer, "calls_per_minute", tool->calls_per_minute);
    if (tool->p95 == MN_TIME_NEVER)
        mn_writer_str(writer, ",\"p95_ms\":null");
    else
        mn_writer_format(writer, ",\"p95_ms\":%llu.%03llu", (unsigned long long)(tool->p95 / MN_MS),
                         (unsigned long long)(tool->p95 % MN_MS));
    mn_writer_str(writer, ",\"definition\":");
    mn_writer_add(writer, tool->definition);
    mn_writer_str(writer, "}");
}

void mcp_describe_tools(struct mcp *mcp, struct mn_now now, struct mn_writer *writer)
{
    uint32_t count = mcp_tools_count(mcp);

    mn_writer_str(writer, "[");
    for (uint32_t i = 0; i < count; i++) {
        struct mcp_tool tool;
        if (i > 0) mn_writer_str(writer, ",");
        mcp_tool(mcp, now, i, &tool);
        describe_tool(&tool, writer);
    }
    mn_writer_str(writer, "]");
}

mn_status mcp_describe_tool(struct mcp *mcp, struct mn_now now, struct mn_span name,
                            struct mn_writer *writer)
{
    struct mcp_tool tool;
    mn_status status = mcp_tool_find(mcp, now, name, &tool);

    if (status == MN_OK) describe_tool(&tool, writer);
    return status;
}

/* {NAME.NODE: number of its tools}; the bare names are groups of these. */
static void describe_offered(struct mcp *mcp, struct mn_writer *writer)
{
    const struct mn_map *services = &mcp_names(mcp)->services;
    struct mn_map_entry *entry = NULL;
    bool is_first = true;

    mn_writer_str(writer, "{");
    while ((entry = mn_map_next(services, entry)) != NULL) {
        const struct names_service *service = MN_CONTAINER(entry, struct names_service, by_name);
        if (memchr(service->name.data, '.', service->name.size) == NULL) continue;
        if (!is_first) mn_writer_str(writer, ",");
        is_first = false;
        json_write_string(writer, service->name);
        mn_writer_format(writer, ":%u", service->counts[NAMES_TOOLS]);
    }
    mn_writer_str(writer, "}");
}

/* Tools of listed services that are held back. */
static uint32_t count_held(struct mcp *mcp)
{
    struct names *names = mcp_names(mcp);
    uint32_t count = 0;

    names_service(names, mn_span(NULL, 0)); /* brings the tables up to date */
    for (uint32_t i = 0; i < names->services.count; i++) {
        const struct names_service *service = names->sorted[i];
        if (service->is_listed && service->shown != NULL)
            count += service->counts[NAMES_TOOLS] - service->shown_count;
    }
    return count;
}

void mcp_describe_counts(struct mcp *mcp, struct mn_now now, struct mn_writer *writer)
{
    mn_writer_format(writer, "{\"listed\":%u,\"held\":%u,\"offered\":", mcp_tools_count(mcp),
                     count_held(mcp));
    describe_offered(mcp, writer);
    mn_writer_str(writer, ",\"servers\":");
    mcp_describe_servers(mcp, now, writer);
    mn_writer_str(writer, "}");
}

void mcp_describe_logs(const struct mcp *mcp, struct mn_span name, uint64_t after,
                       struct mn_writer *writer)
{
    struct upstream_log_line line;
    bool is_first = true;

    mn_writer_str(writer, "[");
    while (upstreams_log_next(mcp_upstreams(mcp), name, after, &line)) {
        mn_writer_format(
            writer, "%s{\"sequence\":%llu,\"time_ms\":%llu,\"text\":", is_first ? "" : ",",
            (unsigned long long)line.sequence, (unsigned long long)(line.wall / MN_MS));
        json_write_string(writer, line.text);
        mn_writer_str(writer, "}");
        is_first = false;
        after = line.sequence;
    }
    mn_writer_str(writer, "]");
}
