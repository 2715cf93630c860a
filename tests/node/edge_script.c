#include "tests/node/edge_script.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"

/* ---- the store ---- */

static void pair_set(struct script *script, struct mn_span key, struct mn_span value)
{
    struct script_pair *pair = NULL;

    for (uint32_t i = 0; i < script->pairs_count; i++)
        if (mn_span_is(key, script->pairs[i].key)) pair = &script->pairs[i];
    if (pair == NULL) {
        ck_assert_uint_lt(script->pairs_count, SCRIPT_PAIRS_MAX);
        pair = &script->pairs[script->pairs_count++];
        snprintf(pair->key, sizeof pair->key, "%.*s", (int)key.size, (const char *)key.data);
        pair->value = NULL;
    }
    mn_buf_unref(pair->value);
    pair->value = value.data == NULL ? NULL : mn_buf_copy(value);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct script_pair *)a)->key, ((const struct script_pair *)b)->key);
}

const struct script_pair *script_pair(const struct script *script, const char *key)
{
    for (uint32_t i = 0; i < script->pairs_count; i++)
        if (strcmp(script->pairs[i].key, key) == 0 && script->pairs[i].value != NULL)
            return &script->pairs[i];
    return NULL;
}

/* ---- children: MCP servers with one tool, "echo" ---- */

static struct script_child *child_of(struct script *script, uint64_t id)
{
    for (uint32_t i = 0; i < script->children_count; i++)
        if (script->children[i].id == id) return &script->children[i];
    ck_abort_msg("a child of the script");
    return NULL;
}

static void child_start(struct script *script, const struct edge_output *output)
{
    struct script_child *child = &script->children[script->children_count++];
    const struct edge_child *start = output->child_start;
    size_t used = 0;

    ck_assert_uint_le(script->children_count, SCRIPT_CHILDREN_MAX);
    *child = (struct script_child){.id = output->id, .is_running = true};
    for (uint32_t i = 0; i < start->argv_count; i++)
        used += (size_t)snprintf(child->argv + used, sizeof child->argv - used, "%s%.*s",
                                 i == 0 ? "" : " ", (int)start->argv[i].size,
                                 (const char *)start->argv[i].data);
}

static void child_say(struct script *script, uint64_t id, const char *text)
{
    script_step(script,
                &(struct edge_input){
                    .type = EDGE_IN_CHILD_OUT, .id = id, .code = 1, .bytes = mn_span_str(text)});
}

static void child_answer(struct script *script, uint64_t child, const char *id, const char *result)
{
    char text[512];

    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%s,%s}\n", id, result);
    child_say(script, child, text);
}

#define TOOLS "\"result\":{\"tools\":[{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}]}"
#define SAID "\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"said\"}]}"

static void child_message(struct script *script, uint64_t child, const char *line)
{
    const char *at = strstr(line, "\"id\":");
    char id[32] = "";

    if (at == NULL) return; /* a notification */
    sscanf(at + 5, "%31[0-9]", id);
    if (strstr(line, "\"server/discover\"") != NULL) {
        child_answer(script, child, id,
                     "\"result\":{\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{"
                     "\"tools\":{}}}");
    } else if (strstr(line, "\"tools/list\"") != NULL) {
        child_answer(script, child, id, TOOLS);
    } else if (strstr(line, "\"tools/call\"") == NULL) {
        child_answer(script, child, id, "\"error\":{\"code\":-32601,\"message\":\"no\"}");
    } else if (script->is_call_held) {
        script->held_child = child;
        snprintf(script->held_id, sizeof script->held_id, "%s", id);
    } else {
        child_answer(script, child, id, SAID);
    }
}

void script_answer_held(struct script *script)
{
    ck_assert_str_ne(script->held_id, "");
    child_answer(script, script->held_child, script->held_id, SAID);
    script->held_id[0] = '\0';
}

void script_child_exit(struct script *script, struct script_child *child)
{
    child->is_running = false;
    script_step(script, &(struct edge_input){.type = EDGE_IN_CHILD_EXIT, .id = child->id});
}

struct script_child *script_child(struct script *script, const char *argv)
{
    for (uint32_t i = script->children_count; i > 0; i--)
        if (strcmp(script->children[i - 1].argv, argv) == 0) return &script->children[i - 1];
    return NULL;
}

uint32_t script_running(const struct script *script)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < script->children_count; i++)
        count += script->children[i].is_running;
    return count;
}

/* ---- HTTP ---- */

static void http_body(struct script *script, const struct edge_output *output)
{
    size_t used = strlen(script->body);

    if (output->id != script->exchange || output->buf == NULL) return;
    ck_assert_uint_lt(used + output->buf->size, sizeof script->body);
    memcpy(script->body + used, output->buf->bytes, output->buf->size);
    script->body[used + output->buf->size] = '\0';
}

static void ask(struct script *script, const struct edge_http_request *http, const char *body)
{
    uint64_t id = script->id_next;

    script->id_next += 2;
    script->exchange = id;
    script->code = 0;
    script->body[0] = '\0';
    script_step(script, &(struct edge_input){.type = EDGE_IN_HTTP_OPEN, .id = id, .http = http});
    script_step(script, &(struct edge_input){.type = EDGE_IN_HTTP_BODY,
                                             .id = id,
                                             .bytes = mn_span_str(body),
                                             .is_last = true});
}

void script_ask(struct script *script, const char *method, const char *target, const char *body)
{
    struct edge_header type = {mn_span_str("content-type"), mn_span_str("application/json")};
    struct edge_http_request http = {.listener = EDGE_LISTENER_ADMIN,
                                     .method = mn_span_str(method),
                                     .target = mn_span_str(target),
                                     .headers = &type,
                                     .headers_count = 1};

    ask(script, &http, body);
}

#define META                                                                 \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"," \
    "\"io.modelcontextprotocol/clientCapabilities\":{}}"

void script_mcp_ask(struct script *script, const char *method, const char *name, const char *params)
{
    struct edge_header headers[] = {
        {mn_span_str("host"), mn_span_str("127.0.0.1:7080")},
        {mn_span_str("content-type"), mn_span_str("application/json")},
        {mn_span_str("accept"), mn_span_str("application/json, text/event-stream")},
        {mn_span_str("mcp-protocol-version"), mn_span_str("2026-07-28")},
        {mn_span_str("mcp-method"), mn_span_str(method)},
        {mn_span_str("mcp-name"), mn_span_str(name == NULL ? "" : name)},
    };
    struct edge_http_request http = {.listener = EDGE_LISTENER_HTTP,
                                     .method = mn_span_str("POST"),
                                     .target = mn_span_str("/mcp"),
                                     .address = mn_span_str("127.0.0.1"),
                                     .is_loopback = true,
                                     .headers = headers,
                                     .headers_count = name == NULL ? 5 : 6};
    char body[512];

    snprintf(body, sizeof body,
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{%s" META "}}", method,
             params);
    ask(script, &http, body);
}

void script_mcp(struct script *script, const char *tool)
{
    char params[160];

    if (tool == NULL) {
        script_mcp_ask(script, "tools/list", NULL, "");
        return;
    }
    snprintf(params, sizeof params, "\"name\":\"%s\",\"arguments\":{},", tool);
    script_mcp_ask(script, "tools/call", tool, params);
}

/* ---- stepping ---- */

static void end(struct script *script, const struct edge_output *output)
{
    script->end_code = output->code;
    snprintf(script->end_text, sizeof script->end_text, "%.*s", (int)output->text.size,
             (const char *)output->text.data);
}

/* One output, taken from the outbox: what it brings about may step the node again. */
struct effect {
    enum edge_output_type type;
    uint64_t id;
    struct mn_buf *buf;
};

static void note(struct script *script, const struct edge_output *output)
{
    switch (output->type) {
    case EDGE_OUT_WRITE:
        pair_set(script, output->key, output->bytes);
        script->write_last = output->id;
        break;
    case EDGE_OUT_CHILD_START: child_start(script, output); break;
    case EDGE_OUT_CHILD_STOP: child_of(script, output->id)->is_told_to_stop = true; break;
    case EDGE_OUT_HTTP_HEAD:
        if (output->id == script->exchange) script->code = output->code;
        break;
    case EDGE_OUT_HTTP_BODY: http_body(script, output); break;
    case EDGE_OUT_LOG: script->log_last = output->id; break;
    case EDGE_OUT_SECRET: script->secrets_count++; break;
    case EDGE_OUT_STOPPED:
        script->is_stopped = true;
        end(script, output);
        break;
    case EDGE_OUT_FATAL:
        script->is_fatal = true;
        end(script, output);
        break;
    case EDGE_OUT_NET_DIAL:
    case EDGE_OUT_NET_SEND:
    case EDGE_OUT_NET_PAUSE:
    case EDGE_OUT_NET_CLOSE:
    case EDGE_OUT_HTTP_PAUSE:
    case EDGE_OUT_HTTP_ABORT:
    case EDGE_OUT_FETCH_START:
    case EDGE_OUT_FETCH_PAUSE:
    case EDGE_OUT_FETCH_CANCEL:
    case EDGE_OUT_CHILD_WRITE:
    case EDGE_OUT_CHILD_PAUSE: break;
    }
}

static void act(struct script *script, const struct effect *effect)
{
    struct mn_writer writer = {0};
    struct mn_buf *line;

    if (effect->type != EDGE_OUT_CHILD_WRITE) return;
    mn_writer_add(&writer, mn_buf_span(effect->buf));
    mn_writer_add(&writer, mn_span("", 1));
    line = mn_writer_done(&writer);
    child_message(script, effect->id, (const char *)line->bytes);
    mn_buf_unref(line);
}

static void carry_out(struct script *script)
{
    uint32_t count = script->outbox.count;
    struct effect *effects = calloc(count + 1, sizeof *effects);
    uint64_t write = 0, log_before = script->log_last;

    for (uint32_t i = 0; i < count; i++) {
        const struct edge_output *output = &script->outbox.items[i];
        effects[i] = (struct effect){output->type, output->id, mn_buf_ref(output->buf)};
        if (output->type == EDGE_OUT_WRITE) write = output->id;
        note(script, output);
    }
    edge_outbox_reset(&script->outbox);
    for (uint32_t i = 0; i < count; i++) {
        act(script, &effects[i]);
        mn_buf_unref(effects[i].buf);
    }
    free(effects);
    if (write != 0 && !script->is_disk_slow)
        script_step(script, &(struct edge_input){.type = EDGE_IN_DURABLE, .id = write});
    if (script->log_last != log_before && !script->is_disk_slow)
        script_step(script,
                    &(struct edge_input){.type = EDGE_IN_LOG_DURABLE, .id = script->log_last});
}

void script_step(struct script *script, const struct edge_input *input)
{
    node_step(script->node, script->now, input, &script->outbox);
    node_check(script->node);
    carry_out(script);
}

void script_reload(struct script *script, const struct node_config *config, mn_status expected)
{
    struct mn_span why = mn_span(NULL, 0);
    mn_status status =
        node_reload_servers(script->node, script->now, config, &script->outbox, &why);

    ck_assert_int_eq(status, expected);
    if (status != MN_OK)
        snprintf(script->end_text, sizeof script->end_text, "%.*s", (int)why.size,
                 (const char *)why.data);
    script_step(script, &(struct edge_input){.type = EDGE_IN_TICK});
}

void script_run(struct script *script, mn_time time)
{
    mn_time until = script->now.mono + time;

    while (node_deadline(script->node) <= until) {
        script->now.mono = node_deadline(script->node) > script->now.mono
                               ? node_deadline(script->node)
                               : script->now.mono;
        script_step(script, &(struct edge_input){.type = EDGE_IN_TICK});
    }
    script->now.mono = until;
}

/* ---- life ---- */

mn_status script_start(struct script *script, const struct node_config *config)
{
    struct mn_arena arena = {0};
    struct mn_span why = mn_span(NULL, 0);
    mn_status status;

    script->outbox.arena = &script->arena;
    status = node_new(config, &arena, &script->node, &why);

    if (status != MN_OK)
        snprintf(script->end_text, sizeof script->end_text, "%.*s", (int)why.size,
                 (const char *)why.data);
    mn_arena_done(&arena);
    if (status != MN_OK) return status;
    if (script->now.mono == 0) script->now = (struct mn_now){MN_SEC, 1893456000 * MN_SEC};
    script->id_next = 1;
    script->children_count = 0;
    script->is_stopped = script->is_fatal = false;
    qsort(script->pairs, script->pairs_count, sizeof *script->pairs, by_key);
    for (uint32_t i = 0, count = script->pairs_count; i < count; i++) {
        struct mn_buf *value = mn_buf_ref(script->pairs[i].value);
        if (value != NULL)
            script_step(script, &(struct edge_input){.type = EDGE_IN_RECOVER,
                                                     .key = mn_span_str(script->pairs[i].key),
                                                     .bytes = mn_buf_span(value)});
        mn_buf_unref(value);
    }
    script_step(script, &(struct edge_input){.type = EDGE_IN_RECOVERED});
    return MN_OK;
}

void script_kill(struct script *script)
{
    node_free(script->node);
    script->node = NULL;
    if (script->outbox.arena != NULL) edge_outbox_reset(&script->outbox);
    mn_arena_done(&script->arena);
}

void script_done(struct script *script)
{
    script_kill(script);
    for (uint32_t i = 0; i < script->pairs_count; i++)
        mn_buf_unref(script->pairs[i].value);
    memset(script, 0, sizeof *script);
}
