/* The small surface: mesh_find and mesh_call, two tools that stand for all others. Their own
 * definitions never change, and what they find and call is what their endpoint shows: at a view its
 * tools, elsewhere those of /mcp. A call through mesh_call becomes the call of the tool it names
 * before it leaves this node: its arguments are judged, its rounds and questions are its own. */
#include "node/mcp/front/front_parts.h"
#include "proto/base/text.h"

#define FAIL(...) front_reply_fail(front, exchange, __VA_ARGS__)
#define WORDS_MAX 8
#define FOUND_DEFAULT 10 /* definitions are long, and models read all of it */
#define FOUND_MAX 100

static const struct json_limits kept_members = {JSON_DEPTH_MAX, 1, JSON_NODES_MAX};
static const struct json_limits kept_arguments = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};

bool front_small_is(const struct front_target *target)
{
    return target->tool != NULL && mn_span_is(target->tool->service->name, CALL_NAME_MESH) &&
           (mn_span_is(target->tool->own, NAMES_FIND) || mn_span_is(target->tool->own, NAMES_CALL));
}

/* ---- mesh_find ---- */

struct search {
    struct mn_span words[WORDS_MAX];
    uint32_t words_count, limit, found_count;
    struct audience_client client; /* what its client declared */
    struct mn_writer items;
};

static void search_split(struct search *search, struct mn_span text)
{
    for (size_t at = 0; at < text.size && search->words_count < WORDS_MAX;) {
        size_t begin;
        while (at < text.size && text.data[at] == ' ')
            at++;
        begin = at;
        while (at < text.size && text.data[at] != ' ')
            at++;
        if (at > begin)
            search->words[search->words_count++] = mn_span(text.data + begin, at - begin);
    }
}

static bool search_has_word(struct front *front, const struct names_item *tool, struct mn_span name,
                            struct mn_span word)
{
    struct mn_arena *arena = &front->names.scratch; /* nobody needs all definitions at once */
    const struct json *definition;
    bool has_word = mn_text_has(name, word);

    if (has_word) return true;
    if (json_parse_copy(front->parser, tool->definition, kept_members, arena, &definition) == MN_OK)
        has_word = mn_text_has(json_text(json_find_str(definition, "description")), word) ||
                   mn_text_has(json_text(json_find_str(definition, "title")), word);
    mn_arena_reset(arena);
    return has_word;
}

/* [pass] 0: all words stand in the name; 1: some only in title or description. */
static bool search_fits(struct front *front, const struct search *search,
                        const struct names_item *tool, struct mn_span name, int pass)
{
    bool is_named = true;

    for (uint32_t i = 0; i < search->words_count; i++)
        is_named = is_named && mn_text_has(name, search->words[i]);
    if (pass == 0 || is_named) return pass == 0 && is_named;
    for (uint32_t i = 0; i < search->words_count; i++)
        if (!search_has_word(front, tool, name, search->words[i])) return false;
    return true;
}

static void search_add(struct front *front, struct search *search, const struct names_item *tool,
                       struct mn_span name, enum names_era era)
{
    if (search->found_count++ >= search->limit) return;
    if (search->found_count > 1) mn_writer_str(&search->items, ",");
    mn_writer_str(&search->items, "{\"name\":");
    json_write_string(&search->items, name);
    mn_writer_str(&search->items, ",\"server\":");
    json_write_string(&search->items, tool->service->name);
    mn_writer_format(&search->items,
                     ",\"nodes\":%u,\"definition\":", tool->service->providers_count);
    names_offer_write(&search->items, &front->names, tool, NAMES_TOOLS, name, era);
    mn_writer_str(&search->items, "}");
}

static void search_run(struct front *front, struct search *search, struct names_view *view,
                       enum names_era era)
{
    const struct names_row *rows = NULL;
    struct names_item **tools = NULL;
    uint32_t count = view == NULL ? names_listed(&front->names, NAMES_TOOLS, &tools)
                                  : names_view_tools(view, &rows);

    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < count; i++) {
            struct names_item *tool = view == NULL ? tools[i] : rows[i].item;
            struct mn_span name = view == NULL ? tool->exposed : rows[i].exposed;
            struct front_target target = {.tool = tool};
            if (front_small_is(&target) || !audience_shows(&tool->audience, &search->client))
                continue;
            tool = names_as_seen(tool, &search->client);
            if (search_fits(front, search, tool, name, pass))
                search_add(front, search, tool, name, era);
        }
}

/* The result as text for models and as structure for programs. */
static void write_found(struct mn_writer *result, const struct search *search, bool is_modern)
{
    struct mn_writer json = {0};

    mn_writer_str(&json, "{\"kind\":\"ToolList\",\"items\":[");
    mn_writer_add(&json, mn_buf_span(search->items.buf));
    mn_writer_format(&json, "],\"total\":%u}", search->found_count);
    mn_writer_str(result,
                  is_modern ? "{\"resultType\":\"complete\",\"content\":" : "{\"content\":");
    mn_writer_str(result, "[{\"type\":\"text\",\"text\":");
    json_write_string(result, mn_buf_span(json.buf));
    mn_writer_str(result, "}],\"structuredContent\":");
    mn_writer_add(result, mn_buf_span(json.buf));
    mn_writer_str(result, "}");
    mn_writer_drop(&json);
}

void front_small_find(struct front *front, struct front_exchange *exchange,
                      const struct front_session *session, const struct jsonrpc_message *message,
                      struct mn_span capabilities)
{
    const struct json *arguments = json_find_str(message->params, "arguments");
    struct search search = {.limit = FOUND_DEFAULT,
                            .client = front_about_client(front, capabilities)};
    struct names_endpoint at;
    struct mn_writer result = {0};
    int64_t limit;

    if (json_i64(json_find_str(arguments, "limit"), &limit) == MN_OK && limit >= 1)
        search.limit = (uint32_t)(limit < FOUND_MAX ? limit : FOUND_MAX);
    search_split(&search, json_text(json_find_str(arguments, "text")));
    if (!front_about_find(front, exchange->service, &at)) at.view = NULL;
    search_run(front, &search, at.view, session == NULL ? NAMES_MODERN : NAMES_LEGACY);
    write_found(&result, &search, session == NULL);
    front_reply_result(front, exchange, message->id, mn_buf_span(result.buf));
    mn_writer_drop(&result);
    mn_writer_drop(&search.items);
}

/* ---- mesh_call ---- */

/* The params of the call that is meant: everything but name and arguments stays. */
static void write_inner(struct mn_writer *text, const struct json *params, struct mn_span name,
                        const struct json *arguments)
{
    bool is_first = false;

    mn_writer_str(text, "{\"name\":");
    json_write_string(text, name);
    mn_writer_str(text, ",\"arguments\":");
    mn_writer_add(text, json_is(arguments, JSON_OBJECT) ? arguments->raw : mn_span_str("{}"));
    for (const struct json *key = json_first(params); key != NULL; key = json_next(params, key))
        if (!mn_span_is(key->text, "name") && !mn_span_is(key->text, "arguments"))
            front_call_write_member(text, key, &is_first);
    mn_writer_str(text, "}");
}

bool front_small_unwrap(struct front *front, struct front_exchange *exchange,
                        const struct jsonrpc_message *message, struct front_target *target,
                        struct jsonrpc_message *ret)
{
    const struct json *arguments = json_find_str(message->params, "arguments");
    struct mn_span name = json_text(json_find_str(arguments, "tool"));
    struct mn_writer text = {0};
    mn_status status;

    *target = (struct front_target){0};
    if (!front_route_tool(front, exchange, message->id, name, target)) return false;
    if (front_small_is(target)) {
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS,
             NAMES_CALL " calls other tools; " NAMES_FIND " finds their names");
        return false;
    }
    *ret = *message;
    write_inner(&text, message->params, name, json_find_str(arguments, "arguments"));
    status = json_parse_copy(front->parser, mn_buf_span(text.buf), kept_arguments, &front->scratch,
                             &ret->params);
    mn_writer_drop(&text);
    if (status != MN_OK)
        FAIL(200, message->id, JSONRPC_INVALID_PARAMS, "the arguments have too many values");
    return status == MN_OK;
}
